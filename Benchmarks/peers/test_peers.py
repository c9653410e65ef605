"""The arithmetic behind a comparison, its processes, and a whole one with engines that are made up."""

import dataclasses
import json
import math
import pathlib
import sys
from typing import Any

import compare
import engines
import numpy as np
import pytest
from compare import EngineError, EngineProcess, choose, ending, measure, parse
from engines import Launch
from numpy.typing import NDArray
from peer import Library
from peer_process import Sweeper
from report import COLOURS, Look, place, tables, write
from summary import Key, Round, keys, median, pareto_front, qps_at, summarize, typical_points
from support import Exhaustive, point, program, task_of
from task import Exact, Point, Task, counts, kth_distances, load
from vectors import VectorFileError, read_vectors

# Speed at equal recall ---------------------------------------------------------------------------


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
    assert "| b f32 | 2.5 | 1,600 | – | 1,500 (× 3.00) |" in tables([first, second])


def test_each_storage_and_count_of_threads_is_a_series_of_its_own() -> None:
    points = [point(0.9, 10), point(0.9, 20, threads=2), point(0.9, 30, storage="int8")]
    found = summarize([{"a": points}])
    assert [(series.name, series.threads, series.at[0].qps) for series in found] == [
        ("a f32", 1, 10),
        ("a int8", 1, 30),
        ("a f32", 2, 20),
    ]


def test_points_of_one_storage_do_not_count_for_another() -> None:
    # int8 is faster, and ends below .95: from there on f32 stands by itself.
    slow = [point(0.9, 100), point(0.99, 10)]
    quick = [point(0.9, 400, storage="int8"), point(0.94, 300, storage="int8")]
    slow_found, quick_found = summarize([{"a": [quick[1], slow[1], slow[0], quick[0]]}])[::-1]
    assert [at.qps for at in quick_found.at] == [400, None, None]
    assert slow_found.at[1].qps == pytest.approx(100 ** (4 / 9) * 10 ** (5 / 9))
    assert slow_found.at[2].qps == pytest.approx(10)


def test_ours_is_held_against_whoever_is_fastest_in_a_round() -> None:
    def one(ours: float, hnswlib: float, glass: float) -> Round:
        return {
            "hnswlib": [point(0.99, hnswlib)],
            "glass": [point(0.94, glass, storage="sq4u-f16")],
            "vizinho": [point(0.99, ours), point(0.95, 4 * ours, storage="int8")],
        }

    found = summarize([one(100, 50, 200), one(100, 50, 100), one(100, 400, 80)])
    f32 = next(series for series in found if series.name == "vizinho f32")
    # .90: 100 to 200, 100 to 100, 100 to 400. glass is the fastest in two of the three rounds.
    assert f32.at[0].best_peer_ratio == pytest.approx(0.5)
    assert f32.at[0].best_peer == "glass sq4u-f16"
    # .95: glass does not get there, and hnswlib alone is left.
    assert f32.at[1].best_peer_ratio == pytest.approx(2)
    assert f32.at[1].best_peer == "hnswlib f32"
    int8 = next(series for series in found if series.storage == "int8")
    assert [at.best_peer_ratio for at in int8.at] == [pytest.approx(2), pytest.approx(8), None]
    assert int8.at[2].best_peer is None
    # The others are not held against anybody so, nor ours against ours.
    assert all(at.best_peer is None for series in found if series.engine != "vizinho" for at in series.at)
    assert "| vizinho int8 | × 2.00 glass sq4u-f16 | × 8.00 hnswlib f32 | – |" in tables(found)


def test_alone_ours_has_no_best_peer() -> None:
    assert all(at.best_peer is None for at in summarize([{"vizinho": [point(0.99, 5)]}])[0].at)


def test_scaling_is_against_the_fewest_threads_of_the_same_round() -> None:
    rounds = [
        {"a": [point(0.99, speed), point(0.99, speed * factor, threads=4)]}
        for speed, factor in ((100.0, 3.0), (50.0, 3.5), (10.0, 3.2))
    ]
    one, four = summarize(rounds)
    assert [at.scaling for at in one.at] == [None] * 3
    assert [at.scaling for at in four.at] == [pytest.approx(3.2)] * 3
    # Each count is held against the first series of that count.
    assert four.at[0].ratio == 1
    assert "| a f32 | 4 | × 3.20 | × 3.20 | × 3.20 |" in tables([one, four])


