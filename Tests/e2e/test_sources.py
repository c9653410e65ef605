"""Small tables of other kinds: what pgvector finds in them, the engine finds."""

import pathlib
import signal
import uuid
from typing import Any, LiteralString

import numpy as np
import psycopg
import pytest
from engine import Engine, rebuild, vizinho
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import sql

ROWS, DIMENSION, K = 500, 24, 10
OPERATORS: dict[str, LiteralString] = {"cosine": "<=>", "inner_product": "<#>", "l2": "<->"}


def make_table(url: str, table: str, element_type: LiteralString, key: LiteralString, rows: int = ROWS) -> None:
    """A table with keys of that type, some vectors NULL and one zero."""
    random = np.random.default_rng(11)
    with psycopg.connect(url) as connection:
        register_vector(connection)
        columns = sql.SQL("id {} PRIMARY KEY").format(sql.SQL(key))
        if key == "composite":
            columns = sql.Composed([sql.SQL("tenant text, number int, PRIMARY KEY (tenant, number)")])
        connection.execute(
            sql.SQL("CREATE TABLE {} ({}, embedding {}({}))").format(
                sql.Identifier(table), columns, sql.SQL(element_type), sql.Literal(DIMENSION)
            )
        )
        for i in range(rows):
            vector = random.standard_normal(DIMENSION).astype(np.float16).astype(np.float32)
            value = None if i % 50 == 7 else Vector(np.zeros(DIMENSION) if i == 100 else vector)
            keys: tuple[Any, ...] = {
                "bigint": (i - 100,),
                "integer": (i,),
                "uuid": (uuid.UUID(int=i << 64 | 5),),
                "text": (f"ключ {i}",),
                "composite": (f"tenant {i % 3}", i),
            }[key]
            places = sql.SQL(", ").join([sql.Placeholder()] * (len(keys) + 1))
            connection.execute(
                sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(table), places), (*keys, value)
            )


def pgvector_answer(url: str, table: str, key: str, metric: str, query: NDArray[np.float32]) -> list[tuple[Any, float]]:
    keys = sql.SQL("tenant, number") if key == "composite" else sql.SQL("id")
    with psycopg.connect(url) as connection:
        register_vector(connection)
        rows = connection.execute(
            # pgvector's cosine index leaves zero vectors out, and every index leaves NULL out.
            sql.SQL(
                "SELECT {}, embedding {} %s AS distance FROM {} WHERE embedding IS NOT NULL"
                " AND (%s OR vector_norm(embedding::vector) > 0) ORDER BY distance LIMIT %s"
            ).format(keys, sql.SQL(OPERATORS[metric]), sql.Identifier(table)),
            (Vector(query), metric != "cosine", K),
        ).fetchall()
    return [(row[0] if len(row) == 2 else tuple(row[:-1]), row[-1]) for row in rows]


@pytest.mark.parametrize(
    ("element_type", "key", "metric"),
    [
        ("vector", "bigint", "cosine"),
        ("vector", "integer", "inner_product"),
        ("vector", "uuid", "l2"),
        ("halfvec", "text", "cosine"),
        ("halfvec", "composite", "inner_product"),
        ("halfvec", "bigint", "l2"),
    ],
)
def test_answers_are_pgvectors(
    database: str, tmp_path: pathlib.Path, element_type: LiteralString, key: LiteralString, metric: str
) -> None:
    table = f"{element_type}_{key}_{metric}"
    make_table(database, table, element_type, key)
    done = rebuild(tmp_path, database, table, "things", metric)
    assert done.returncode == 0, done.stderr
    random = np.random.default_rng(12)
    with Engine(tmp_path) as engine, engine.client() as client:
        for _ in range(20):
            query = random.standard_normal(DIMENSION).astype(np.float16).astype(np.float32)
            result = client.search("things", query, K, exact=True)
            expected = pgvector_answer(database, table, key, metric, query)
            np.testing.assert_allclose(result.distances, [d for _, d in expected], rtol=1e-5, atol=1e-5)
            # Random vectors do not tie.
            assert [hit.id for hit in result] == [row for row, _ in expected]


