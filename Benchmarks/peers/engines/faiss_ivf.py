"""Faiss, by Meta: inverted lists of codes that are summed in registers ("fast scan"), and a second look at f16.

No graph: it reads whole lists. The codes are of a product quantizer, 4 bits each, or RaBitQ's, one bit a component.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Library, PeerIndex, Setting
from task import Task

STORAGES = ("pq-f16", "rabitq-f16")
# Faiss advises between 4 √n and 16 √n lists below a million rows, and 39 rows or more to learn each of them from.
LISTS_PER_ROOT = 4
ROWS_PER_LIST_MIN = 39
# Lists read, in shares of all.
PROBED = (1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 11, 1 / 8, 1 / 6, 1 / 4, 3 / 8, 1 / 2)
# Candidates that are scored again, in multiples of k.
REFINED = (2, 4, 8, 16)
# Components of a vector for each 4-bit code of the product quantizer, at the least.
COMPONENTS_PER_CODE = 3


class FaissIvfIndex(PeerIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        import faiss

        rows, dimension = base.shape
        self._lists = max(1, min(int(LISTS_PER_ROOT * rows**0.5), rows // ROWS_PER_LIST_MIN))
        codes = f"PQ{codes_of(dimension)}x4fs" if self.storage == "pq-f16" else "RaBitQfs"
        metric = faiss.METRIC_L2 if task.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        self._index = faiss.index_factory(dimension, f"IVF{self._lists},{codes},Refine(SQfp16)", metric)
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        self._index.train(base)
        self._index.add(base)

    def settings(self, task: Task) -> list[Setting]:
        probed = sorted({max(1, round(share * self._lists)) for share in PROBED})
        return [Setting(count, task.k * times) for count in probed for times in REFINED]

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        import faiss

        assert setting.refined is not None
        faiss.omp_set_num_threads(threads)
        lists = faiss.SearchParametersIVF(nprobe=setting.effort)
        parameters = faiss.IndexRefineSearchParameters(k_factor=setting.refined / k, base_index_params=lists)
        ids: NDArray[np.integer[Any]]
        _, ids = self._index.search(queries, k, params=parameters)
        return ids


def codes_of(dimension: int) -> int:
    """How many codes a vector has: as many as divide its components evenly, of no fewer components than the least."""
    most = max(1, dimension // COMPONENTS_PER_CODE)
    return next(count for count in range(most, 0, -1) if dimension % count == 0)


ENGINE = Library("faiss_ivf", FaissIvfIndex, STORAGES, package="faiss-cpu", module="faiss")
