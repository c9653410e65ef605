"""What both recipes write, and how: arrays that get their names when they are whole, and a note of their origin.

A set is PREFIX.base.npy, PREFIX.query.npy and PREFIX.json, which says where the other two come from.
"""

import datetime as dt
import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def origin(path: pathlib.Path) -> dict[str, str]:
    """How a note names a file: by what is in it, and by its name alone, for a path says nothing elsewhere."""
    return {"file": path.name, "sha256": digest(path)}


def sibling(prefix: pathlib.Path, suffix: str) -> pathlib.Path:
    """PREFIX with a suffix put behind it. Dots in the prefix stay."""
    return prefix.with_name(prefix.name + suffix)


def load_vectors(path: pathlib.Path) -> NDArray[np.floating]:
    """A memory map of a [rows, dimension] array of float16 or float32. Raises ValueError for any other file."""
    vectors: NDArray[np.floating] = np.load(path, mmap_mode="r")
    if vectors.ndim != 2 or vectors.dtype not in (np.float16, np.float32) or 0 in vectors.shape:
        raise ValueError(f"{path}: {vectors.dtype} {vectors.shape} is not [rows, dimension] of float16 or float32")
    return vectors


class GrowingArray:
    """A float16 array on disk, in `PATH.part` until `publish` gives it its name.

    The process never holds more of it than it touches: the file is mapped, not read.
    """

    def __init__(self, path: pathlib.Path, rows: int, dimension: int, resume: bool = False) -> None:
        """Begins a new file of zeros, or with `resume` takes up the part that is there, which must have that shape."""
        self.path = path
        self.part = sibling(path, ".part")
        shape = (rows, dimension)
        if resume:
            self.vectors: np.memmap[Any, np.dtype[np.float16]] = np.lib.format.open_memmap(self.part, mode="r+")
            if self.vectors.shape != shape or self.vectors.dtype != np.float16:
                raise ValueError(f"{self.part}: {self.vectors.dtype} {self.vectors.shape} is not float16 {shape}")
        else:
            self.vectors = np.lib.format.open_memmap(self.part, mode="w+", dtype=np.float16, shape=shape)

    def flush(self) -> None:
        """Returns when everything written so far is on disk."""
        self.vectors.flush()

    def publish(self) -> None:
        self.flush()
        self.part.replace(self.path)


def write_note(path: pathlib.Path, note: dict[str, Any]) -> None:
    """Writes a note, with the date, in one step."""
    dated = {**note, "made_at": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")}
    part = sibling(path, ".part")
    part.write_text(json.dumps(dated, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)
