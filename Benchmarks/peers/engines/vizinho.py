"""Vizinho: the release build's `bench index`, which searches in its own process, without the wire."""

import dataclasses
import pathlib
import subprocess
import sys

from task import Task

from engines import Launch

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
# Beside the sizes of the candidate list: what an ordinary user asks for. The index is calibrated on its own rows.
RECALL_TARGETS = "0.8,0.85,0.9,0.925,0.95,0.97,0.98,0.99,0.995,0.999"
PROGRAM = REPOSITORY / ".build" / "release" / "bench"


class Vizinho:
    # The program's default, or what --storages lists.
    storages = ()
    optional = False

    def version(self) -> str:
        """The commit, marked when the working tree differs from it."""
        described = subprocess.run(
            ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True,
            text=True,
            check=False,
        )
        return described.stdout.strip() or "not from a git checkout"

    def launches(self, task: Task) -> list[Launch]:
        # One process for all counts of threads: each round says its own.
        flags = dataclasses.replace(task, threads=task.threads[:1]).flags()
        recalls = ("--recall-targets", RECALL_TARGETS) if task.asks_recalls else ()
        return [launch(task, "index", *flags, *recalls)]

    def insertions(self, task: Task, percent: int) -> list[Launch]:
        return [launch(task, "insert", *task.flags(), "--percent", str(percent))]


def launch(task: Task, *arguments: str) -> Launch:
    if not PROGRAM.is_file():
        sys.exit(f"{PROGRAM.relative_to(REPOSITORY)} is missing: swift build -c release --product bench")
    return Launch("vizinho", [str(PROGRAM), *arguments, "--rounds-from-stdin"], task.threads)


ENGINE = Vizinho()
