"""hnswlib, by the authors of the HNSW paper. From PyPI, compiled for this processor when it was installed."""

import os
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import GrowingIndex, Library, Setting
from task import Task


class HnswlibIndex(GrowingIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        import hnswlib

        self._index = hnswlib.Index(space(task), base.shape[1])
        self._index.init_index(len(base), M=task.links, ef_construction=task.build_effort, random_seed=100)
        self._index.set_num_threads(os.cpu_count() or 1)
        self._index.add_items(base, np.arange(len(base)))

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        self._index.set_ef(setting.effort)
        ids: NDArray[np.integer[Any]]
        ids, _ = self._index.knn_query(queries, k=k, num_threads=threads)
        return ids

    def keep(self, path: pathlib.Path) -> None:
        self._index.save_index(str(path))

    def restore(self, path: pathlib.Path, shape: tuple[int, int], task: Task) -> None:
        import hnswlib

        rows, dimension = shape
        self._index = hnswlib.Index(space(task), dimension)
        self._index.load_index(str(path), max_elements=rows)

    def insert(self, vectors: NDArray[np.float32], first: int, threads: int) -> None:
        self._index.add_items(vectors, np.arange(first, first + len(vectors)), num_threads=threads)


def space(task: Task) -> str:
    """What it calls the metric. Of unit length, vectors have the order of their inner products."""
    return "l2" if task.metric == "l2" else "ip"


ENGINE = Library("hnswlib", HnswlibIndex, ("f32",), package="hnswlib", module="hnswlib", grows=True)
