"""The process of a library with Python bindings: builds once, sweeps when told, and measures.

`peer_process.py ENGINE FLAGS…`, with what `Task.parse` takes, and one storage. With `--insert PERCENT` a round inserts
the last rows into an index of those before.
"""

import argparse
import ctypes
import dataclasses
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator

import engines
import numpy as np
from insertion import Insertion, rows_before
from peer import GrowingIndex, Library, PeerIndex, Setting
from task import Exact, Point, Task, load

# A pass over few queries is over too soon to be timed: it is repeated for at least so long, as in `bench index`.
PASS_SECONDS_MIN = 0.3


class Sweeper:
    """An index that was built and measured, ready to sweep."""

    def __init__(self, index: PeerIndex, task: Task, exact: Exact) -> None:
        base = load(task.base, task.metric)
        self._index, self._task, self._exact = index, task, exact
        self._queries = np.array(exact.queries)
        before, forgotten = resident_bytes(), forget_peak()
        begun = time.perf_counter()
        index.build(base, task)
        self._build_seconds = time.perf_counter() - begun
        self._bytes_per_vector = max(resident_bytes() - before, 0) / len(base)
        self._peak_bytes_per_vector = max(peak_resident_bytes() - before, 0) / len(base) if forgotten else None

    def sweep(self, threads: int) -> Iterator[Point]:
        for setting in self._index.settings(self._task):
            # Judged and not timed, as in `bench index`: what is timed finds the caches as one pass leaves them.
            ids = self._index.search(self._queries, self._task.k, setting, threads)
            passes, seconds, processor_seconds = 0, 0.0, 0.0
            while passes == 0 or seconds < PASS_SECONDS_MIN:
                begun, processor_begun = time.perf_counter(), time.process_time()
                self._index.search(self._queries, self._task.k, setting, threads)
                seconds += time.perf_counter() - begun
                processor_seconds += time.process_time() - processor_begun
                passes += 1
            yield Point(
                storage=self._index.storage,
                effort=setting.effort,
                threads=threads,
                recall=self._exact.recall(ids, self._task.metric),
                qps=passes * len(self._queries) / seconds,
                build_seconds=self._build_seconds,
                bytes_per_vector=self._bytes_per_vector,
                peak_bytes_per_vector=self._peak_bytes_per_vector,
                processor_us_per_query=processor_seconds * 1e6 / (passes * len(self._queries)),
                refined=setting.refined,
            )


class Inserter:
    """An index of the first rows, kept in a file, ready to take the last ones again and again."""

    def __init__(self, index: GrowingIndex, task: Task, exact: Exact, percent: int) -> None:
        assert task.truth is not None
        base = load(task.base, task.metric)
        self._index, self._task, self._exact, self._shape = index, task, exact, base.shape
        self._before = rows_before(len(base), percent)
        self._kept = task.truth / f"index-{index.storage}"
        index.build(base[: self._before], task)
        index.keep(self._kept)
        # The rows before are in the file.
        self._rows = base[self._before :].copy()
        self._queries = np.array(exact.queries)

    def sweep(self, threads: int) -> Iterator[Insertion]:
        self._index.restore(self._kept, (self._shape[0], self._shape[1]), self._task)
        begun, processor_begun = time.perf_counter(), time.process_time()
        self._index.insert(self._rows, self._before, threads)
        seconds, processor_seconds = time.perf_counter() - begun, time.process_time() - processor_begun
        (effort,) = self._task.efforts
        ids = self._index.search(self._queries, self._task.k, Setting(effort), 1)
        yield Insertion(
            storage=self._index.storage,
            threads=threads,
            rows_before=self._before,
            rows=len(self._rows),
            rows_per_second=len(self._rows) / seconds,
            processor_us_per_row=processor_seconds * 1e6 / len(self._rows),
            effort=effort,
            recall=self._exact.recall(ids, self._task.metric),
        )


def main() -> None:
    """Speaks what engines/__init__.py describes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=engines.known())
    parser.add_argument("--insert", type=int, metavar="PERCENT")
    got, flags = parser.parse_known_args()
    task = Task.parse(flags)
    engine = engines.engine(got.engine)
    assert isinstance(engine, Library)
    (storage,) = task.storages
    # A library that prints must not be taken for the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    # Its code is not what an index takes.
    importlib.import_module(engine.module)
    index, exact = engine.make(storage), Exact.read(task)
    sweeper: Sweeper | Inserter
    if got.insert is None:
        sweeper = Sweeper(index, task, exact)
    else:
        assert isinstance(index, GrowingIndex)
        sweeper = Inserter(index, task, exact, got.insert)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        word, _, count = line.strip().partition(" ")
        if word != "run" or not count.isdecimal():
            sys.exit(f"unknown request {line.strip()!r}")
        print(json.dumps([dataclasses.asdict(point) for point in sweeper.sweep(int(count))]), file=answers, flush=True)


def resident_bytes() -> int:
    """How much memory this process holds, without what it has freed and would use again."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def peak_resident_bytes() -> int:
    """The most that this process held since `forget_peak`."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))


def forget_peak() -> bool:
    """Lets the peak begin anew at what is held now. False where the system does not allow that."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
