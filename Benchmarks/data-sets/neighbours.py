"""How near a set's rows are to its queries, exactly, a part of the set at a time."""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# 16,384 rows of 384 dimensions are 25 MB in float32, and their products with 2,000 queries 131 MB.
PART_ROWS = 16_384


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The `k` nearest rows of each query, nearest first. Both are [queries, k]."""

    rows: NDArray[np.int64]
    cosine_distances: NDArray[np.float32]

    def mean_distance(self, place: int) -> float:
        """The mean over the queries of the distance to the neighbour in that place; the nearest has place 1."""
        return float(self.cosine_distances[:, place - 1].mean())


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The rows in float32, scaled to unit length. A row of zeros stays."""
    wide = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.divide(wide, np.where(lengths > 0, lengths, 1), dtype=np.float32)
    return scaled


def nearest(
    base: NDArray[np.floating],
    queries: NDArray[np.floating],
    k: int,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Nearest:
    """The exact `k` nearest rows of `base` under cosine distance, by float32 products. Of equal rows, any counts.

    `base` may be a memory map: `PART_ROWS` of it are read at a time. `on_rows` is told of each part.
    """
    if not 1 <= k <= len(base):
        raise ValueError(f"k {k} of {len(base)} rows")
    wanted = unit(queries)
    rows = np.empty((len(wanted), 0), dtype=np.int64)
    scores = np.empty((len(wanted), 0), dtype=np.float32)
    for begin in range(0, len(base), PART_ROWS):
        found = wanted @ unit(base[begin : begin + PART_ROWS]).T
        best = np.argpartition(-found, min(k, found.shape[1]) - 1, axis=1)[:, :k]
        scores = np.hstack([scores, np.take_along_axis(found, best, axis=1)])
        rows = np.hstack([rows, best + begin])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        on_rows(found.shape[1])
    return Nearest(rows, 1 - scores)
