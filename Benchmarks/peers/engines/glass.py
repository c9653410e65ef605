"""pyglass, by Zilliz: an HNSW graph over quantized vectors, and a second look. The portable build from PyPI.

The graph is built on 8-bit codes and walked on codes of 4 or 8 bits, as its authors advise; the best of the walk are
scored again in 16-bit floats. One scale serves all vectors.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Library, PeerIndex, Setting
from task import Task

# Storages: the quantizers of the walk and of the second look.
QUANTIZERS = {"sq4u-f16": ("SQ4U", "FP16"), "sq8u-f16": ("SQ8U", "FP16"), "sq8u": ("SQ8U", "")}
# Its own factor between the results asked for and the candidates that are scored again. It cannot be set: to have more
# of them scored is to ask for more results than are wanted.
REFINED_PER_RESULT = 1.5
# Results asked for, in multiples of those wanted.
ASKED = (1, 2, 4)
# The effort at which it times prefetch distances.
TUNED_EFFORT = 48


class GlassIndex(PeerIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        import glass

        metric = "L2" if task.metric == "l2" else "IP"
        glass.set_num_threads(os.cpu_count() or 1)
        # R is the degree of the ground layer: twice M.
        graph = glass.Index(
            index_type="HNSW", metric=metric, quant="SQ8U", R=2 * task.links, L=task.build_effort
        ).build(base)
        walked, refined = QUANTIZERS[self.storage]
        self._searcher = glass.Searcher(graph, base, metric, walked, refined)
        self._refines = bool(refined)
        # Finds the prefetch distances of this machine, as its documentation says, for the threads that search first.
        glass.set_num_threads(task.threads[0])
        self._searcher.set_ef(TUNED_EFFORT)
        self._searcher.optimize()

    def settings(self, task: Task) -> list[Setting]:
        if not self._refines:
            return super().settings(task)
        return [
            Setting(effort, int(REFINED_PER_RESULT * asked * task.k))
            for effort in task.efforts
            for asked in ASKED
            # A walk holds at least as many candidates as are to be scored again: less effort would be the same.
            if asked == 1 or effort >= REFINED_PER_RESULT * asked * task.k
        ]

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        asked = k if setting.refined is None else round(setting.refined / REFINED_PER_RESULT)
        self._searcher.set_ef(setting.effort)
        ids: NDArray[np.integer[Any]]
        ids, _ = self._searcher.batch_search(queries, asked, threads)
        return ids[:, :k]


ENGINE = Library("glass", GlassIndex, tuple(QUANTIZERS), package="pyglass-portable", module="glass")
