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
from vectors import VectorFileError, read_vectors

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
METRICS = ("cosine", "ip", "l2")
# Distances are sums in an order that each engine chooses: what is this near to the k-th exact one counts as found.
TIE = 1e-5


@dataclasses.dataclass(frozen=True)
class Task:
    """One comparison, or the part of it that one process measures."""

    base: pathlib.Path
    queries: pathlib.Path
    metric: str
    k: int
    efforts: tuple[int, ...]
    links: int
    build_effort: int
    #: Counts of threads to search with, one after the other.
    threads: tuple[int, ...]
    #: How an engine keeps vectors, by its own names; empty: as it likes.
    storages: tuple[str, ...] = ()
    #: Whether ours is asked for recalls, too, for which it calibrates its index.
    asks_recalls: bool = True
    #: The folder of `Exact`, for who needs it.
    truth: pathlib.Path | None = None

    def flags(self) -> list[str]:
        """As flags of `bench index`, which the other engines' processes take too."""
        storages = ("--storage", ",".join(self.storages)) if self.storages else ()
        return [
            *("--base", str(self.base), "--queries", str(self.queries), "--metric", self.metric, "--k", str(self.k)),
            *("--ef", ",".join(map(str, self.efforts)), "--m", str(self.links)),
            *("--ef-construction", str(self.build_effort), "--threads", ",".join(map(str, self.threads))),
            *storages,
        ]

    @classmethod
    def parse(cls, arguments: list[str]) -> "Task":
        """The inverse of `flags`, with `--truth FOLDER` besides."""
        parser = argparse.ArgumentParser()
        for name in ("base", "queries"):
            parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
        parser.add_argument("--metric", choices=METRICS, required=True)
        for name in ("ef", "threads"):
            parser.add_argument(f"--{name}", type=counts, required=True)
        for name in ("k", "m", "ef-construction"):
            parser.add_argument(f"--{name}", type=int, required=True)
        parser.add_argument("--storage", type=names, default=())
        parser.add_argument("--truth", type=pathlib.Path)
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
            storages=got.storage,
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
    #: What the index takes, for each of its rows.
    bytes_per_vector: float
    # None where an engine does not say it.
    #: How much more than before the process held at the worst moment of the build, for each row.
    peak_bytes_per_vector: float | None = None
    distances_per_query: float | None = None
    #: Of all threads together: what is left of the time when others who use the machine are taken out.
    processor_us_per_query: float | None = None
    #: How many candidates were scored again, with better distances than those of the walk.
    refined: int | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Point":
        """Takes the fields it knows; an engine may report more."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: what for name, what in value.items() if name in known})


def counts(text: str) -> tuple[int, ...]:
    """A list of positive numbers: "10,20,40"."""
    values = tuple(int(part) for part in text.split(","))
    if not all(value > 0 for value in values):
        raise ValueError(text)
    return values


def names(text: str) -> tuple[str, ...]:
    """A list of names: "f32,int8"."""
    values = tuple(text.split(","))
    if not all(values):
        raise ValueError(text)
    return values


def load(path: pathlib.Path, metric: str) -> NDArray[np.float32]:
    """The vectors of a file; of unit length for cosine, so that a peer may use its inner product."""
    vectors = read_vectors(path)
    if metric == "cosine":
        # Not by `linalg.norm`, which takes two copies of all vectors for that.
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, np.newaxis]
    return vectors


@dataclasses.dataclass(frozen=True)
class Exact:
    """The vectors as they are searched, and the exact answers. In files, so that all processes share their pages."""

    base: NDArray[np.float32]
    queries: NDArray[np.float32]
    #: The distance of each query's k-th nearest row.
    kth: NDArray[np.float32]

    @classmethod
    def write(cls, task: Task) -> "Exact":
        """Reads the vectors of `task`, and writes into its folder what `read` finds. Throws VectorFileError."""
        assert task.truth is not None
        base, queries = load(task.base, task.metric), load(task.queries, task.metric)
        if base.shape[1] != queries.shape[1]:
            raise VectorFileError(f"the base has {base.shape[1]} dimensions and the queries have {queries.shape[1]}")
        if len(base) < task.k:
            raise VectorFileError(f"k is {task.k} and the base has {len(base)} rows: they cannot be found")
        exact = cls(base, queries, kth_distances(base, queries, task.metric, task.k))
        for field in dataclasses.fields(cls):
            np.save(task.truth / f"{field.name}.npy", getattr(exact, field.name))
        return exact

    @classmethod
    def read(cls, task: Task) -> "Exact":
        """Maps the files: pages are read as they are touched, and all processes share them."""
        assert task.truth is not None
        return cls(*(np.load(task.truth / f"{field.name}.npy", mmap_mode="r") for field in dataclasses.fields(cls)))

    def recall(self, ids: NDArray[np.integer[Any]], metric: str) -> float:
        """The share of exact answers among `ids`, [queries, k]. Ties count; an id that comes twice counts once.

        An id that is no row's counts as nothing found: some libraries fill up with -1.
        """
        found = 0
        for row, query, farthest in zip(ids, self.queries, self.kth, strict=True):
            unique = np.unique(row)
            vectors = self.base[unique[(unique >= 0) & (unique < len(self.base))]]
            found += int((distances(vectors, query, metric) <= farthest + TIE).sum())
        return found / ids.size


def distances(vectors: NDArray[np.float32], query: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """From `query` to each of `vectors`, [rows, dimension]."""
    found: NDArray[np.float32] = np.linalg.norm(vectors - query, axis=1) if metric == "l2" else 1 - vectors @ query
    return found


def kth_distances(base: NDArray[np.float32], queries: NDArray[np.float32], metric: str, k: int) -> NDArray[np.float32]:
    """The exact distance of each query's k-th nearest row, [queries].

    Matrix products find the rows: a few more than k, for their rounding. What counts is measured again on those, in the
    way in which `Exact.recall` measures what an engine found.
    """
    # Where vectors are long and near each other, a difference of their squares is nearly all rounding: about the mean,
    # which moves no distance, they are short. A product is taken as it is, and needs no second base.
    mean = base.mean(axis=0) if metric == "l2" else np.zeros(base.shape[1], dtype=np.float32)
    centred = base - mean if metric == "l2" else base
    squares = np.einsum("ij,ij->i", centred, centred)
    found = np.empty(len(queries), dtype=np.float32)
    taken = min(2 * k + 10, len(base))
    # In steps, so that the matrix stays below 256 MB.
    step = max(1, (64 << 20) // len(base))
    for begin in range(0, len(queries), step):
        part = queries[begin : begin + step]
        scores = (part - mean) @ centred.T
        # Least first. The square of the query is the same for all rows.
        scores = squares - 2 * scores if metric == "l2" else -scores
        nearest = np.argpartition(scores, taken - 1, axis=1)[:, :taken]
        for i, (query, rows) in enumerate(zip(part, nearest, strict=True)):
            found[begin + i] = np.partition(distances(base[rows], query, metric), k - 1)[k - 1]
    return found


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
