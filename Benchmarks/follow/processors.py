"""Who uses the processors: seconds by process and by thread, how long each waited for one, and what others took."""

import collections
import os
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

PROC = pathlib.Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """Seconds on a processor, and seconds in which one was wanted and others had it."""

    busy: float = 0.0
    waited: float = 0.0

    def plus(self, other: "Used") -> "Used":
        return Used(self.busy + other.busy, self.waited + other.waited)

    def since(self, other: "Used") -> "Used":
        return Used(self.busy - other.busy, self.waited - other.waited)


def scheduled(text: str) -> Used:
    """Of a `schedstat` file: nanoseconds run, nanoseconds waited, times run."""
    run, waited, _ = text.split()
    return Used(int(run) / 1e9, int(waited) / 1e9)


def ticks_of(stat: str) -> float:
    """Of a process's `stat` file: seconds, those of its ended threads among them."""
    fields = fields_of(stat)
    return (int(fields[11]) + int(fields[12])) / TICKS


def reaped_of(stat: str) -> float:
    """Of the same: seconds of its children that have ended."""
    fields = fields_of(stat)
    return (int(fields[13]) + int(fields[14])) / TICKS


def fields_of(stat: str) -> list[str]:
    """From the process's state on. The name before may have blanks and brackets."""
    return stat.rpartition(")")[2].split()


def stat(process: int) -> str:
    return (PROC / str(process) / "stat").read_text()


def parent(process: int) -> int:
    return int(fields_of(stat(process))[1])


def busy_of(line: str) -> float:
    """Of the first line of `/proc/stat`: seconds in which processors were not idle, or were taken from this machine."""
    user, nice, system, _idle, _waiting, irq, softirq, steal, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq + steal) / TICKS


def threads(process: int) -> dict[tuple[int, str], Used]:
    """By thread's number and name."""
    found: dict[tuple[int, str], Used] = {}
    for task in (PROC / str(process) / "task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            found[int(task.name), name] = scheduled((task / "schedstat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


class Moment:
    """What everybody has used up to now.

    Args:
        by_thread: processes that are told apart by their threads, by their names here.
        whole: processes that are not.
        parents: processes of whose children those that have ended are counted.
    """

    def __init__(
        self, by_thread: Mapping[str, int], whole: Mapping[str, Iterable[int]], parents: Mapping[str, int]
    ) -> None:
        self.at = time.perf_counter()
        self.busy = busy_of((PROC / "stat").read_text().partition("\n")[0])
        self.threads: dict[tuple[str, int, str], Used] = {}
        self.processes: dict[tuple[str, int], float] = {}
        for name, process in by_thread.items():
            for (number, thread), used in threads(process).items():
                self.threads[name, number, thread] = used
            self._take(name, process)
        for name, processes in whole.items():
            for process in processes:
                try:
                    for (number, _), used in threads(process).items():
                        self.threads[name, number, ""] = used
                    self._take(name, process)
                except (FileNotFoundError, ProcessLookupError):
                    continue

        self.reaped = {name: reaped_of(stat(process)) for name, process in parents.items()}

    def _take(self, name: str, process: int) -> None:
        self.processes[name, process] = ticks_of(stat(process))

    def since(self, before: "Moment") -> dict[str, Any]:
        """Seconds in between, by name and thread: `[on a processor, waiting for one]`, where either is worth a word."""
        used: dict[str, Used] = collections.defaultdict(Used)
        of_threads: dict[str, float] = collections.defaultdict(float)
        for key, now in self.threads.items():
            name, _, thread = key
            difference = now.since(before.threads.get(key, Used()))
            label = f"{name}: {thread}" if thread else name
            used[label] = used[label].plus(difference)
            of_threads[name] += difference.busy
        total = 0.0
        for name in {name for name, _ in self.processes}:
            ours = sum(
                seconds - before.processes.get((name, process), 0.0)
                for (one, process), seconds in self.processes.items()
                if one == name
            )
            total += ours
            # Threads that have come and gone are in the process's sum alone; that counts whole ticks.
            if ours - of_threads[name] > 0.05:
                used[f"{name}: ended threads"] = Used(ours - of_threads[name])
        for name, seconds in self.reaped.items():
            ended = seconds - before.reaped.get(name, 0.0)
            used[f"{name}: ended children"] = Used(ended)
            total += ended
        shown = {
            label: [round(one.busy, 3), round(one.waited, 3)]
            for label, one in sorted(used.items(), key=lambda pair: -pair[1].busy)
            if one.busy >= 0.005 or one.waited >= 0.05
        }
        return {
            "seconds": round(self.at - before.at, 3),
            "used": shown,
            "others": round(max(0.0, self.busy - before.busy - total), 3),
        }
