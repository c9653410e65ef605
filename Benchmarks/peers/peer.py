"""Makes an engine's process out of a library with Python bindings: builds once, sweeps when told, and measures."""

import abc
import dataclasses
import json
import os
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from task import Point, Task, load, recall

# A pass over few queries is over too soon to be timed: it is repeated for at least so long.
PASS_SECONDS_MIN = 0.2


class PeerIndex(abc.ABC):
    """An index of another library. Vectors come as float32, of unit length when the metric is cosine."""

    #: How it keeps vectors, for the report.
    storage = "f32"

    @abc.abstractmethod
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        """Makes the index with all rows, on all processors; row i has the id i."""

    @abc.abstractmethod
    def search(self, queries: NDArray[np.float32], effort: int, task: Task) -> NDArray[np.integer[Any]]:
        """The ids of the `task.k` nearest rows of every query, in one call, on `task.threads` threads."""


def command(module_file: str, task: Task) -> list[str]:
    """The process for a module of engines/ whose last lines call `main`."""
    assert task.truth is not None
    return [sys.executable, module_file, *task.flags(), "--truth", str(task.truth)]


def main(index: PeerIndex) -> None:
    """Speaks what engines/__init__.py describes."""
    task = Task.parse(sys.argv[1:])
    base, queries = load(task.base, task.metric), load(task.queries, task.metric)
    assert task.truth is not None
    kth = np.load(task.truth)
    # A library that prints must not be taken for the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    before = resident_bytes()
    begun = time.perf_counter()
    index.build(base, task)
    build_seconds = time.perf_counter() - begun
    bytes_per_vector = max(resident_bytes() - before, 0) / len(base)
    print("ready", file=answers, flush=True)

    for line in sys.stdin:
        if line.strip() != "run":
            sys.exit(f"unknown request {line.strip()!r}")
        points = []
        for effort in task.efforts:
            passes, seconds = 0, 0.0
            while seconds < PASS_SECONDS_MIN:
                begun = time.perf_counter()
                ids = index.search(queries, effort, task)
                seconds += time.perf_counter() - begun
                passes += 1
            points.append(
                Point(
                    storage=index.storage,
                    effort=effort,
                    threads=task.threads,
                    recall=recall(ids, base, queries, task.metric, kth),
                    qps=passes * len(queries) / seconds,
                    build_seconds=build_seconds,
                    bytes_per_vector=bytes_per_vector,
                    distances_per_query=None,
                )
            )
        print(json.dumps([dataclasses.asdict(point) for point in points]), file=answers, flush=True)


def resident_bytes() -> int:
    """How much memory this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
