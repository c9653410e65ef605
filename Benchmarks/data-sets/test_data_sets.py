"""The recipes without the model: reading, batching, taking up again, growing, and the neighbours that are reported."""

import concurrent.futures
import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import embed_texts
import grow_rows
import neighbours
import numpy as np
import pytest
from embed_texts import batches, embed, embed_file, side_by_side
from files import GrowingArray, digest, load_vectors, sibling
from grow_rows import covariance_factor, grow, noisy_copies
from neighbours import nearest, unit
from numpy.typing import NDArray
from progress import Progress, clock
from texts import read_texts

HERE = pathlib.Path(__file__).parent


class MadeUpModel:
    """A token for each letter; the states of two layers are functions of them. Keeps the texts that it was given."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.seen: list[str] = []
        self._fail_after = fail_after

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        if self._fail_after is not None and len(self.seen) >= self._fail_after:
            raise KeyboardInterrupt
        self.seen += texts
        return [[1, *(ord(letter) for letter in text)] for text in texts]

    def means(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        wide = tokens[:, :, None] * np.arange(1, 5)
        return np.stack([np.sin(wide).mean(axis=1), np.cos(wide).mean(axis=1)]).astype(np.float32)


def made_texts(count: int) -> list[str]:
    random = np.random.default_rng(11)
    return [
        "".join(chr(97 + letter) for letter in random.integers(0, 26, random.integers(0, 40))) for _ in range(count)
    ]


def one_by_one(texts: Sequence[str]) -> NDArray[np.float32]:
    """The slow twin of `embed`."""
    model = MadeUpModel()
    return np.concatenate([side_by_side(model.means(np.array(model.tokens([text])))) for text in texts])


# Texts ------------------------------------------------------------------------------------------------


def test_a_line_ends_with_a_newline_alone(tmp_path: pathlib.Path) -> None:
    texts = ["one", "two\u2028still two", "", "fo\x85ur"]
    plain, lines, packed = tmp_path / "t.txt", tmp_path / "t.jsonl", tmp_path / "t.jsonl.gz"
    plain.write_text("\n".join(texts) + "\n", encoding="utf-8")
    content = "".join(json.dumps({"body": text}, ensure_ascii=False) + "\n" for text in texts)
    lines.write_text(content, encoding="utf-8")
    packed.write_bytes(gzip.compress(content.encode()))
    for path in (plain, lines, packed):
        assert list(read_texts(path, "body")) == texts
        assert list(read_texts(path, "body", rows=2)) == texts[:2]


@pytest.mark.parametrize("second", ['{"other": "x"}', '{"body": 3}', '["body"]'])
def test_a_line_without_the_text_is_named(tmp_path: pathlib.Path, second: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"body": "x"}}\n{second}\n')
    with pytest.raises(ValueError, match=r't\.jsonl: line 2 has no text in the field "body"'):
        list(read_texts(path, "body"))


# Embedding --------------------------------------------------------------------------------------------


def test_each_text_is_in_one_batch_with_others_of_its_length() -> None:
    random = np.random.default_rng(12)
    tokens = [list(range(length)) for length in random.integers(2, 60, 700)] + [
        list(range(embed_texts.BATCH_TOKENS + 1))
    ]
    places = []
    for chosen, batch in batches(tokens):
        assert [list(row) for row in batch] == [tokens[place] for place in chosen]
        assert batch.size <= embed_texts.BATCH_TOKENS or len(chosen) == 1
        places += chosen
    assert sorted(places) == list(range(len(tokens)))


def test_layers_have_equal_parts_in_a_vector_of_unit_length() -> None:
    means = np.random.default_rng(13).standard_normal((4, 9, 6)).astype(np.float32) * np.float32(7)
    vectors = side_by_side(means)
    assert vectors.shape == (9, 24)
    np.testing.assert_allclose(np.linalg.norm(vectors.reshape(9, 4, 6), axis=2), 0.5, rtol=1e-6)
    np.testing.assert_allclose(vectors[:, 18:] * 2, unit(means[3]), rtol=1e-6)


def test_vectors_are_in_the_order_of_the_texts() -> None:
    texts = made_texts(500)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        np.testing.assert_allclose(embed(MadeUpModel(), texts, pool), one_by_one(texts), atol=1e-6)


@pytest.fixture
def source(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(embed_texts, "WINDOW_ROWS", 50)
    path = tmp_path / "t.txt"
    path.write_text("".join(f"{text}\n" for text in made_texts(230)))
    return path


def run_embed(model: MadeUpModel, source: pathlib.Path, output: pathlib.Path, settings: dict[str, Any]) -> None:
    embed_file(model, source, output, "text", 220, 8, settings, threads=2)


def test_an_interrupted_run_is_taken_up(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "v.base.npy"
    first, second = MadeUpModel(fail_after=100), MadeUpModel()
    with pytest.raises(KeyboardInterrupt):
        run_embed(first, source, output, {"a": 1})
    assert not output.exists()
    run_embed(second, source, output, {"a": 1})
    texts = made_texts(230)[:220]
    assert (first.seen, second.seen) == (texts[:100], texts[100:])
    vectors = load_vectors(output)
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors, one_by_one(texts), atol=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.txt", "v.base.npy"]


def test_what_other_settings_left_is_not_taken_up(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    output, model = tmp_path / "v.base.npy", MadeUpModel()
    with pytest.raises(KeyboardInterrupt):
        run_embed(MadeUpModel(fail_after=100), source, output, {"a": 1})
    run_embed(model, source, output, {"a": 2})
    assert len(model.seen) == 220


def test_rows_without_their_number_are_not_trusted(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    output, model = tmp_path / "v.base.npy", MadeUpModel()
    with pytest.raises(KeyboardInterrupt):
        run_embed(MadeUpModel(fail_after=100), source, output, {"a": 1})
    sibling(output, ".part").unlink()
    run_embed(model, source, output, {"a": 1})
    assert len(model.seen) == 220


# Growing ----------------------------------------------------------------------------------------------


def made_rows(rows: int, dimension: int = 12) -> NDArray[np.float16]:
    """Rows of unit length that spread unevenly over the dimensions."""
    spread = np.random.default_rng(14).standard_normal((rows, dimension)) * np.linspace(0.1, 2, dimension)
    return unit(spread + 1).astype(np.float16)


def grown(base: NDArray[Any], rows: int, noise: float = 0.5, seed: int = 1) -> NDArray[np.float16]:
    vectors = np.zeros((rows, base.shape[1]), dtype=np.float16)
    grow(base, vectors, noise, seed)
    return vectors


def test_noise_has_the_covariance_of_the_rows_and_length_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grow_rows, "STEP_ROWS", 64)
    base = made_rows(500)
    factor = covariance_factor(base).astype(np.float64)
    covariance = np.cov(base.astype(np.float64).T, bias=True)
    np.testing.assert_allclose(factor @ factor.T, covariance / np.trace(covariance), atol=1e-6)
    assert not covariance_factor(np.ones((4, 3), dtype=np.float16)).any()


def test_real_rows_come_first_and_copies_keep_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grow_rows, "STEP_ROWS", 64)
    base = made_rows(100)
    base[3] = 0
    base[4] *= np.float16(2)
    vectors = grown(base, 330)
    assert vectors[:100].tobytes() == base.tobytes()
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, np.tile(lengths[:100], 4)[:330], atol=2e-3)


def test_no_copy_is_another_copy_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    # Steps as long as the set: the same noise in two steps would give the same copies.
    monkeypatch.setattr(grow_rows, "STEP_ROWS", 64)
    assert len(np.unique(grown(made_rows(64), 640), axis=0)) == 640


def test_noise_is_relative_to_the_length_of_the_row() -> None:
    rows = made_rows(50).astype(np.float32)
    factor = covariance_factor(rows)
    copies, of_longer = (noisy_copies(some, factor, 0.5, np.random.default_rng(17)) for some in (rows, 8 * rows))
    np.testing.assert_allclose(of_longer, 8 * copies, rtol=1e-5, atol=1e-5)


def test_noise_is_as_large_as_told() -> None:
    rows, random = made_rows(4_000), np.random.default_rng(15)
    factor = covariance_factor(rows)
    # Of small noise, 1 − cos is half the square of the part at right angles to the row, whose mean the factor tells.
    across = np.array([((np.eye(12) - np.outer(row, row)) @ factor) for row in unit(rows[:400])])
    expected = 0.01**2 / 2 * (across**2).sum(axis=(1, 2)).mean()
    copies = noisy_copies(rows[:400].repeat(50, axis=0), factor, 0.01, random)
    distances = 1 - np.einsum("ij,ij->i", unit(copies).astype(np.float64), unit(rows[:400]).repeat(50, axis=0))
    assert distances.mean() == pytest.approx(expected, rel=0.03)


def test_the_seed_decides_and_more_rows_begin_with_the_same() -> None:
    base = made_rows(90)
    vectors = grown(base, 300)
    assert vectors.tobytes() == grown(base, 300).tobytes()
    # Of another shape, a matrix product may round another way.
    np.testing.assert_allclose(vectors, grown(base, 400)[:300], atol=2e-3)
    other = grown(base, 300, seed=2)
    assert (other[:90] == vectors[:90]).all()
    assert (other[90:] != vectors[90:]).any(axis=1).all()


def run_grow(folder: pathlib.Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    files = ("--base", str(folder / "real.base.npy"), "--queries", str(folder / "real.query.npy"))
    command = [sys.executable, str(HERE / "grow_rows.py"), *files, "--output", str(folder / "out" / name), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_grown_set_says_what_it_is(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "real.base.npy", made_rows(100))
    np.save(tmp_path / "real.query.npy", made_rows(110)[100:].astype(np.float32))
    assert run_grow(tmp_path, "x-synthetic", "--rows", "250", "--sample", "80").returncode == 0
    out = tmp_path / "out"
    names = ["x-synthetic.base.npy", "x-synthetic.json", "x-synthetic.query.npy"]
    assert sorted(path.name for path in out.iterdir()) == names
    note = json.loads((out / "x-synthetic.json").read_text())
    base, queries = np.load(out / names[0]), np.load(out / names[2])
    assert (base.shape, base.dtype) == ((250, 12), np.float16)
    assert (out / names[2]).read_bytes() == (tmp_path / "real.query.npy").read_bytes()
    said = {
        key: note[key] for key in ("synthetic", "rows", "real_rows", "synthetic_rows", "queries", "dimension", "seed")
    }
    assert said == {
        "synthetic": True,
        "rows": 250,
        "real_rows": 80,
        "synthetic_rows": 170,
        "queries": 10,
        "dimension": 12,
        "seed": 1,
    }
    assert note["base"] == {"file": names[0], "sha256": digest(out / names[0])}
    assert note["from_base"] == {"file": "real.base.npy", "sha256": digest(tmp_path / "real.base.npy")}
    distances = np.sort(1 - unit(queries) @ unit(base).T, axis=1)
    assert note["after"]["mean_top_1_distance"] == pytest.approx(distances[:, 0].mean(), abs=1e-4)
    assert note["after"]["mean_top_10_distance"] == pytest.approx(distances[:, 9].mean(), abs=1e-4)
    assert 0 < note["after"]["synthetic_share_of_top_10"] < 1 == note["before"]["originals_in_top_10"] / 10


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x", ["--rows", "250"], 'the name must have "synthetic" in it'),
        ("x-synthetic", ["--rows", "99"], "--rows 99 is fewer than the 100 that there are"),
        ("x-synthetic", ["--rows", "250", "--noise", "0"], "--noise: more than 0"),
        ("x-synthetic", ["--rows", "250", "--sample", "101"], "--sample 101 of 100 rows"),
    ],
)
def test_a_set_that_cannot_be_is_refused(tmp_path: pathlib.Path, name: str, options: list[str], message: str) -> None:
    np.save(tmp_path / "real.base.npy", made_rows(100))
    np.save(tmp_path / "real.query.npy", made_rows(10))
    refused = run_grow(tmp_path, name, *options)
    assert refused.returncode != 0
    assert message in refused.stderr
    assert not (tmp_path / "out").exists()


# Neighbours, files, progress --------------------------------------------------------------------------


def test_neighbours_are_those_of_a_full_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PART_ROWS", 37)
    random = np.random.default_rng(16)
    base, queries = random.standard_normal((113, 5)), random.standard_normal((20, 5))
    base[7] = 0
    told: list[int] = []
    found = nearest(base, queries, 9, told.append)
    lengths = np.linalg.norm(base, axis=1)
    lengths[7] = 1
    distances = 1 - queries / np.linalg.norm(queries, axis=1, keepdims=True) @ (base / lengths[:, None]).T
    order = np.argsort(distances, axis=1)[:, :9]
    assert (found.rows == order).all()
    np.testing.assert_allclose(found.cosine_distances, np.take_along_axis(distances, order, axis=1), atol=1e-6)
    assert found.mean_distance(1) == pytest.approx(distances.min(axis=1).mean(), abs=1e-6)
    assert told == [37, 37, 37, 2]
    with pytest.raises(ValueError, match="k 114 of 113 rows"):
        nearest(base, queries, 114)


def test_an_array_gets_its_name_when_it_is_whole(tmp_path: pathlib.Path) -> None:
    array = GrowingArray(tmp_path / "v.base.npy", 3, 2)
    array.vectors[:] = np.arange(6).reshape(3, 2)
    array.flush()
    assert [path.name for path in tmp_path.iterdir()] == ["v.base.npy.part"]
    with pytest.raises(ValueError, match=r"float16 \(3, 2\) is not float16 \(4, 2\)"):
        GrowingArray(tmp_path / "v.base.npy", 4, 2, resume=True)
    array.publish()
    assert load_vectors(tmp_path / "v.base.npy").tolist() == [[0, 1], [2, 3], [4, 5]]


def test_only_vectors_are_loaded(tmp_path: pathlib.Path) -> None:
    for wrong in (np.zeros(3, np.float32), np.zeros((2, 2)), np.zeros((0, 2), np.float16)):
        np.save(tmp_path / "v.npy", wrong)
        with pytest.raises(ValueError, match="is not \\[rows, dimension\\] of float16 or float32"):
            load_vectors(tmp_path / "v.npy")


def test_a_digest_is_that_of_the_bytes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_bytes(b"neighbour")
    assert digest(tmp_path / "f") == hashlib.sha256(b"neighbour").hexdigest()


def test_the_rate_counts_this_run_alone() -> None:
    seconds, log = [0.0], io.StringIO()
    progress = Progress("embedding", 1_000, done=400, stream=log, now=lambda: seconds[0])
    seconds[0] = 10.0
    progress.add(100)
    # A log gets a line in half a minute, not more.
    assert log.getvalue() == ""
    seconds[0] = 50.0
    progress.add(100)
    assert log.getvalue().endswith(" 60%  600 of 1,000  4 rows/s  0:50 gone, 1:40 left\n")
    assert [clock(value) for value in (7.4, 187, 3_727)] == ["0:07", "3:07", "1:02:07"]
