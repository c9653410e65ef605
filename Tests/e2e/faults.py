"""Crash points of the program, chosen by what it does to its files (`faults.c`), and what is left on the disk then."""

import collections
import contextlib
import dataclasses
import errno
import os
import pathlib
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator

from engine import SECONDS_MAX, Engine
from following import Followed, until

SOURCE = pathlib.Path(__file__).with_name("faults.c")
JOURNAL = "journal/journal-*.vzj"
NEW_SEGMENT = "journal/journal-*.vzj.tmp"
FOLDER = "collections/docs"
SNAPSHOT = "collections/docs/snapshot-*.vzs"
NEW_SNAPSHOT = "collections/docs/snapshot-*.vzs.tmp"
NEW_NUMBER = "collections/docs/SEQUENCE.tmp"
DISK_FULL = f"error={errno.ENOSPC}"
DISK_BROKEN = f"error={errno.EIO}"


@contextlib.contextmanager
def built_library() -> Iterator[pathlib.Path]:
    """Compiles `faults.c`."""
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder, "faults.so")
        flags = ["-std=gnu11", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]
        done = subprocess.run(
            ["gcc", *flags, "-o", library, SOURCE, "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield library


@dataclasses.dataclass(frozen=True)
class Rule:
    """What goes wrong, and at which call; faults.c says which there are."""

    call: str
    path: str
    number: int = 1
    action: str = "before"

    def __str__(self) -> str:
        return f"{self.call} {self.path} {self.number} {self.action}"


@dataclasses.dataclass(frozen=True)
class Call:
    """A line of the log."""

    name: str
    path: str
    # Of a rename: the new name.
    target: str
    number: int

    @property
    def kind(self) -> tuple[str, str]:
        """The call, and its path with a star for what differs from file to file."""
        return self.name, re.sub("[0-9a-f]{16}", "*", self.path)


class Faults:
    """What goes wrong in the lives of the engine of one data directory."""

    def __init__(self, library: pathlib.Path, followed: Followed, scratch: pathlib.Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.followed = followed
        self.library = library
        self._rule = scratch / "rule"
        self._log = scratch / "log"
        # Of the rule that holds; so that one that is the same as an earlier one counts its calls anew.
        self._number = 0
        # What the life had done when it was made: an earlier rule may have come into effect in the same life.
        self._armed_at = 0

    def engine(self, rule: Rule | None = None) -> Engine:
        """A new life, in which the rule holds from the beginning. Does not wait for an answer if there is a rule."""
        self._log.unlink(missing_ok=True)
        self._armed_at = 0
        self.disarm()
        if rule:
            self.arm(rule)
        environment = {
            "LD_PRELOAD": str(self.library),
            "FAULTS_FOLDER": str(self.followed.directory.resolve()),
            "FAULTS_RULE": str(self._rule),
            "FAULTS_LOG": str(self._log),
        }
        return self.followed.engine(environment, answers=rule is None)

    def arm(self, rule: Rule) -> None:
        """From now on; calls that have been made do not count."""
        self._number += 1
        self._armed_at = len(self.calls())
        new = self._rule.with_suffix(".new")
        new.write_text(f"{rule} {self._number}\n")
        new.replace(self._rule)

    def disarm(self) -> None:
        self._rule.unlink(missing_ok=True)

    def calls(self) -> list[Call]:
        """What this life has done so far, in order."""
        calls = []
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        for line in lines:
            name, path, *rest = line.split(" ")
            target = rest[0] if name == "rename" else ""
            calls.append(Call(name, path, target, int(rest[-1])))
        return calls

    def has_struck(self) -> bool:
        """Whether the last rule has come into effect."""
        return any(call.name == "struck" for call in self.calls()[self._armed_at :])

    def wait_until_struck(self, engine: Engine) -> None:
        """Until the rule has come into effect."""

        def is_so() -> bool:
            assert self.has_struck() or engine.process.poll() is None, f"ended otherwise:\n{engine.log}"
            return self.has_struck()

        until(f"struck by {self._rule.read_text()}", is_so)

    def wait_until_killed(self, engine: Engine) -> None:
        """Until the rule has killed the engine."""
        self.wait_until_struck(engine)
        assert engine.process.wait(timeout=SECONDS_MAX) == -signal.SIGKILL, engine.log

    def lose_power(self) -> None:
        """Takes away what was not durable, as a disk may at the worst: the ends of files, and new names.

        What a removal or a rename has taken the place of does not come back.
        """
        folder = self.followed.directory
        calls = self.calls()
        for path, length in _durable_lengths(calls).items():
            # (Folders are made durable too.)
            if (folder / path).is_file() and (folder / path).stat().st_size > length:
                os.truncate(folder / path, length)
        for call in reversed(_renames_not_durable(calls)):
            if (folder / call.target).exists():
                (folder / call.target).rename(folder / call.path)


def _durable_lengths(calls: list[Call]) -> dict[str, int]:
    """How much there surely is of each file that was written to."""
    lengths: dict[str, int] = {}
    for call in calls:
        if call.name == "pwrite":
            lengths.setdefault(call.path, 0)
        elif call.name == "durable":
            lengths[call.path] = call.number
        elif call.name == "ftruncate" and call.path in lengths:
            lengths[call.path] = min(lengths[call.path], call.number)
        elif call.name == "rename" and call.path in lengths:
            lengths[call.target] = lengths.pop(call.path)
    lengths.pop("LOCK", None)
    return lengths


def _renames_not_durable(calls: list[Call]) -> list[Call]:
    """Those that gave a new name, in order. (What another name took the place of is gone.)"""
    renames: list[Call] = []
    for call in calls:
        if call.name == "rename" and call.number == 0:
            renames.append(call)
        elif call.name == "durable":
            renames = [one for one in renames if os.path.dirname(one.target) != call.path]
    return renames


def counted(calls: list[Call]) -> "collections.Counter[tuple[str, str]]":
    """How often each kind of call was made."""
    made = (call for call in calls if call.name not in ("durable", "struck") and call.path != "LOCK")
    return collections.Counter(call.kind for call in made)
