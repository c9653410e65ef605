"""Inserting the last rows: what is measured, summarized and reported."""

import dataclasses
import json
import pathlib
from typing import Any

import compare
import numpy as np
import pytest
from compare import EngineError
from insert import measure_insertions
from insert import parse as parse_insert
from insertion import Insertion, InsertionRound, rows_before, summarize_insertions, write_insertions
from numpy.typing import NDArray
from peer import GrowingIndex, Setting
from peer_process import Inserter
from support import Exhaustive, program, task_of
from task import Exact, Task, digest


def insertion(speed: float, threads: int = 1, recall: float = 0.9, storage: str = "f32") -> Insertion:
    return Insertion(storage, threads, 80, 20, speed, 1e6 / speed, 64, recall)


def test_the_last_rows_are_inserted_and_the_rest_is_there() -> None:
    assert rows_before(10_000, 20) == 8_000
    # Rounded as `bench insert` rounds: never more than the share.
    assert rows_before(99, 20) == 80
    assert rows_before(4, 20) == 4


def test_insertions_are_held_against_the_first_engine_and_fewer_threads_round_by_round() -> None:
    # The machine is slower in each round: the ratios do not see it.
    rounds: list[InsertionRound] = [
        {
            "hnswlib": [insertion(100 * pace), insertion(150 * pace, 2)],
            "vizinho": [insertion(300 * pace, recall=recall, storage="int8"), insertion(600 * pace, 2, storage="int8")],
        }
        for pace, recall in ((4.0, 0.91), (2.0, 0.95), (1.0, 0.93))
    ]
    found = summarize_insertions(rounds)
    assert [(series.name, series.threads) for series in found] == [
        ("hnswlib f32", 1),
        ("vizinho int8", 1),
        ("hnswlib f32", 2),
        ("vizinho int8", 2),
    ]
    assert [series.rows_per_second for series in found] == [200, 600, 300, 1_200]
    assert [series.ratio for series in found] == [1, pytest.approx(3), 1, pytest.approx(4)]
    assert [series.scaling for series in found] == [None, None, pytest.approx(1.5), pytest.approx(2)]
    assert found[1].recall == 0.93


def test_a_report_of_insertions_has_every_round_and_its_provenance(tmp_path: pathlib.Path) -> None:
    random = np.random.default_rng(11)
    for name, rows in (("b", 100), ("q", 5)):
        np.save(tmp_path / f"{name}.npy", random.standard_normal((rows, 6)).astype(np.float32))
    task = task_of(tmp_path, efforts=(64,), threads=(1, 2))
    about = {
        "measured_at": "2026-01-01 00:00 UTC",
        "machine": {"cpu": "a processor", "instructions": "avx2", "processors": 2, "memory_gib": 4},
        "engines": {"hnswlib": "1", "vizinho": "3"},
        "left_out": [],
        "rounds_count": 2,
        "task": compare.described(task, Exact.write(task)),
    }
    rounds: list[InsertionRound] = [
        {"hnswlib": [insertion(1_000 * pace)], "vizinho": [insertion(2_500 * pace, storage="int8")]}
        for pace in (1.0, 2.0)
    ]
    table = write_insertions(tmp_path / "results" / "x", about, rounds)
    assert "| vizinho int8 | 1 | 3,750 | × 2.50 | – | 300 | 0.9000 |" in table
    page = (tmp_path / "results" / "x.md").read_text()
    assert "20 rows inserted and linked after 80 that were there" in page
    assert table in page
    said = json.loads((tmp_path / "results" / "x.json").read_text())
    assert [len(one["vizinho"]) for one in said["rounds"]] == [1, 1]
    assert said["summary"][1]["ratio"] == 2.5
    assert said["task"]["base_sha256"] == digest(task.base)
    assert said["task"]["base_sha256"] in page


def test_engines_insert_in_turn(tmp_path: pathlib.Path) -> None:
    said = json.dumps([{**dataclasses.asdict(insertion(10)), "more": "than we know"}])
    inserter = (
        "import sys, json\nprint('ready', flush=True)\nfor line in sys.stdin:\n"
        f" print(json.dumps([{{**i, 'threads': int(line.split()[1])}} for i in {said}]), flush=True)"
    )
    chosen = {"a": [program(inserter, "a")], "b": [program(inserter, "b")]}
    rounds = measure_insertions(task_of(tmp_path, threads=(1, 2)), chosen, 3)
    assert rounds == [{"a": [insertion(10), dataclasses.replace(insertion(10), threads=2)]} | {"b": rounds[0]["a"]}] * 3
    with pytest.raises(EngineError, match="exit code 4"):
        measure_insertions(task_of(tmp_path), {"a": [program("raise SystemExit(4)")]}, 1)


class Growing(Exhaustive, GrowingIndex):
    """The same, and takes rows."""

    def keep(self, path: pathlib.Path) -> None:
        np.save(path.with_suffix(".npy"), self._base)

    def restore(self, path: pathlib.Path, shape: tuple[int, int], task: Task) -> None:
        assert task.k == 10
        self._base = np.load(path.with_suffix(".npy"))
        assert self._base.shape == (shape[0] * 4 // 5, shape[1])

    def insert(self, vectors: NDArray[np.float32], first: int, threads: int) -> None:
        assert first == len(self._base)
        assert threads in (1, 2)
        self._base = np.concatenate([self._base, vectors])

    def search(self, queries: NDArray[np.float32], k: int, setting: Setting, threads: int) -> NDArray[np.integer[Any]]:
        assert threads == 1
        return super().search(queries, k, setting, 3)


def test_a_library_inserts_into_the_same_index_in_each_round(tmp_path: pathlib.Path) -> None:
    random = np.random.default_rng(12)
    for name, rows in (("b", 1_000), ("q", 5)):
        np.save(tmp_path / f"{name}.npy", random.standard_normal((rows, 16)).astype(np.float32))
    task = task_of(tmp_path, k=10, efforts=(64,))
    Exact.write(task)
    inserter = Inserter(Growing("f32"), task, Exact.read(task), 20)
    for threads in (1, 2, 1):
        (found,) = inserter.sweep(threads)
        # All rows are found, so those that were inserted are.
        assert (found.threads, found.rows_before, found.rows, found.effort, found.recall) == (threads, 800, 200, 64, 1)
        assert found.rows_per_second > 0


def test_insertions_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_insert(["--storages", "f32,int8", "--threads", "1"]).storages == ("f32", "int8")
    for wrong, what in (
        (["--percent", "100"], "from 1 to 99"),
        (["--threads", "100000"], "processors"),
        (["--ef", "5"], "at least --k"),
        (["--rounds", "0"], "1 or more"),
    ):
        with pytest.raises(SystemExit):
            parse_insert(wrong)
        assert what in capsys.readouterr().err
