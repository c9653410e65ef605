"""The program `bench` under test, as a user meets it, and the reports that it writes."""

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
from engine import SECONDS_MAX, program


def bench_program() -> pathlib.Path:
    """The one that was built with the program under test."""
    path = program().with_name("bench")
    if not path.is_file():
        pytest.exit(f"{path} is missing: swift build -c release --product bench", returncode=1)
    return path


def bench(*arguments: str | os.PathLike[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a subcommand to its end."""
    return subprocess.run(
        [bench_program(), *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def report(path: pathlib.Path) -> dict[str, Any]:
    """What a run has written."""
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["format"] == "vizinho-bench-1"
    return found


def settings(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    """A report's settings by group and name."""
    return {(one["group"], one["name"]): one["value"] for one in found["settings"]}
