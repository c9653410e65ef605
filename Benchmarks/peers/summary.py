"""From the points of several rounds to what is reported: speed at equal recall, medians, ratios."""

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Sequence

from task import Point

TARGETS = (0.90, 0.95, 0.99)
#: The engine whose storages are held against the best of all others.
OURS = "vizinho"

#: The points of every engine. Those of one storage and count of threads are in the same order in every round.
Round = dict[str, list[Point]]


@dataclasses.dataclass(frozen=True)
class AtRecall:
    """One series at one recall. None where it does not get there in most rounds, or what it is held against does not.

    A ratio is taken within each round, so that a slow minute of the machine hits both; the median is what counts.
    """

    recall: float
    qps: float | None
    #: Against the first series with as many threads.
    ratio: float | None
    #: For a series of ours: against the fastest series of any other engine at this recall, round by round.
    best_peer_ratio: float | None
    #: The one that was the fastest in most rounds.
    best_peer: str | None
    #: Against the same series with the fewest threads that were measured.
    scaling: float | None


@dataclasses.dataclass(frozen=True)
class Series:
    """An engine with one way to keep its vectors, searched with one count of threads."""

    engine: str
    storage: str
    threads: int
    build_seconds: float
    bytes_per_vector: float
    peak_bytes_per_vector: float | None
    at: tuple[AtRecall, ...]

    @property
    def name(self) -> str:
        return f"{self.engine} {self.storage}"


@dataclasses.dataclass(frozen=True)
class Key:
    """What makes a series."""

    engine: str
    storage: str
    threads: int

    def points(self, one: Round) -> list[Point]:
        return [p for p in one[self.engine] if p.storage == self.storage and p.threads == self.threads]


def keys(one: Round) -> list[Key]:
    """All series of a round, in order of appearance; those of few threads first."""
    found = dict.fromkeys(Key(engine, point.storage, point.threads) for engine in one for point in one[engine])
    return sorted(found, key=lambda key: key.threads)


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


def median_ratio(above: Sequence[float | None], below: Sequence[float | None]) -> float | None:
    """The median of the rounds' ratios, of those rounds that have both."""
    return median([a / b if a and b else None for a, b in zip(above, below, strict=True)])


def summarize(rounds: Sequence[Round]) -> list[Series]:
    """One series for each engine, storage and count of threads. Others are held against the first with their count."""
    every = keys(rounds[0])
    speeds = {(key, target): [qps_at(key.points(one), target) for one in rounds] for key in every for target in TARGETS}
    found = []
    for key in every:
        alike = [other for other in every if other.threads == key.threads]
        peers = [other for other in alike if other.engine != OURS] if key.engine == OURS else []
        fewest = next(other for other in every if (other.engine, other.storage) == (key.engine, key.storage))
        at = []
        for target in TARGETS:
            mine = speeds[key, target]
            best, best_speeds = best_of({peer: speeds[peer, target] for peer in peers}, len(rounds))
            best_ratio = median_ratio(mine, best_speeds)
            at.append(
                AtRecall(
                    recall=target,
                    qps=median(mine),
                    ratio=median_ratio(mine, speeds[alike[0], target]),
                    best_peer_ratio=best_ratio,
                    best_peer=best if best_ratio is not None else None,
                    scaling=median_ratio(mine, speeds[fewest, target]) if fewest != key else None,
                )
            )
        first = key.points(rounds[0])[0]
        found.append(
            Series(
                **dataclasses.asdict(key),
                build_seconds=first.build_seconds,
                bytes_per_vector=first.bytes_per_vector,
                peak_bytes_per_vector=first.peak_bytes_per_vector,
                at=tuple(at),
            )
        )
    return found


def best_of(speeds: dict[Key, list[float | None]], rounds_count: int) -> tuple[str | None, list[float | None]]:
    """The series that is most often the fastest of its round, and the speed of each round's fastest."""
    fastest: list[float | None] = []
    wins: Counter[str] = Counter()
    for i in range(rounds_count):
        there = [(speed, key) for key, rounds in speeds.items() if (speed := rounds[i]) is not None]
        if not there:
            fastest.append(None)
            continue
        speed, key = max(there, key=lambda one: one[0])
        fastest.append(speed)
        wins[f"{key.engine} {key.storage}"] += 1
    return (wins.most_common(1)[0][0] if wins else None), fastest


def typical_points(rounds: Sequence[Round], key: Key) -> list[Point]:
    """A series with the median recall and speed of each setting, for a chart."""
    return [
        dataclasses.replace(
            points[0],
            recall=statistics.median(point.recall for point in points),
            qps=statistics.median(point.qps for point in points),
        )
        for points in zip(*(key.points(one) for one in rounds), strict=True)
    ]
