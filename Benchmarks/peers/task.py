"""What is measured: the data, the metric, the parameters; and what comes back, the points of a sweep.

Shared by compare.py, which drives, and the engines' own processes.
"""

import argparse
import dataclasses
import hashlib
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS = ("cosine", "ip", "l2")
# Distances are sums in an order that each engine chooses: what is this near to the k-th exact one counts as found.
TIE = 1e-5


@dataclasses.dataclass(frozen=True)
class Task:
    """One comparison. `truth` is a file with the k-th exact distance of each query."""

    base: pathlib.Path
    queries: pathlib.Path
    metric: str
    k: int
    efforts: tuple[int, ...]
    links: int
    build_effort: int
    threads: int
    truth: pathlib.Path | None = None

    def flags(self) -> list[str]:
        """As flags of `bench index`, which the other engines' processes take too."""
        return [
            *("--base", str(self.base), "--queries", str(self.queries), "--metric", self.metric, "--k", str(self.k)),
            *("--ef", ",".join(map(str, self.efforts)), "--m", str(self.links)),
            *("--ef-construction", str(self.build_effort), "--threads", str(self.threads)),
        ]

    @classmethod
    def parse(cls, arguments: list[str]) -> "Task":
        """The inverse of `flags`, with `--truth FILE` besides."""
        parser = argparse.ArgumentParser()
        for name in ("base", "queries", "truth"):
            parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
        parser.add_argument("--metric", choices=METRICS, required=True)
        parser.add_argument("--ef", type=efforts, required=True)
        for name in ("k", "m", "ef-construction", "threads"):
            parser.add_argument(f"--{name}", type=int, required=True)
        got = parser.parse_args(arguments)
        return cls(
            base=got.base,
            queries=got.queries,
            metric=got.metric,
            k=got.k,
            efforts=got.ef,
            links=got.m,
            build_effort=got.ef_construction,
            threads=got.threads,
            truth=got.truth,
        )


@dataclasses.dataclass(frozen=True)
class Point:
    """What one setting gave in one round."""

    storage: str
    effort: int
    threads: int
    recall: float
    qps: float
    build_seconds: float
    bytes_per_vector: float
    # None where an engine does not count them.
    distances_per_query: float | None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Point":
        """Takes the fields it knows; an engine may report more."""
        return cls(**{field.name: value[field.name] for field in dataclasses.fields(cls)})


def efforts(text: str) -> tuple[int, ...]:
    """A list of candidate list sizes: "10,20,40"."""
    values = tuple(int(part) for part in text.split(","))
    if not all(value > 0 for value in values):
        raise ValueError(text)
    return values


def load(path: pathlib.Path, metric: str) -> NDArray[np.float32]:
    """The vectors as float32, C-contiguous; of unit length for cosine, so that a peer may use its inner product."""
    vectors: NDArray[np.float32] = np.ascontiguousarray(np.load(path), dtype=np.float32)
    if metric == "cosine":
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return vectors


def kth_distances(base: NDArray[np.float32], queries: NDArray[np.float32], metric: str, k: int) -> NDArray[np.float32]:
    """The exact distance of each query's k-th nearest row, by float32 matrix products. [queries]."""
    squares = np.einsum("ij,ij->i", base, base)
    found = np.empty(len(queries), dtype=np.float32)
    # In steps, so that the matrix stays below 256 MB.
    step = max(1, (64 << 20) // len(base))
    for begin in range(0, len(queries), step):
        part = queries[begin : begin + step]
        scores = part @ base.T
        if metric == "l2":
            scores = np.sqrt(np.maximum(squares - 2 * scores + np.einsum("ij,ij->i", part, part)[:, None], 0))
        else:
            scores = 1 - scores
        found[begin : begin + step] = np.partition(scores, k - 1, axis=1)[:, k - 1]
    return found


def recall(
    ids: NDArray[np.integer[Any]],
    base: NDArray[np.float32],
    queries: NDArray[np.float32],
    metric: str,
    kth: NDArray[np.float32],
) -> float:
    """The share of exact answers among `ids`, [queries, k]. Ties count; an id that comes twice counts once."""
    found = 0
    for row, query, farthest in zip(ids, queries, kth, strict=True):
        vectors = base[np.unique(row)]
        distances = np.linalg.norm(vectors - query, axis=1) if metric == "l2" else 1 - vectors @ query
        found += int((distances <= farthest + TIE).sum())
    return found / ids.size


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