@pytest.mark.parametrize(
    # The table's components are halves, and come back from half precision as they are. Eight bits leave a step of the
    # largest rotated component / 127: together at most sqrt(24) / 254 of the length, which nearly cancels in a cosine.
    ("storage", "error", "distance_error"),
    [("f32", 0, 1e-5), ("f16", 0, 1e-5), ("int8", 0.0194, 5e-3), ("int4x8", 0.0194, 5e-3), ("int4x16", 0, 1e-5)],
)
def test_each_storage_keeps_what_it_promises(
    database: str, tmp_path: pathlib.Path, storage: str, error: float, distance_error: float
) -> None:
    table = f"kept_as_{storage}"
    make_table(database, table, "vector", "bigint", rows=1_500)
    done = rebuild(tmp_path, database, table, "things", "cosine", "--storage", storage)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(database) as connection:
        register_vector(connection)
        (row,) = connection.execute(sql.SQL("SELECT embedding FROM {} WHERE id = 3").format(sql.Identifier(table)))
    given = row[0].to_numpy()
    random = np.random.default_rng(12)
    with Engine(tmp_path) as engine, engine.client() as client:
        (collection,) = client.collections()
        assert collection.storage.name.lower() == storage
        assert client.statistics("things")["storage"] == storage
        fetched = client.fetch("things", [3]).vectors
        assert fetched is not None
        assert np.linalg.norm(fetched[0] - given) <= error * np.linalg.norm(given)
        for _ in range(20):
            query = random.standard_normal(DIMENSION).astype(np.float32)
            expected = [distance for _, distance in pgvector_answer(database, table, "bigint", "cosine", query)]
            exact = client.search("things", query, K, exact=True)
            walked = client.search("things", query, K, ef=400)
            np.testing.assert_allclose(exact.distances, expected, rtol=0, atol=distance_error)
            assert exact.exact
            assert not walked.exact
            assert len(set(walked.ids)) == K
            # However a row was found, its distance is the one that its finer form has.
            of_exact, of_walked = ({hit.id: hit.distance for hit in result} for result in (exact, walked))
            common = of_exact.keys() & of_walked.keys()
            assert len(common) >= K - 2
            for row_id in common:
                assert of_walked[row_id] == pytest.approx(of_exact[row_id], abs=1e-6)


@pytest.mark.parametrize("dimension_kind", ["few", "many"])
def test_the_storage_is_chosen_by_the_dimension(database: str, tmp_path: pathlib.Path, dimension_kind: str) -> None:
    dimension, expected = {"few": (DIMENSION, "f16"), "many": (384, "int4x16")}[dimension_kind]
    table = f"{dimension_kind}_dimensions"
    with psycopg.connect(database) as connection:
        connection.execute(
            sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, embedding vector({}))").format(
                sql.Identifier(table), sql.Literal(dimension)
            )
        )
    done = rebuild(tmp_path, database, table, "things", "l2", "--storage", "auto")
    assert done.returncode == 0, done.stderr
    inspected = vizinho("snapshot", "inspect", tmp_path / "collections" / "things")
    assert f"storage: {expected}\n" in inspected.stdout


def test_an_empty_table_is_an_empty_collection(database: str, tmp_path: pathlib.Path) -> None:
    make_table(database, "nothing", "vector", "bigint", rows=0)
    done = rebuild(tmp_path, database, "nothing", "nothing")
    assert done.returncode == 0, done.stderr
    with Engine(tmp_path) as engine, engine.client() as client:
        (collection,) = client.collections()
        assert (collection.rows, collection.dimension) == (0, DIMENSION)
        assert len(client.search("nothing", np.ones(DIMENSION, np.float32), K)) == 0


def test_a_rebuild_replaces_what_is_served(database: str, tmp_path: pathlib.Path) -> None:
    make_table(database, "changing", "vector", "bigint")
    assert rebuild(tmp_path, database, "changing", "changing").returncode == 0
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM changing WHERE id >= 0")
    assert rebuild(tmp_path, database, "changing", "changing").returncode == 0
    with Engine(tmp_path) as engine, engine.client() as client:
        result = client.search("changing", np.ones(DIMENSION, np.float32), ROWS, exact=True)
    # Keys −100 to −1 are left; every fiftieth of them has no vector. The zero vector has gone with key 0.
    assert sorted(hit.id for hit in result) == [i for i in range(-100, 0) if (i + 100) % 50 != 7]


def test_a_rebuild_can_go_on_to_serve(database: str, tmp_path: pathlib.Path) -> None:
    make_table(database, "served", "vector", "bigint")
    command = ("rebuild", "--serve", "--postgres", database, "--table", "served", "--metric", "l2")
    with Engine(tmp_path, command) as engine:
        with engine.client() as client:
            served = client.search("served", np.ones(DIMENSION, np.float32), K)
        assert engine.end(signal.SIGTERM) == 0, engine.log
    with Engine(tmp_path) as engine, engine.client() as client:
        loaded = client.search("served", np.ones(DIMENSION, np.float32), K)
    assert [(hit.id, hit.distance) for hit in served] == [(hit.id, hit.distance) for hit in loaded]


def test_a_query_is_a_source_too(database: str, tmp_path: pathlib.Path) -> None:
    make_table(database, "asked", "vector", "bigint")
    statement = "SELECT id, embedding FROM asked WHERE id % 2 = 0"
    columns = ("--id-columns", "id", "--vector-column", "embedding")
    done = vizinho(
        "rebuild", "--data-dir", tmp_path, "--postgres", database, "--query", statement, *columns,
        "--collection", "even", "--metric", "l2", "--dimension", str(DIMENSION),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Engine(tmp_path) as engine, engine.client() as client:
        ids = client.search("even", np.ones(DIMENSION, np.float32), ROWS).ids
    assert sorted(ids) == [i - 100 for i in range(ROWS) if i % 2 == 0 and i % 50 != 7]
