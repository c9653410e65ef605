"""What a library with Python bindings is to the comparison: an index that builds and searches.

peer_process.py measures it.
"""

import abc
import dataclasses
import importlib.metadata
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import engines
import numpy as np
from numpy.typing import NDArray
from task import Task

PROCESS = pathlib.Path(__file__).with_name("peer_process.py")


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is varied between the points of a sweep."""

    #: The size of the candidate list, or how many lists are probed.
    effort: int
    #: How many candidates are scored again with better distances; None where nothing is.
    refined: int | None = None


class PeerIndex(abc.ABC):
    """An index of another library. Vectors come as float32, of unit length when the metric is cosine."""

    def __init__(self, storage: str) -> None:
        #: How it keeps vectors: one of the names that its engine lists.
        self.storage = storage

    @abc.abstractmethod
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        """Makes the index with all rows, on all processors; row i has the id i. `base` is gone afterwards.

        The library is imported here and in `search`: the module itself is read where the library is not installed.
        """

    def settings(self, task: Task) -> list[Setting]:
        """What a sweep goes through."""
        return [Setting(effort) for effort in task.efforts]

    @abc.abstractmethod
    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        """The ids of the k nearest rows of every query, [queries, k], in one call."""


class GrowingIndex(PeerIndex):
    """One that takes rows after its build."""

    @abc.abstractmethod
    def keep(self, path: pathlib.Path) -> None:
        """Writes the index to a file."""

    @abc.abstractmethod
    def restore(self, path: pathlib.Path, shape: tuple[int, int], task: Task) -> None:
        """Becomes the index of that file, with room for `shape[0]` rows of `shape[1]` dimensions."""

    @abc.abstractmethod
    def insert(self, vectors: NDArray[np.float32], first: int, threads: int) -> None:
        """Adds and links rows with the ids from `first` on, in one call."""


@dataclasses.dataclass(frozen=True)
class Library:
    """The `Engine` of a library with Python bindings. One process for each storage."""

    name: str
    make: Callable[[str], PeerIndex]
    storages: tuple[str, ...]
    _: dataclasses.KW_ONLY
    #: As pip knows it, and as Python imports it.
    package: str
    module: str
    optional: bool = True
    #: Whether `make` gives a GrowingIndex.
    grows: bool = False

    def version(self) -> str:
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            raise engines.UnavailableError(
                f"{self.package} is not installed: there is none for this Python and processor, or pip failed"
            ) from None

    def launches(self, task: Task) -> list[engines.Launch]:
        return [self._launch(task, storage) for storage in task.storages]

    def insertions(self, task: Task, percent: int) -> list[engines.Launch]:
        return [self._launch(task, storage, "--insert", str(percent)) for storage in task.storages if self.grows]

    def _launch(self, task: Task, storage: str, *more: str) -> engines.Launch:
        return engines.Launch(
            f"{self.name} {storage}",
            [
                *(sys.executable, str(PROCESS), self.name, "--truth", str(task.truth), *more),
                *dataclasses.replace(task, storages=(storage,)).flags(),
            ],
            task.threads,
        )
