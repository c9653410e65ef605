"""Filters and groups from a Python program to the index and back, held against Postgres's own WHERE."""

import json
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from engine import Engine, rebuild, vizinho
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from pgvector_exact import TIE, agreeing
from psycopg import sql
from vizinho import AttributeType, Client, Filter, Plan, Shortfall, attribute

K = 10
kind, language, parts, length = (attribute(name) for name in ("kind", "language", "parts", "length"))

# A filter as a tree, as text, and what Postgres calls it.
FILTERS: list[tuple[Filter, str, str]] = [
    (kind == "library", "kind = 'library'", "kind = 'library'"),
    (kind != "program", "kind <> 'program'", "kind <> 'program'"),
    (language.is_null(), "language is null", "language IS NULL"),
    (~(language == "perl"), "not language = 'perl'", "NOT language = 'perl'"),
    (language.isin(["rust", "go"]), "language in ('rust', 'go')", "language IN ('rust', 'go')"),
    (length.between(100, 200), "length between 100 and 200", "length BETWEEN 100 AND 200"),
    (parts.contains(["lib"]), "parts @> {'lib'}", "parts @> ARRAY['lib']"),
    (parts.overlaps(["dev", "doc"]), "parts && {'dev', 'doc'}", "parts && ARRAY['dev', 'doc']"),
    (parts.has_element("python3"), "'python3' = any (parts)", "'python3' = ANY (parts)"),
    (language.startswith("r"), "language prefix 'r'", "starts_with(language, 'r')"),
    (
        (kind == "development") & ((length < 300) | language.is_null()) & ~parts.has_element("dev"),
        "kind = 'development' and (length < 300 or language is null) and not 'dev' = any (parts)",
        "kind = 'development' AND (length < 300 OR language IS NULL) AND NOT 'dev' = ANY (parts)",
    ),
    (length > 1_000_000, "length > 1000000", "false"),
]


