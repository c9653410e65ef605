"""hnswlib, by the authors of the HNSW paper. From PyPI, compiled for this processor when it was installed."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Library, PeerIndex, Setting
from task import Task


class HnswlibIndex(PeerIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        import hnswlib

        # Of unit length, vectors have the order of their inner products.
        self._index = hnswlib.Index("l2" if task.metric == "l2" else "ip", base.shape[1])
        self._index.init_index(len(base), M=task.links, ef_construction=task.build_effort, random_seed=100)
        self._index.set_num_threads(os.cpu_count() or 1)
        self._index.add_items(base, np.arange(len(base)))

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        self._index.set_ef(setting.effort)
        ids: NDArray[np.integer[Any]]
        ids, _ = self._index.knn_query(queries, k=k, num_threads=threads)
        return ids


ENGINE = Library("hnswlib", HnswlibIndex, ("f32",), package="hnswlib", module="hnswlib")
