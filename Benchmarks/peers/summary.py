"""From the points of several rounds to what is reported: speed at equal recall, medians, ratios."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from task import Point

TARGETS = (0.90, 0.95, 0.99)


@dataclasses.dataclass(frozen=True)
class AtRecall:
    """One series at one recall. None where it does not get there in most rounds."""

    recall: float
    qps: float | None
    # Against the first engine's first series, round by round, so that a slow minute of the machine hits both.
    ratio: float | None


@dataclasses.dataclass(frozen=True)
class Series:
    """An engine with one way to keep its vectors."""

    engine: str
    storage: str
    build_seconds: float
    bytes_per_vector: float
    at: tuple[AtRecall, ...]

    @property
    def name(self) -> str:
        return f"{self.engine} {self.storage}"


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in recall and speed at once; recall ascends, speed descends."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.recall, -point.qps)):
        if not front or point.qps > front[-1].qps:
            front.append(point)
    return front[::-1]


def qps_at(points: Sequence[Point], recall: float) -> float | None:
    """The speed at that recall, between the two points of the front around it, geometrically.

    Below the front's least recall its fastest point counts: more recall at the same speed is no worse. None above it.
    """
    front = pareto_front(points)
    above = next((i for i, point in enumerate(front) if point.recall >= recall), None)
    if above is None:
        return None
    if above == 0:
        return front[0].qps
    low, high = front[above - 1], front[above]
    part = (recall - low.recall) / (high.recall - low.recall)
    return math.exp((1 - part) * math.log(low.qps) + part * math.log(high.qps))


def median(values: Sequence[float | None]) -> float | None:
    """The median; None when fewer than half are numbers."""
    numbers = [value for value in values if value is not None]
    return statistics.median(numbers) if 2 * len(numbers) > len(values) else None


def summarize(rounds: Sequence[dict[str, list[Point]]]) -> list[Series]:
    """Each round holds the points of every engine, in one order; the first engine is what others are held against."""
    names = [(engine, storage) for engine in rounds[0] for storage in storages(rounds[0][engine])]

    def of(points: dict[str, list[Point]], name: tuple[str, str]) -> list[Point]:
        return [point for point in points[name[0]] if point.storage == name[1]]

    found = []
    for name in names:
        at = []
        for target in TARGETS:
            speeds = [qps_at(of(points, name), target) for points in rounds]
            reference = [qps_at(of(points, names[0]), target) for points in rounds]
            ratios = [a / b if a and b else None for a, b in zip(speeds, reference, strict=True)]
            at.append(AtRecall(target, median(speeds), median(ratios)))
        first = of(rounds[0], name)[0]
        found.append(Series(*name, first.build_seconds, first.bytes_per_vector, tuple(at)))
    return found


def storages(points: Sequence[Point]) -> list[str]:
    """The storages of an engine's points, in order of appearance."""
    return list(dict.fromkeys(point.storage for point in points))


def typical_points(rounds: Sequence[dict[str, list[Point]]], engine: str, storage: str) -> list[Point]:
    """A series with the median recall and speed of each effort, for a chart."""
    by_effort: dict[int, list[Point]] = {}
    for points in rounds:
        for point in points[engine]:
            if point.storage == storage:
                by_effort.setdefault(point.effort, []).append(point)
    return [
        dataclasses.replace(
            points[0],
            recall=statistics.median(point.recall for point in points),
            qps=statistics.median(point.qps for point in points),
        )
        for _, points in sorted(by_effort.items())
    ]