@pytest.fixture(scope="module")
def filtered_engine(sample_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("filtered-index")
    attributes = ("--attributes", "kind, language, parts, length")
    done = rebuild(directory, sample_database, "passages", "passages", "cosine", *attributes)
    assert done.returncode == 0, done.stderr
    with Engine(directory) as engine:
        yield engine


@pytest.fixture
def client(filtered_engine: Engine) -> Iterator[Client]:
    with filtered_engine.client() as client:
        yield client


@pytest.fixture
def postgres(sample_database: str) -> Iterator["psycopg.Connection[tuple[int, float]]"]:
    with psycopg.connect(sample_database, autocommit=True) as connection:
        register_vector(connection)
        connection.execute("SET enable_indexscan = off")
        yield connection


def nearest(
    postgres: "psycopg.Connection[tuple[int, float]]", condition: str, question: NDArray[np.float32]
) -> list[tuple[int, float]]:
    query = sql.SQL("SELECT id, embedding <=> %s AS distance FROM passages WHERE {} ORDER BY distance LIMIT %s")
    return postgres.execute(query.format(sql.SQL(condition)), (Vector(question), K)).fetchall()


@pytest.mark.parametrize(("tree", "text", "condition"), FILTERS, ids=[text for _, text, _ in FILTERS])
def test_answers_are_those_of_where(
    client: Client,
    postgres: "psycopg.Connection[tuple[int, float]]",
    questions: NDArray[np.float32],
    tree: Filter,
    text: str,
    condition: str,
) -> None:
    count = sql.SQL("SELECT count(*), 0 FROM passages WHERE {}").format(sql.SQL(condition))
    ((matching, _),) = postgres.execute(count).fetchall()
    some = questions[:20]
    expected = [nearest(postgres, condition, question) for question in some]
    exact = client.search("passages", some, K, exact=True, filter=tree)
    as_text = client.search("passages", some, K, exact=True, filter=text)
    approximate = client.search("passages", some, K, filter=tree)
    found = 0
    for result, same, quick, rows in zip(exact, as_text, approximate, expected, strict=True):
        np.testing.assert_allclose(result.distances, [distance for _, distance in rows], rtol=0, atol=TIE)
        assert list(same.ids) == list(result.ids)
        assert (result.exact, result.matching_rows, quick.matching_rows) == (True, matching, matching)
        assert len(quick) == len(result) == min(K, matching)
        assert result.shortfall is (Shortfall.FEW_MATCH if matching < K else None)
        assert (quick.plan is Plan.NOTHING_MATCHES) == (matching == 0)
        pairs = list(zip(np.asarray(quick.ids).tolist(), quick.distances.tolist(), strict=True))
        found += agreeing(pairs, rows)
    assert found >= 0.9 * sum(map(len, expected))


def test_each_question_has_its_own_filter(client: Client, questions: NDArray[np.float32]) -> None:
    filters = [language == "perl", language == "python", None, language == "rust"]
    batch = client.search("passages", questions[:4], K, filter=filters)
    for result, question, one in zip(batch, questions, filters, strict=False):
        assert list(result.ids) == list(client.search("passages", question, K, filter=one).ids)
    assert [result.matching_rows is None for result in batch] == [False, False, True, False]


def test_groups_are_those_of_postgres(
    client: Client, postgres: "psycopg.Connection[tuple[int, float]]", questions: NDArray[np.float32]
) -> None:
    query = (
        "SELECT language, min(embedding <=> %s) AS distance FROM passages WHERE language IS NOT NULL "
        "GROUP BY language ORDER BY distance LIMIT 5"
    )
    for question in questions[:10]:
        expected = postgres.execute(query, [Vector(question)]).fetchall()
        result = client.search(
            "passages", question, 5, exact=True, filter=~language.is_null(), group_by="language", per_group=2
        )
        groups = result.by_group()
        assert [len(group) for group in groups] == [2] * 5
        np.testing.assert_allclose(
            [group[0].distance for group in groups], [distance for _, distance in expected], rtol=0, atol=TIE
        )
    alone = client.search("passages", questions[0], 20, filter="language is not null", group_by="language")
    assert (len(alone), alone.shortfall) == (12, Shortfall.GROUPS)


def test_attributes_are_described(client: Client) -> None:
    assert [(a.name, a.type, a.indexed) for a in client.describe("passages").attributes] == [
        ("kind", AttributeType.KEYWORD, True),
        ("language", AttributeType.KEYWORD, True),
        ("parts", AttributeType.KEYWORD_ARRAY, True),
        ("length", AttributeType.INT64, True),
    ]


def test_the_command_line_filters(filtered_engine: Engine, client: Client) -> None:
    where = ("query", "--server", filtered_engine.address, "--collection", "passages")
    condition = "language = 'perl' and length < 500"
    expected = client.search_by_id("passages", 17, 5, filter=condition)
    done = vizinho(*where, "--id", "17", "--k", "5", "--filter", condition, "--json")
    answer = json.loads(done.stdout)
    assert [int(row["id"]) for row in answer["results"]] == list(expected.ids)
    assert answer["matching_rows"] == expected.matching_rows
    told = vizinho(*where, "--id", "17", "--filter", condition, "--explain", "--group-by", "kind").stdout
    for words in (
        "id    distance  group",
        f"{expected.matching_rows} rows match",
        "filter: language = 'perl' and length < 500",
        "in SQL: \"language\" = 'perl'",
        f"matching: {expected.matching_rows} of 10000 rows",
        'groups: 10 by "kind", up to 1 results each',
    ):
        assert words in told
    numbers = vizinho(*where).stdout
    assert "attribute.parts: keyword[], found by value" in numbers


def test_a_mistake_is_named(filtered_engine: Engine) -> None:
    where = ("query", "--server", filtered_engine.address, "--collection", "passages", "--id", "17")
    for condition, words in (
        ("langauge = 'perl'", ('"langauge"', '"language"')),
        ("length = 'long'", ('"length"', "int64", "'long'")),
        ("parts = 'lib'", ('"parts"', "arrays")),
        ("kind = 'library' or", ("character", "expected")),
    ):
        done = vizinho(*where, "--filter", condition)
        assert done.returncode != 0
        for word in words:
            assert word in done.stderr
