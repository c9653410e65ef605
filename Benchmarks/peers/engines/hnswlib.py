"""hnswlib, by the authors of the HNSW paper. From PyPI, compiled for this processor when it was installed."""

import importlib.metadata
import os
import pathlib
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = pathlib.Path(__file__).resolve()
# As a program this file lies first on the path and would be what `import hnswlib` finds.
sys.path[:] = [str(HERE.parents[1]), *(folder for folder in sys.path if folder != str(HERE.parent))]
from peer import PeerIndex, main  # noqa: E402
from peer import command as peer_command  # noqa: E402
from task import Task  # noqa: E402


def version() -> str:
    return importlib.metadata.version("hnswlib")


def command(task: Task) -> list[str]:
    return peer_command(str(HERE), task)


class HnswlibIndex(PeerIndex):
    def build(self, base: NDArray[np.float32], task: Task) -> None:
        import hnswlib

        # Of unit length, vectors have the order of their inner products.
        self._index = hnswlib.Index("l2" if task.metric == "l2" else "ip", base.shape[1])
        self._index.init_index(len(base), M=task.links, ef_construction=task.build_effort, random_seed=100)
        self._index.set_num_threads(os.cpu_count() or 1)
        self._index.add_items(base, np.arange(len(base)))

    def search(self, queries: NDArray[np.float32], effort: int, task: Task) -> NDArray[np.integer[Any]]:
        self._index.set_ef(effort)
        ids: NDArray[np.integer[Any]]
        ids, _ = self._index.knn_query(queries, k=task.k, num_threads=task.threads)
        return ids


if __name__ == "__main__":
    main(HnswlibIndex())
