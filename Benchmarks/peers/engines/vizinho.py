"""Vizinho: the release build's `bench index`, which searches in its own process, without the wire."""

import pathlib
import subprocess
import sys

from task import Task

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / ".build" / "release" / "bench"


def version() -> str:
    """The commit, marked when the working tree differs from it."""
    described = subprocess.run(
        ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=10"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "not from a git checkout"


def command(task: Task) -> list[str]:
    if not PROGRAM.is_file():
        sys.exit(f"{PROGRAM.relative_to(REPOSITORY)} is missing: swift build -c release --product bench")
    return [str(PROGRAM), "index", *task.flags(), "--rounds-from-stdin"]
