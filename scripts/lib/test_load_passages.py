"""Loading into a live Postgres: VIZINHO_TEST_POSTGRES names it."""

import gzip
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from load_passages import fields_of, kind_of, language_of, load
from numpy.typing import NDArray
from pgvector_exact import ExactSearch, agreeing
from psycopg import sql

ROWS, DIMENSION = 50, 6


@pytest.fixture
def url() -> str:
    found = os.environ.get("VIZINHO_TEST_POSTGRES")
    if not found:
        pytest.exit("VIZINHO_TEST_POSTGRES is not set: scripts/test tools sees to it", returncode=1)
    return found


@pytest.fixture
def table(url: str) -> Iterator[str]:
    """A table's name in a schema of its own, which is dropped in the end."""
    schema = f"load_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        try:
            yield f"{schema}.passages"
        finally:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def made_set(folder: pathlib.Path, rows: int = ROWS, texts: int = ROWS) -> tuple[pathlib.Path, pathlib.Path]:
    vectors = np.random.default_rng(3).standard_normal((rows, DIMENSION)).astype(np.float16)
    np.save(folder / "base.npy", vectors)
    with gzip.open(folder / "texts.jsonl.gz", "wt", encoding="utf-8") as file:
        for i in range(texts):
            file.write(json.dumps({"title": f"título {i}", "summary": "s", "text": "t" * i}) + "\n")
    return folder / "base.npy", folder / "texts.jsonl.gz"


def rows(url: str, table: str) -> list[tuple[Any, ...]]:
    name = sql.Identifier(*table.split("."))
    with psycopg.connect(url) as connection:
        query = sql.SQL("SELECT id, title, body, embedding::real[] FROM {} ORDER BY id").format(name)
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("element_type", ["vector", "halfvec"])
def test_every_row_arrives_and_a_second_load_replaces_the_first(
    url: str, table: str, tmp_path: pathlib.Path, element_type: str
) -> None:
    base, texts = made_set(tmp_path)
    load(url, table, element_type, base, texts)
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("DELETE FROM {} WHERE id < 10").format(sql.Identifier(*table.split("."))))
    load(url, table, element_type, base, texts)
    found = rows(url, table)
    vectors: NDArray[np.float16] = np.load(base)
    assert [row[:3] for row in found] == [(i, f"título {i}", "t" * i) for i in range(ROWS)]
    assert np.array_equal(np.array([row[3] for row in found], dtype=np.float32), vectors.astype(np.float32))


@pytest.mark.parametrize(("vectors", "texts"), [(ROWS, ROWS - 1), (ROWS - 1, ROWS), (ROWS, 0)])
def test_texts_that_do_not_match_in_number_leave_the_old_table(
    url: str, table: str, tmp_path: pathlib.Path, vectors: int, texts: int
) -> None:
    load(url, table, "vector", *made_set(tmp_path))
    with pytest.raises(SystemExit, match="texts"):
        load(url, table, "vector", *made_set(tmp_path, vectors, texts))
    assert len(rows(url, table)) == ROWS


def test_a_table_of_somebody_else_is_not_touched(url: str, table: str, tmp_path: pathlib.Path) -> None:
    name = sql.Identifier(*table.split("."))
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} (precious text)").format(name))
    with pytest.raises(SystemExit, match="was not made by this script"):
        load(url, table, "vector", *made_set(tmp_path))
    with psycopg.connect(url) as connection:
        assert connection.execute(sql.SQL("SELECT precious FROM {}").format(name)).fetchall() == []


def test_an_array_that_is_none_is_refused(url: str, table: str, tmp_path: pathlib.Path) -> None:
    _, texts = made_set(tmp_path)
    np.save(tmp_path / "flat.npy", np.zeros(5, np.float32))
    with pytest.raises(SystemExit, match=r"expected \[rows, dimension\]"):
        load(url, table, "vector", tmp_path / "flat.npy", texts)
    with pytest.raises(SystemExit, match="cannot read"):
        load(url, table, "vector", texts, texts)


def test_the_exact_search_is_exact(url: str, table: str, tmp_path: pathlib.Path) -> None:
    base, texts = made_set(tmp_path)
    load(url, table, "vector", base, texts)
    vectors = np.load(base).astype(np.float64)
    query = np.arange(1, DIMENSION + 1, dtype=np.float32)
    cosine = 1 - vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    exact = ExactSearch(url, table)
    try:
        answer = exact.search(query, 7)
    finally:
        exact.close()
    assert [row for row, _ in answer] == np.argsort(cosine)[:7].tolist()
    np.testing.assert_allclose([distance for _, distance in answer], np.sort(cosine)[:7], atol=1e-6)


def test_agreeing_counts_ties_and_ignores_order() -> None:
    exact = [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert agreeing([(3, 0.3), (2, 0.2), (1, 0.1)], exact) == 3
    assert agreeing([(1, 0.1), (9, 0.300_001), (4, 0.4)], exact) == 2
    assert agreeing([], exact) == 0
    assert agreeing([(1, 0.1)], []) == 0


@pytest.mark.parametrize(
    ("package", "kind", "language"),
    [
        ("libtest-trap-perl", "library", "perl"),
        ("librust-bstr+regex-automata-dev", "development", "rust"),
        ("python3-numpy", "program", "python"),
        ("libghc-aeson-doc", "documentation", "haskell"),
        ("r-cran-dplyr", "program", "r"),
        ("fonts-noto", "data", None),
        ("postgresql-common", "data", None),
        ("vim", "program", None),
        ("", "program", None),
    ],
)
def test_a_packages_name_tells_its_kind_and_language(package: str, kind: str, language: str | None) -> None:
    assert (kind_of(package), language_of(package)) == (kind, language)


def test_what_the_texts_say_wins() -> None:
    said = {"title": "ruby-x", "text": "abc", "kind": "poem", "language": None, "parts": ["p"]}
    assert fields_of(said) == ("ruby-x", "", "abc", "poem", None, ["p"], 3)
    assert fields_of({"title": "ruby-x"}) == ("ruby-x", "", "", "program", "ruby", ["ruby", "x"], 0)


def test_there_is_something_to_filter_by(url: str, table: str, tmp_path: pathlib.Path) -> None:
    load(url, table, "vector", *made_set(tmp_path))
    with psycopg.connect(url) as connection:
        name = sql.Identifier(*table.split("."))
        query = sql.SQL("SELECT kind, language, parts, length FROM {} WHERE id = 7").format(name)
        assert connection.execute(query).fetchall() == [("program", None, ["título", "7"], 7)]