def test_a_chart_takes_the_median_of_each_setting() -> None:
    rounds = [{"a": [point(0.8, qps, effort=10), point(0.9, qps / 2, effort=10)]} for qps in (10.0, 30.0, 20.0)]
    found = typical_points(rounds, Key("a", "f32", 1))
    # Two settings with the same effort stay two.
    assert [(p.recall, p.qps) for p in found] == [(0.8, 20), (0.9, 10)]


# Recall ------------------------------------------------------------------------------------------


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
    exact = Exact(base, queries, kth)
    assert exact.recall(order[:, :4], metric) == 1
    assert exact.recall(order[:, 50:54], metric) == 0
    # The same row four times is one row.
    assert exact.recall(np.repeat(order[:, :1], 4, axis=1), metric) == 0.25
    # What is no row is nothing found.
    assert exact.recall(np.where(np.arange(4) == 3, -1, order[:, :4]), metric) == 0.75
    assert exact.recall(np.where(np.arange(4) == 3, 300, order[:, :4]), metric) == 0.75
    # Rows 3 and 7 are equal: for the k-th place one is as good as the other.
    if metric != "ip":
        only = Exact(base, queries[:1], kth_distances(base, queries[:1], metric, 1))
        assert only.recall(np.array([[3]]), metric) == 1
        assert only.recall(np.array([[7]]), metric) == 1


def test_long_vectors_have_exact_answers_too() -> None:
    # Squares near 10^9 leave a matrix product in float32 tens of units of rounding; distances here are a few units.
    random = np.random.default_rng(6)
    base = (3_000 + random.standard_normal((500, 128))).astype(np.float32)
    queries = (3_000 + random.standard_normal((10, 128))).astype(np.float32)
    wide = np.array([np.linalg.norm(base.astype(np.float64) - q, axis=1) for q in queries])
    exact = Exact(base, queries, np.sort(wide, axis=1)[:, 9].astype(np.float32))
    assert exact.recall(np.argsort(wide, axis=1)[:, :10], "l2") == 1
    np.testing.assert_allclose(kth_distances(base, queries, "l2", 10), exact.kth, rtol=1e-6)


def test_vectors_have_unit_length_for_cosine_alone(tmp_path: pathlib.Path) -> None:
    made: NDArray[np.float16] = np.array([[3, 4], [0, 0]], dtype=np.float16)
    np.save(tmp_path / "v.npy", made)
    assert np.abs(load(tmp_path / "v.npy", "cosine") - np.array([[0.6, 0.8], [0, 0]])).max() < 1e-6
    assert load(tmp_path / "v.npy", "l2").tolist() == [[3, 4], [0, 0]]


# Files -------------------------------------------------------------------------------------------

VECTORS = np.arange(-6, 6, dtype=np.float32).reshape(4, 3) / 8


def file_of(folder: pathlib.Path, suffix: str) -> pathlib.Path:
    path = folder / f"v{suffix}"
    if suffix == ".npy":
        np.save(path, VECTORS)
    elif suffix == ".fvecs":
        path.write_bytes(b"".join(np.int32(3).tobytes() + row.tobytes() for row in VECTORS))
    else:
        path.write_bytes(np.array([4, 3], dtype="<u4").tobytes() + VECTORS.tobytes())
    return path


@pytest.mark.parametrize("suffix", [".npy", ".fvecs", ".fbin"])
def test_every_format_gives_the_same_vectors(tmp_path: pathlib.Path, suffix: str) -> None:
    found = read_vectors(file_of(tmp_path, suffix))
    assert found.tolist() == VECTORS.tolist()
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.flags.writeable


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_npy_may_have_narrow_and_wide_floats(tmp_path: pathlib.Path, kind: type[np.floating[Any]]) -> None:
    np.save(tmp_path / "v.npy", np.asfortranarray(VECTORS.astype(kind)))
    found = read_vectors(tmp_path / "v.npy")
    assert found.tolist() == VECTORS.tolist()
    assert found.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".npy", ".fvecs", ".fbin"])
