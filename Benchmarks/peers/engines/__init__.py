"""The engines that can be compared, one file each, and what a file of them has to offer.

An engine runs in a process of its own, or in one for each way to keep vectors, so that their threads, allocators and
runtimes do not meet. A process builds, prints a line `ready`, and then, for every line `run COUNT` on its standard
input, sweeps over its settings once with that many threads and prints the points as one line of JSON: always the same
settings in the same order. It ends at the end of its input. `bench index --rounds-from-stdin` speaks this, and
`bench insert` likewise, whose rounds insert rows; peer_process.py speaks it for a library with Python bindings.

A module here has one name that others use: `ENGINE: Engine`.
"""

import dataclasses
import importlib
import pkgutil
from typing import Protocol

from task import Task


class UnavailableError(Exception):
    """An engine that cannot run on this machine. The message is a sentence for the report."""


@dataclasses.dataclass(frozen=True)
class Launch:
    """A process of an engine."""

    #: What it is called in messages.
    name: str
    command: list[str]
    #: The counts of threads that it can be asked for.
    threads: tuple[int, ...]


class Engine(Protocol):
    @property
    def storages(self) -> tuple[str, ...]:
        """The ways to keep vectors that are measured unless told otherwise; empty where the engine itself decides."""

    @property
    def optional(self) -> bool:
        """Whether a comparison goes on without it where it cannot run."""

    def version(self) -> str:
        """Of what is measured. Throws UnavailableError where it is not installed."""

    def launches(self, task: Task) -> list[Launch]:
        """The processes that together measure `task`."""

    def insertions(self, task: Task, percent: int) -> list[Launch]:
        """The processes that insert the last rows of `task` into an index of those before, in each round anew.

        A round's line of JSON is a list of `insertion.Insertion`. Empty where that is not measured of the engine.
        """


def known() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def engine(name: str) -> Engine:
    """The engine of the module NAME. Its library is not imported before an index is made."""
    found: Engine = importlib.import_module(f"{__name__}.{name}").ENGINE
    return found
