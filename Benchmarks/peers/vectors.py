"""Reading vectors from the file formats that the field uses: .npy, .fvecs and .fbin."""

import pathlib
import tokenize

import numpy as np
from numpy.typing import NDArray

FORMATS = (".npy", ".fvecs", ".fbin")
DIMENSION_MAX = 1 << 20
#: Rows that are looked at at once.
ROWS_CHECKED = 1 << 14
# What numpy throws over a head that makes no sense: it is parsed as Python.
NPY_ERRORS = (ValueError, TypeError, OverflowError, EOFError, OSError, SyntaxError, tokenize.TokenError)


class VectorFileError(Exception):
    """A file that does not hold the vectors that its name promises. The message names it and says what is wrong."""


def read_vectors(path: pathlib.Path) -> NDArray[np.float32]:
    """The vectors of a file, [rows, dimension], C-contiguous and in memory of their own.

    .npy: two dimensions, float16, float32 or float64. .fvecs: rows of an i32 dimension and that many f32. .fbin: u32
    rows, u32 dimension, f32 values. All little-endian. Throws VectorFileError; no memory is taken for what a file says
    that it has before its size was seen to bear that out.
    """
    if path.suffix not in FORMATS:
        raise VectorFileError(f"{path.name} is of no known format: use {', '.join(FORMATS)}")
    if not path.is_file():
        raise VectorFileError(f"{path} is not there, or is no file")
    readers = {".npy": _read_npy, ".fvecs": _read_fvecs, ".fbin": _read_fbin}
    vectors = readers[path.suffix](path)
    # In steps: what they are made of would take a quarter of their own memory.
    if not all(np.isfinite(vectors[i : i + ROWS_CHECKED]).all() for i in range(0, len(vectors), ROWS_CHECKED)):
        raise VectorFileError(f"{path.name} holds values that are not finite: they have no distance")
    return vectors


def _read_npy(path: pathlib.Path) -> NDArray[np.float32]:
    try:
        # Mapped, so that a file that is too short fails before memory is taken for it.
        stored = np.load(path, mmap_mode="r")
    except NPY_ERRORS as error:
        raise VectorFileError(f"{path.name} is no .npy file that can be read: {error}") from error
    if not isinstance(stored, np.ndarray) or stored.ndim != 2 or stored.dtype.kind != "f" or 0 in stored.shape:
        raise VectorFileError(f"{path.name} must be a two-dimensional array of floats that is not empty")
    return np.array(stored, dtype=np.float32, order="C")


def _read_fvecs(path: pathlib.Path) -> NDArray[np.float32]:
    size = path.stat().st_size
    head = np.fromfile(path, dtype="<i4", count=1)
    dimension = int(head[0]) if len(head) else 0
    if not 0 < dimension <= DIMENSION_MAX:
        raise VectorFileError(f"{path.name} is no .fvecs file: its first row says that it has {dimension} dimensions")
    row_bytes = 4 + 4 * dimension
    if size % row_bytes:
        raise VectorFileError(
            f"{path.name} has {size:,} bytes, which is no multiple of the {row_bytes:,} of a row "
            f"of {dimension} dimensions"
        )
    rows = np.memmap(path, dtype="<i4", mode="r", shape=(size // row_bytes, dimension + 1))
    odd = np.flatnonzero(rows[:, 0] != dimension)
    if len(odd):
        raise VectorFileError(
            f"{path.name}: row {odd[0]} says that it has {rows[odd[0], 0]} dimensions, row 0 has {dimension}"
        )
    return np.array(rows[:, 1:].view("<f4"), dtype=np.float32, order="C")


def _read_fbin(path: pathlib.Path) -> NDArray[np.float32]:
    size = path.stat().st_size
    head = np.fromfile(path, dtype="<u4", count=2)
    if len(head) < 2:
        raise VectorFileError(f"{path.name} is no .fbin file: it has {size} bytes, and its head alone is 8")
    rows, dimension = int(head[0]), int(head[1])
    if rows == 0 or not 0 < dimension <= DIMENSION_MAX:
        raise VectorFileError(f"{path.name} is no .fbin file: its head says {rows:,} rows of {dimension} dimensions")
    expected = 8 + 4 * rows * dimension
    if size != expected:
        raise VectorFileError(
            f"{path.name} has {size:,} bytes; {rows:,} rows of {dimension} dimensions, as its head says, "
            f"take {expected:,}"
        )
    return np.array(np.memmap(path, dtype="<f4", mode="r", offset=8, shape=(rows, dimension)), dtype=np.float32)
