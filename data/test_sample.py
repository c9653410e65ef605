"""The sample is what its page says it is, and the script that cut it keeps its promises on a set made here."""

import gzip
import hashlib
import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent
SAMPLE = HERE / "debian-10k"
SUFFIXES = (".base.npy", ".texts.jsonl.gz", ".query.npy", ".queries.jsonl.gz")


def lines(path: pathlib.Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_the_page_states_each_file_with_its_size_and_checksum() -> None:
    page = (HERE / "README.md").read_text()
    stated = {
        name: (int(size.replace(",", "")), digest)
        for name, size, digest in re.findall(
            r"^\| `(debian-10k\S+)` \|.*\| ([\d,]+) \| `([0-9a-f]{64})` \|$", page, re.MULTILINE
        )
    }
    found = {}
    for suffix in SUFFIXES:
        content = pathlib.Path(f"{SAMPLE}{suffix}").read_bytes()
        found[f"{SAMPLE.name}{suffix}"] = (len(content), hashlib.sha256(content).hexdigest())
    assert stated == found
    assert sum(size for size, _ in found.values()) <= 15 * 2**20


@pytest.mark.parametrize(("kind", "rows"), [("base", 10_000), ("query", 300)])
def test_vectors_have_unit_length(kind: str, rows: int) -> None:
    vectors = np.load(f"{SAMPLE}.{kind}.npy")
    assert (vectors.dtype, vectors.shape) == (np.float16, (rows, 384))
    # A component rounded to half precision is off by at most 2^-12 of itself.
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 2**-11


def test_each_question_is_the_synopsis_of_its_rows() -> None:
    texts = lines(pathlib.Path(f"{SAMPLE}.texts.jsonl.gz"))
    questions = lines(pathlib.Path(f"{SAMPLE}.queries.jsonl.gz"))
    assert (len(texts), len(questions)) == (10_000, 300)
    assert all(set(text) == {"title", "summary", "text"} for text in texts)
    for question in questions:
        assert question["rows"] == [row for row, text in enumerate(texts) if text["summary"] == question["text"]] != []


def made_set(prefix: pathlib.Path) -> None:
    random = np.random.default_rng(7)
    vectors = random.standard_normal((200, 4)).astype(np.float16)
    np.save(f"{prefix}.base.npy", vectors)
    np.save(f"{prefix}.query.npy", vectors[:20] + np.float16(1))
    for name, made in (
        ("texts", [{"title": f"t{i}", "summary": f"s{i % 150}", "text": f"text {i}"} for i in range(200)]),
        ("queries", [{"text": f"s{i}"} for i in range(20)]),
    ):
        with gzip.open(f"{prefix}.{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in made)


def cut(prefix: pathlib.Path, output: pathlib.Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "make-sample.py"), str(prefix), "--output", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_cut_holds_the_answers_and_is_the_same_every_time(tmp_path: pathlib.Path) -> None:
    made_set(tmp_path / "set")
    first, second = tmp_path / "first", tmp_path / "second"
    options = ("--rows", "50", "--questions", "10", "--seed", "3")
    assert cut(tmp_path / "set", first, *options).returncode == 0
    assert cut(tmp_path / "set", second, *options).returncode == 0
    for suffix in SUFFIXES:
        assert pathlib.Path(f"{first}{suffix}").read_bytes() == pathlib.Path(f"{second}{suffix}").read_bytes()

    source = np.load(tmp_path / "set.base.npy")
    base, texts = np.load(f"{first}.base.npy"), lines(tmp_path / "first.texts.jsonl.gz")
    assert (len(base), len(texts)) == (50, 50)
    for vector, text in zip(base, texts, strict=True):
        assert (vector == source[int(text["title"][1:])]).all()
    questions = lines(tmp_path / "first.queries.jsonl.gz")
    assert len(questions) == 10
    for question in questions:
        # Two of the set's texts share each of the first fifty synopses, and both come along.
        assert [texts[row]["summary"] for row in question["rows"]] == [question["text"]] * 2


def test_a_sample_too_small_for_its_questions_is_refused(tmp_path: pathlib.Path) -> None:
    made_set(tmp_path / "set")
    refused = cut(tmp_path / "set", tmp_path / "out", "--rows", "5", "--questions", "10")
    assert refused.returncode == 1
    assert refused.stderr == "cannot cut the sample: 10 questions need 20 passages, which is more than --rows 5\n"
    assert not pathlib.Path(f"{tmp_path / 'out'}.base.npy").exists()
