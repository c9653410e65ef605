"""USearch, by Unum: an HNSW graph over vectors in half or quarter the bytes, without a second look. From PyPI."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Library, PeerIndex, Setting
from task import Task


class UsearchIndex(PeerIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=base.shape[1],
            # Of unit length, vectors have the order of their inner products.
            metric="l2sq" if task.metric == "l2" else "ip",
            dtype=self.storage,
            # Twice as many on the ground layer.
            connectivity=task.links,
            expansion_add=task.build_effort,
        )
        self._index.add(np.arange(len(base)), base, threads=os.cpu_count() or 1)

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        self._index.expansion_search = setting.effort
        found: NDArray[np.uint64] = self._index.search(queries, k, threads=threads).keys
        return found.astype(np.int64)


ENGINE = Library("usearch", UsearchIndex, ("f16", "bf16", "i8"), package="usearch", module="usearch.index")
