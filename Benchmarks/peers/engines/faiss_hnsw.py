"""Faiss, by Meta: its HNSW graph, over vectors as they are or over 8-bit codes with a second look at 16-bit floats."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Library, PeerIndex, Setting
from task import Task

# Storages, as Faiss's index factory writes them behind "HNSW" and M.
CODES = {"f32": ",Flat", "sq8-f16": "_SQ8,Refine(SQfp16)"}
# Candidates that are scored again, in multiples of k.
REFINED = (1, 2, 4)


class FaissHnswIndex(PeerIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        import faiss

        metric = faiss.METRIC_L2 if task.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        self._index = faiss.index_factory(base.shape[1], f"HNSW{task.links}{CODES[self.storage]}", metric)
        self._refines = isinstance(self._index, faiss.IndexRefine)
        graph = faiss.downcast_index(self._index.base_index) if self._refines else self._index
        graph.hnsw.efConstruction = task.build_effort
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        self._index.train(base)
        self._index.add(base)

    def settings(self, task: Task) -> list[Setting]:
        if not self._refines:
            return super().settings(task)
        return [
            Setting(effort, task.k * times) for effort in task.efforts for times in REFINED if effort >= task.k * times
        ]

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        import faiss

        faiss.omp_set_num_threads(threads)
        parameters = faiss.SearchParametersHNSW(efSearch=setting.effort)
        if setting.refined is not None:
            parameters = faiss.IndexRefineSearchParameters(k_factor=setting.refined / k, base_index_params=parameters)
        ids: NDArray[np.integer[Any]]
        _, ids = self._index.search(queries, k, params=parameters)
        return ids


ENGINE = Library("faiss_hnsw", FaissHnswIndex, tuple(CODES), package="faiss-cpu", module="faiss")
