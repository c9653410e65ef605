"""Sets of ann-benchmarks become .npy files with the same numbers, and what is no such set is refused in a sentence."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import convert_hdf5
import h5py
import numpy as np
import pytest
from convert_hdf5 import convert
from files import digest
from numpy.typing import NDArray

HERE = pathlib.Path(__file__).parent


def made(path: pathlib.Path, distance: str | None, **arrays: NDArray[Any]) -> pathlib.Path:
    with h5py.File(path, "w") as file:
        if distance is not None:
            file.attrs["distance"] = distance
        for name, array in arrays.items():
            file[name] = array
    return path


def random_rows(rows: int, dimension: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(rows).standard_normal((rows, dimension)).astype(np.float32)


@pytest.mark.parametrize(("distance", "metric"), [("angular", "cosine"), ("euclidean", "l2"), ("dot", "inner_product")])
def test_a_set_is_taken_apart(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, distance: str, metric: str
) -> None:
    monkeypatch.setattr(convert_hdf5, "STEP_ROWS", 7)
    train, test = random_rows(30), random_rows(4)
    source = made(tmp_path / "set.hdf5", distance, train=train, test=test, neighbors=np.zeros((4, 3)))
    assert convert(source, tmp_path / "out" / "s.v1") == metric
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["s.v1.base.npy", "s.v1.json", "s.v1.query.npy"]
    assert (np.load(out / "s.v1.base.npy") == train).all()
    assert (np.load(out / "s.v1.query.npy") == test).all()
    note = json.loads((out / "s.v1.json").read_text())
    assert (note["metric"], note["rows"], note["queries"], note["dimension"]) == (metric, 30, 4, 5)
    assert note["from"] == {"file": "set.hdf5", "sha256": digest(source)}
    assert note["base"]["sha256"] == digest(out / "s.v1.base.npy")


def test_whole_numbers_become_floats(tmp_path: pathlib.Path) -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(4, 3)
    convert(made(tmp_path / "set.hdf5", "euclidean", train=numbers, test=numbers[:1]), tmp_path / "s")
    base = np.load(tmp_path / "s.base.npy")
    assert base.dtype == np.float32
    assert (base == numbers).all()


@pytest.mark.parametrize(
    ("distance", "arrays", "message"),
    [
        ("jaccard", {"train": random_rows(3), "test": random_rows(2)}, "is compared by 'jaccard'"),
        (None, {"train": random_rows(3), "test": random_rows(2)}, "nothing that it names"),
        ("angular", {"train": random_rows(3)}, "no matrix of numbers named 'test'"),
        ("angular", {"train": np.zeros(3), "test": random_rows(2)}, "no matrix of numbers named 'train'"),
        ("angular", {"train": np.zeros((3, 2), bool), "test": random_rows(2)}, "no matrix of numbers named 'train'"),
        ("angular", {"train": random_rows(3), "test": random_rows(2, 4)}, "rows of 5 dimensions and queries of 4"),
    ],
)
def test_what_is_no_such_set_is_refused(
    tmp_path: pathlib.Path, distance: str | None, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    source = made(tmp_path / "set.hdf5", distance, **arrays)
    command = [sys.executable, str(HERE / "convert_hdf5.py"), str(source), "--output", str(tmp_path / "out" / "s")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_no_hdf5_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "set.hdf5").write_text("no")
    with pytest.raises(OSError, match="file signature"):
        convert(tmp_path / "set.hdf5", tmp_path / "s")
