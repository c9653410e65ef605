"""SVS, Intel's Scalable Vector Search: a Vamana graph, over vectors as they are or compressed by LVQ.

LVQ8 keeps 8 bits a component, LVQ4x8 walks on 4 bits and scores the list again with 8 more. LVQ is for processors of
Intel alone, by its terms and by a check of its own; what is left on others is f32 and f16.
"""

import os
import pathlib
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Library, PeerIndex, Setting
from task import Task

# Bits of a component in the walk, and of its remainder.
LVQ_BITS = {"lvq8": (8, 0), "lvq4x8": (4, 8)}
# Where a second level scores the list again: how much longer it may be than what the walk looks at.
CAPACITIES = (1.0, 1.5, 2.0)
# The start of a compressed vector: by the documentation, multiples of 32 bytes may be the fastest.
PADDING = 32


class SvsIndex(PeerIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        import svs

        nearer_is_less = task.metric == "l2"
        # What the documentation advises: as many edges as the ground layer of an HNSW graph has, and alpha on the side
        # of 1 where distances become more.
        parameters = svs.VamanaBuildParameters(
            graph_max_degree=2 * task.links, window_size=task.build_effort, alpha=1.2 if nearer_is_less else 0.95
        )
        distance = svs.DistanceType.L2 if nearer_is_less else svs.DistanceType.MIP
        with tempfile.TemporaryDirectory() as folder:
            self._index = svs.Vamana.build(
                parameters, self._data(base, pathlib.Path(folder)), distance, num_threads=os.cpu_count() or 1
            )

    def _data(self, base: NDArray[np.float32], folder: pathlib.Path) -> Any:  # noqa: ANN401 (a class of theirs)
        import svs

        if self.storage == "f32":
            return base
        if self.storage == "f16":
            return base.astype(np.float16)
        # It compresses from files alone.
        file = str(folder / "base.fvecs")
        svs.write_vecs(base, file)
        primary, residual = LVQ_BITS[self.storage]
        loader = svs.VectorDataLoader(file, svs.DataType.float32, base.shape[1])
        return svs.LVQLoader(loader, primary=primary, residual=residual, padding=PADDING)

    def settings(self, task: Task) -> list[Setting]:
        if self.storage not in LVQ_BITS or LVQ_BITS[self.storage][1] == 0:
            return super().settings(task)
        return [Setting(effort, int(effort * times)) for effort in task.efforts for times in CAPACITIES]

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        import svs

        parameters = self._index.search_parameters
        parameters.buffer_config = svs.SearchBufferConfig(setting.effort, setting.refined or setting.effort)
        self._index.search_parameters = parameters
        self._index.num_threads = threads
        ids: NDArray[np.integer[Any]]
        ids, _ = self._index.search(queries, k)
        return ids


ENGINE = Library("svs", SvsIndex, ("lvq4x8", "lvq8", "f16", "f32"), package="scalable-vs", module="svs")
