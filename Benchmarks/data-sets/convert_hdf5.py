"""Takes a set of ann-benchmarks (https://ann-benchmarks.com, HDF5) apart into files that everything here reads.

Such a file has the vectors under `train`, queries under `test`, and says in its attribute `distance` what they are
compared by. Both become PREFIX.base.npy and PREFIX.query.npy, float32, and PREFIX.json says which metric it is.
"""

import argparse
import pathlib
import sys

import h5py
import numpy as np
from files import digest, origin, sibling, write_note

#: How ann-benchmarks names distances, and what that is here.
METRICS = {"angular": "cosine", "euclidean": "l2", "dot": "inner_product", "ip": "inner_product"}
STEP_ROWS = 16_384


def vectors(file: h5py.File, name: str) -> h5py.Dataset:
    """A matrix of the file. Raises ValueError where there is none, as in the sets of sparse vectors or of bits."""
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != 2 or found.dtype.kind not in "fiu" or 0 in found.shape:
        raise ValueError(f"has no matrix of numbers named {name!r}")
    return found


def write(matrix: h5py.Dataset, path: pathlib.Path) -> None:
    """Copies it piece by piece, so that no set need fit into memory; the file gets its name when it is whole."""
    part = sibling(path, ".part")
    target = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=matrix.shape)
    for first in range(0, len(matrix), STEP_ROWS):
        target[first : first + STEP_ROWS] = matrix[first : first + STEP_ROWS]
    target.flush()
    del target
    part.replace(path)


def convert(source: pathlib.Path, prefix: pathlib.Path) -> str:
    """Writes the three files and returns the metric.

    Raises ValueError for what is no such set, OSError for what is no HDF5.
    """
    with h5py.File(source, "r") as file:
        distance = str(file.attrs.get("distance", "")).lower()
        if distance not in METRICS:
            raise ValueError(
                f"is compared by {distance or 'nothing that it names'!r}, which is none of {', '.join(METRICS)}"
            )
        base, queries = vectors(file, "train"), vectors(file, "test")
        if base.shape[1] != queries.shape[1]:
            raise ValueError(f"has rows of {base.shape[1]} dimensions and queries of {queries.shape[1]}")
        prefix.parent.mkdir(parents=True, exist_ok=True)
        names = sibling(prefix, ".base.npy"), sibling(prefix, ".query.npy")
        write(base, names[0])
        write(queries, names[1])
        note = {
            "from": origin(source),
            "metric": METRICS[distance],
            "rows": len(base),
            "queries": len(queries),
            "dimension": base.shape[1],
            "base": {"file": names[0].name, "sha256": digest(names[0])},
            "query": {"file": names[1].name, "sha256": digest(names[1])},
        }
    write_note(sibling(prefix, ".json"), note)
    return METRICS[distance]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="Benchmarks/data-sets/run convert", description="Makes .npy files of a set of ann-benchmarks (HDF5)."
    )
    parser.add_argument("source", type=pathlib.Path, help="such as glove-100-angular.hdf5")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="PREFIX")
    got = parser.parse_args()
    try:
        metric = convert(got.source, got.output)
    except (ValueError, OSError) as error:
        sys.exit(f"{got.source}: {error}")
    print(f"{got.output}.base.npy, {got.output}.query.npy: measure with --metric {metric}")


if __name__ == "__main__":
    main()