def test_a_file_that_was_cut_is_refused(tmp_path: pathlib.Path, suffix: str) -> None:
    path = file_of(tmp_path, suffix)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if suffix == ".fvecs" and length and length % 16 == 0:
            # It has no head: whole rows are a file of their own.
            assert read_vectors(path).tolist() == VECTORS[: length // 16].tolist()
        else:
            with pytest.raises(VectorFileError, match=rf"^v{suffix}"):
                read_vectors(path)
    path.write_bytes(whole + b"\0")
    if suffix != ".npy":
        with pytest.raises(VectorFileError, match="bytes"):
            read_vectors(path)


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@pytest.mark.parametrize("suffix", [".npy", ".fvecs", ".fbin"])
def test_a_file_with_any_other_byte_is_read_or_refused(tmp_path: pathlib.Path, suffix: str) -> None:
    random = np.random.default_rng(7)
    path = file_of(tmp_path, suffix)
    whole = bytearray(path.read_bytes())
    refused = 0
    for i in range(len(whole)):
        changed = whole.copy()
        changed[i] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        try:
            assert read_vectors(path).size <= VECTORS.size
        except VectorFileError:
            refused += 1
    assert refused > 0


def test_what_is_wrong_with_a_file_is_said(tmp_path: pathlib.Path) -> None:
    def check(name: str, content: bytes, what: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VectorFileError, match=what):
            read_vectors(tmp_path / name)

    def u4(*values: int) -> bytes:
        return np.array(values, dtype="<u4").tobytes()

    with pytest.raises(VectorFileError, match=r"none\.fbin is not there"):
        read_vectors(tmp_path / "none.fbin")
    check("v.bin", b"", r"of no known format: use \.npy, \.fvecs, \.fbin")
    check("v.fbin", u4(2, 3) + bytes(20), "28 bytes; 2 rows of 3 dimensions, as its head says, take 32")
    check("v.fbin", u4(2**32 - 1, 2**20), "4,294,967,295 rows of 1048576 dimensions")
    check("v.fbin", u4(0, 3), "0 rows of 3 dimensions")
    check("v.fbin", u4(3), "4 bytes, and its head alone is 8")
    check("v.fvecs", b"", "0 dimensions")
    check("v.fvecs", u4(2**31), "-2147483648 dimensions")
    check("v.fvecs", u4(2, 0, 0, 3, 0, 0), "row 1 says that it has 3 dimensions, row 0 has 2")
    check("v.fvecs", u4(2, 0, 0, 2, 0), "20 bytes, which is no multiple of the 12 of a row of 2 dimensions")
    check("v.fvecs", u4(1, 0x7F800000), "not finite")
    for wrong in (np.zeros(3, np.float32), np.zeros((2, 2), np.int32), np.zeros((0, 3), np.float32)):
        np.save(tmp_path / "v.npy", wrong)
        with pytest.raises(VectorFileError, match="two-dimensional array of floats"):
            read_vectors(tmp_path / "v.npy")
    np.savez(tmp_path / "z.npz", VECTORS)
    check("v.npy", (tmp_path / "z.npz").read_bytes(), "two-dimensional array of floats")


def test_exact_answers_travel_by_file(tmp_path: pathlib.Path) -> None:
    random = np.random.default_rng(8)
    for name, rows in (("b", 50), ("q", 5)):
        np.save(tmp_path / f"{name}.npy", random.standard_normal((rows, 6)).astype(np.float16))
    task = task_of(tmp_path, metric="cosine")
    written, read = Exact.write(task), Exact.read(task)
    for field in dataclasses.fields(Exact):
        np.testing.assert_array_equal(getattr(written, field.name), getattr(read, field.name))
    with pytest.raises(VectorFileError, match="k is 51 and the base has 50 rows"):
        Exact.write(dataclasses.replace(task, k=51))
    np.save(tmp_path / "q.npy", np.zeros((5, 7), np.float32))
    with pytest.raises(VectorFileError, match="the base has 6 dimensions and the queries have 7"):
        Exact.write(task)


# What is asked for -------------------------------------------------------------------------------


def test_a_task_travels_as_flags(tmp_path: pathlib.Path) -> None:
    for task in (task_of(tmp_path), task_of(tmp_path, threads=(1, 2), storages=("f32", "int4x8"))):
        assert Task.parse([*task.flags(), "--truth", str(task.truth)]) == task
    assert "--storage" not in task_of(tmp_path).flags()
    with pytest.raises(ValueError, match="10,0"):
        counts("10,0")


def test_our_program_is_one_process_for_all_counts_of_threads(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bench"
    program.touch()
    monkeypatch.setattr("engines.vizinho.PROGRAM", program)
    task = task_of(tmp_path, threads=(1, 4), storages=("f32", "int8"))
    (searching,) = engines.engine("vizinho").launches(task)
    (inserting,) = engines.engine("vizinho").insertions(task, 20)
    assert [launch.command[1] for launch in (searching, inserting)] == ["index", "insert"]
    assert inserting.command[inserting.command.index("--percent") + 1] == "20"
    # A round says with how many threads; `bench index` takes one count, `bench insert` all.
    for launch, count in ((searching, "1"), (inserting, "1,4")):
        assert launch.threads == (1, 4)
        assert launch.command[-1] == "--rounds-from-stdin"
        assert launch.command[launch.command.index("--threads") + 1] == count
        assert launch.command[launch.command.index("--storage") + 1] == "f32,int8"


def test_a_library_has_a_process_for_each_storage(tmp_path: pathlib.Path) -> None:
    launches = engines.engine("svs").launches(task_of(tmp_path, threads=(1, 2), storages=("lvq8", "f16")))
    assert [(launch.name, launch.threads) for launch in launches] == [("svs lvq8", (1, 2)), ("svs f16", (1, 2))]
    for launch, storage in zip(launches, ("lvq8", "f16"), strict=True):
        flags = launch.command[launch.command.index("svs") + 1 :]
        assert Task.parse(flags) == task_of(tmp_path, threads=(1, 2), storages=(storage,))


def test_engines_are_chosen_with_their_storages() -> None:
    assert choose("hnswlib,vizinho", ()) == {"hnswlib": ("f32",), "vizinho": ()}
    assert list(choose("vizinho,svs:f16+lvq8", ("f32", "int8")).items()) == [
        ("vizinho", ("f32", "int8")),
        ("svs", ("f16", "lvq8")),
    ]
    everything = choose("all", ())
    assert set(everything) == set(engines.known())
    assert next(iter(everything)) == "hnswlib"
    assert list(everything)[-1] == "vizinho"
    assert all(everything[name] == engines.engine(name).storages for name in everything)
    for wrong, what in (
        ("hnsw", "hnsw is not one of"),
        ("svs:f8", "svs has .*, and not f8"),
        ("svs,svs:f16", "svs comes twice"),
        ("vizinho:f32", "told by --storages"),
    ):
        with pytest.raises(ValueError, match=what):
            choose(wrong, ())


def test_a_command_line_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--threads", "1,2", "--storages", "f32,int8"]).chosen["vizinho"] == ("f32", "int8")
    for wrong, what in (
        (["--threads", "2,1"], "ascending"),
        (["--threads", "100000"], "processors"),
        (["--ef", "5"], "at least --k"),
        (["--engines", "nobody"], "not one of"),
        (["--rounds", "0"], "1 or more"),
    ):
        with pytest.raises(SystemExit):
            parse(wrong)
        assert what in capsys.readouterr().err


# Processes ---------------------------------------------------------------------------------------


def sweeper(points: list[Point]) -> str:
    """A program that answers with these points, with as many threads as it was asked for."""
    said = [{**dataclasses.asdict(point), "more": "than we know"} for point in points]
    return (
        "import sys, json\nprint('ready', flush=True)\nfor line in sys.stdin:\n"
        f" print(json.dumps([{{**p, 'threads': int(line.split()[1])}} for p in {said!r}]), flush=True)"
    )


def test_an_engine_builds_once_and_sweeps_as_often_as_told() -> None:
    with EngineProcess(program(sweeper([point(0.9, 5)]))) as engine:
        assert engine.sweep(1) == engine.sweep(1) == [point(0.9, 5)]
        assert engine.sweep(2) == [point(0.9, 5, threads=2)]


def test_an_older_program_leaves_out_what_it_does_not_know() -> None:
    said = {name: what for name, what in dataclasses.asdict(point(0.9, 5)).items() if what is not None}
    assert Point.from_json(said) == point(0.9, 5)


def test_an_engine_that_dies_is_named_with_its_last_words() -> None:
    dying = "import sys\nprint('loading', file=sys.stderr)\nprint('no such processor', file=sys.stderr)\nsys.exit(3)"
    expected = "made up ended with exit code 3 while it built its index: “no such processor”"
    with pytest.raises(EngineError, match=expected), EngineProcess(program(dying)):
        pass
    expected = "made up ended with exit code 0 in a sweep"
    with (
        EngineProcess(program("print('ready', flush=True)\ninput()")) as engine,
        pytest.raises(EngineError, match=expected),
    ):
        engine.sweep(1)
    assert ending(-4) == "was ended by SIGILL"


def test_an_engine_that_says_something_else_is_refused() -> None:
    with pytest.raises(EngineError, match="said 'hello'"), EngineProcess(program("print('hello')")):
        pass
    fixed = (
        f"print('ready', flush=True)\ninput()\nprint({json.dumps([dataclasses.asdict(point(0.9, 5))])!r}, flush=True)"
    )
    with EngineProcess(program(fixed)) as engine, pytest.raises(EngineError, match="did not run with 2 threads"):
        engine.sweep(2)


@dataclasses.dataclass
class MadeUp:
    """An engine of programs, one for each storage."""

    programs: dict[str, str]
    optional: bool = True
    missing: bool = False

    @property
    def storages(self) -> tuple[str, ...]:
        return tuple(self.programs)

    def version(self) -> str:
        if self.missing:
            raise engines.UnavailableError("it is not installed")
        return "1.0"

    def launches(self, task: Task) -> list[Launch]:
        return [program(self.programs[storage], f"made up {storage}", task.threads) for storage in task.storages]


def made_up(monkeypatch: pytest.MonkeyPatch, **several: MadeUp) -> dict[str, tuple[str, ...]]:
    monkeypatch.setattr(engines, "engine", several.__getitem__)
    return {name: engine.storages for name, engine in several.items()}


def test_a_comparison_goes_on_without_what_cannot_run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    works = sweeper([point(0.9, 5)])
    refuses = "import sys\nsys.exit('not on this processor')"
    chosen = made_up(
        monkeypatch,
        gone=MadeUp({"f32": works}, missing=True),
        half=MadeUp({"f32": works, "lvq8": refuses}),
        whole=MadeUp({"f32": works}, optional=False),
    )
    measured = measure(task_of(tmp_path, threads=(1, 2)), chosen, 3)
    assert measured.versions == {"half": "1.0", "whole": "1.0"}
    assert measured.left_out == [
        "gone: it is not installed",
        "made up lvq8 ended with exit code 1 while it built its index: “not on this processor”",
    ]
    assert len(measured.rounds) == 3
    for one in measured.rounds:
        assert [(key.engine, key.storage, key.threads) for key in keys(one)] == [
            ("half", "f32", 1),
            ("whole", "f32", 1),
            ("half", "f32", 2),
            ("whole", "f32", 2),
        ]


def test_a_comparison_does_not_go_on_without_ours_or_anybody(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = made_up(monkeypatch, ours=MadeUp({"f32": "raise SystemExit(9)"}, optional=False))
    with pytest.raises(EngineError, match="exit code 9"):
        measure(task_of(tmp_path), chosen, 1)
    chosen = made_up(monkeypatch, gone=MadeUp({"f32": ""}, missing=True))
    with pytest.raises(EngineError, match="no engine is left"):
        measure(task_of(tmp_path), chosen, 1)


def test_a_library_is_measured_over_its_settings(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer_process.PASS_SECONDS_MIN", 0)
    random = np.random.default_rng(9)
    for name, rows in (("b", 20_000), ("q", 5)):
        np.save(tmp_path / f"{name}.npy", random.standard_normal((rows, 64)).astype(np.float32))
    task = task_of(tmp_path, k=10, efforts=(5, 10))
    Exact.write(task)
    found = list(Sweeper(Exhaustive("f32"), task, Exact.read(task)).sweep(3))
    assert [(p.storage, p.effort, p.refined, p.recall, p.threads) for p in found] == [
        ("f32", 5, None, 0.5, 3),
        ("f32", 5, 30, 0.5, 3),
        ("f32", 10, None, 1.0, 3),
        ("f32", 10, 30, 1.0, 3),
    ]
    # 64 floats a row; the allocator may have had some pages at hand.
    assert 200 <= found[0].bytes_per_vector <= 300
    peak = found[0].peak_bytes_per_vector
    assert peak is None or peak >= found[0].bytes_per_vector + 600
    assert all(p.qps > 0 and p.processor_us_per_query is not None for p in found)


def test_a_library_that_pip_does_not_know_is_unavailable() -> None:
    library = Library("nobody", Exhaustive, ("f32",), package="vizinho-no-such-package", module="none")
    with pytest.raises(engines.UnavailableError, match="vizinho-no-such-package is not installed"):
        library.version()


# The report --------------------------------------------------------------------------------------


def test_the_axis_gives_each_tenth_of_the_misses_a_step() -> None:
    assert place(0.99) - place(0.9) == pytest.approx(1)
    assert place(1.0) == place(0.9999)


def test_every_engine_has_looks_of_its_own() -> None:
    assert set(COLOURS) == set(engines.known())
    looks = {
        (name, storage): Look.of(name, storage)
        for name in engines.known()
        for storage in engines.engine(name).storages or ("f32", "f16", "int8", "int4x8", "int4x16", "a new one")
    }
    assert len(set(looks.values())) == len(looks)


def test_a_report_is_the_same_for_the_same_result(tmp_path: pathlib.Path) -> None:
    def series(qps: float, storage: str) -> list[Point]:
        return [point(r, qps / (1 - r), 10, storage, t) for t in (1, 2) for r in (0.85, 0.93, 0.96, 0.995)]

    rounds: list[Round] = [
        {
            "hnswlib": series(qps, "f32"),
            "glass": series(2 * qps, "sq4u-f16"),
            "vizinho": [*series(3 * qps, "f32"), *series(4 * qps, "int8")],
        }
        for qps in (50.0, 60.0, 55.0)
    ]
    about = {
        "measured_at": "2026-01-01 00:00 UTC",
        "machine": {"cpu": "a processor", "instructions": "avx2", "processors": 2, "memory_gib": 4},
        "engines": {"hnswlib": "1", "glass": "2", "vizinho": "3"},
        "left_out": ["svs lvq8 ended with exit code 1"],
        "rounds_count": 3,
        "task": {
            "rows": 10,
            "dimension": 3,
            "queries": 5,
            "metric": "ip",
            "k": 2,
            "links": 16,
            "build_effort": 200,
            "base": "b.npy",
            "base_sha256": "0",
            "query": "q.npy",
            "query_sha256": "1",
        },
    }
    found = summarize(rounds)
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "result", about, rounds, found)
    for suffix in ("json", "md", "svg"):
        assert (tmp_path / "x" / f"result.{suffix}").read_bytes() == (tmp_path / "y" / f"result.{suffix}").read_bytes()
    page = (tmp_path / "x" / "result.md").read_text()
    assert "- left out: svs lvq8 ended with exit code 1\n" in page
    assert "| vizinho int8 | × 2.00 glass sq4u-f16 | × 2.00 glass sq4u-f16 | × 2.00 glass sq4u-f16 |" in page
    said = json.loads((tmp_path / "x" / "result.json").read_text())
    assert len(said["rounds"]) == 3
    assert said["summary"][2]["at"][0]["best_peer"] == "glass sq4u-f16"


def test_threads_of_a_comparison_are_in_the_name_of_its_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(10)
    for name, rows in (("set.base.npy", 50), ("set.query.npy", 5)):
        np.save(tmp_path / name, random.standard_normal((rows, 6)).astype(np.float32))
    made_up(monkeypatch, hnswlib=MadeUp({"f32": sweeper([point(0.95, 5), point(0.99, 2)])}))
    monkeypatch.setattr(engines, "known", lambda: ["hnswlib"])
    files = ["--base", str(tmp_path / "set.base.npy"), "--queries", str(tmp_path / "set.query.npy")]
    some = ["--engines", "all", "--threads", "1,2", "--rounds", "1", "--output", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", ["run", *files, *some])
    compare.main()
    assert "## 2 threads" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert [name.split("-", 3)[3] for name in names] == [
        f"set-cosine-1-and-2-threads.{s}" for s in ("json", "md", "svg")
    ]
    (tmp_path / "set.base.npy").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match=r"set\.base\.npy is no \.npy file"):
        compare.main()
