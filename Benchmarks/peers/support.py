"""What the tests of comparing and of inserting have in common: made-up points, tasks, programs and a library."""

import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np
from engines import Launch
from numpy.typing import NDArray
from peer import PeerIndex, Setting
from task import Point, Task


def point(recall: float, qps: float, effort: int = 10, storage: str = "f32", threads: int = 1) -> Point:
    return Point(storage, effort, threads, recall, qps, 2.5, 1_600.0)


def task_of(folder: pathlib.Path, **changes: Any) -> Task:  # noqa: ANN401 (fields of several types)
    given = Task(folder / "b.npy", folder / "q.npy", "ip", 7, (10, 20), 12, 150, (1,), truth=folder)
    return dataclasses.replace(given, **changes)


def program(text: str, name: str = "made up", threads: tuple[int, ...] = (1, 2)) -> Launch:
    return Launch(name, [sys.executable, "-c", text], threads)


class Exhaustive(PeerIndex):
    """An index that looks at every row, and forgets what it should not have found at low effort."""

    def build(self, base: NDArray[np.float32], task: Task) -> None:
        assert task.k == 10
        # Touched, so that it is resident; and something large that is gone when it is built.
        self._base = base.copy()
        np.ones(16 << 20, dtype=np.uint8)

    def settings(self, task: Task) -> list[Setting]:
        return [Setting(effort, refined) for effort in task.efforts for refined in (None, 30)]

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        assert threads == 3
        found = np.argsort(-queries @ self._base.T, axis=1)[:, :k]
        return np.where(np.arange(k) < setting.effort, found, -1)
