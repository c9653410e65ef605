"""The arithmetic behind a comparison, and a whole one with an engine that is made up."""

import json
import math
import pathlib
import sys

import numpy as np
import pytest
from compare import EngineProcess
from numpy.typing import NDArray
from report import place, table
from summary import median, pareto_front, qps_at, summarize
from task import Point, Task, efforts, kth_distances, load, recall


def point(recall: float, qps: float, effort: int = 10, storage: str = "f32") -> Point:
    return Point(storage, effort, 1, recall, qps, 2.5, 1_600.0, None)


def test_the_front_holds_what_nothing_beats() -> None:
    points = [point(0.90, 100), point(0.95, 80), point(0.94, 70), point(0.95, 60), point(0.99, 80), point(0.80, 90)]
    assert [(p.recall, p.qps) for p in pareto_front(points)] == [(0.90, 100), (0.99, 80)]


def test_speed_between_two_points_is_geometric() -> None:
    points = [point(0.90, 1_000), point(0.98, 100)]
    assert qps_at(points, 0.94) == pytest.approx(math.sqrt(1_000 * 100))
    assert qps_at(points, 0.98) == pytest.approx(100)
    assert qps_at(points, 0.5) == 1_000
    assert qps_at(points, 0.981) is None


def test_a_recall_that_most_rounds_miss_has_no_speed() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([3.0, None, 1.0]) == 2.0
    assert median([3.0, None]) is None


def test_ratios_are_taken_round_by_round() -> None:
    # The machine halves its speed in two of three rounds: the ratio does not see it.
    rounds = [
        {"a": [point(0.9, speed), point(1.0, speed / 10)], "b": [point(0.9, speed * 3), point(1.0, speed / 5)]}
        for speed in (1_000.0, 500.0, 500.0)
    ]
    first, second = summarize(rounds)
    assert (first.name, second.name) == ("a f32", "b f32")
    assert [at.ratio for at in first.at] == [1.0] * 3
    assert second.at[0].qps == 1_500
    assert second.at[0].ratio == pytest.approx(3)
    assert "| b f32 | 2.5 | 1,600 | 1,500 (× 3.00) |" in table([first, second])


def test_each_storage_is_a_series_of_its_own() -> None:
    rounds = [{"a": [point(0.9, 10), point(0.9, 30, storage="int8")]}]
    assert [(series.name, series.at[0].qps) for series in summarize(rounds)] == [("a f32", 10), ("a int8", 30)]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_recall_is_one_for_the_exact_answer_and_counts_ties(metric: str) -> None:
    random = np.random.default_rng(5)
    base = random.standard_normal((300, 8)).astype(np.float32)
    base[7] = base[3]
    queries = random.standard_normal((20, 8)).astype(np.float32)
    queries[0] = base[3]
    if metric == "cosine":
        base /= np.linalg.norm(base, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    wide = base.astype(np.float64)
    distances = np.array([np.linalg.norm(wide - q, axis=1) if metric == "l2" else 1 - wide @ q for q in queries])
    order = np.argsort(distances, axis=1)
    kth = kth_distances(base, queries, metric, 4)
    np.testing.assert_allclose(kth, np.sort(distances, axis=1)[:, 3], atol=2e-6)
    assert recall(order[:, :4], base, queries, metric, kth) == 1
    assert recall(order[:, 50:54], base, queries, metric, kth) == 0
    # The same row four times is one row.
    assert recall(np.repeat(order[:, :1], 4, axis=1), base, queries, metric, kth) == 0.25
    # Rows 3 and 7 are equal: for the k-th place one is as good as the other.
    only = kth_distances(base, queries[:1], metric, 1)
    if metric != "ip":
        assert recall(np.array([[3]]), base, queries[:1], metric, only) == 1
        assert recall(np.array([[7]]), base, queries[:1], metric, only) == 1


def test_vectors_have_unit_length_for_cosine_alone(tmp_path: pathlib.Path) -> None:
    made: NDArray[np.float16] = np.array([[3, 4], [0, 0]], dtype=np.float16)
    np.save(tmp_path / "v.npy", made)
    assert np.abs(load(tmp_path / "v.npy", "cosine") - np.array([[0.6, 0.8], [0, 0]])).max() < 1e-6
    assert load(tmp_path / "v.npy", "l2").tolist() == [[3, 4], [0, 0]]


def test_a_task_travels_as_flags(tmp_path: pathlib.Path) -> None:
    task = Task(tmp_path / "b", tmp_path / "q", "ip", 7, (10, 20), 12, 150, 2, tmp_path / "t")
    assert Task.parse([*task.flags(), "--truth", str(task.truth)]) == task
    with pytest.raises(ValueError, match="10,0"):
        efforts("10,0")


def test_an_engine_builds_once_and_sweeps_as_often_as_told() -> None:
    points = json.dumps([{**point(0.9, 5).__dict__, "more": "than we know"}])
    program = f"import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print({points!r}, flush=True)"
    with EngineProcess("made up", [sys.executable, "-c", program]) as engine:
        assert engine.sweep() == engine.sweep() == [point(0.9, 5)]


def test_an_engine_that_dies_is_named() -> None:
    with (
        pytest.raises(SystemExit, match="made up ended with exit code 3"),
        EngineProcess("made up", [sys.executable, "-c", "raise SystemExit(3)"]),
    ):
        pass


def test_the_axis_gives_each_tenth_of_the_misses_a_step() -> None:
    assert place(0.99) - place(0.9) == pytest.approx(1)
    assert place(1.0) == place(0.9999)
