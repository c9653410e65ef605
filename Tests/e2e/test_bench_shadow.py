"""`bench shadow` against what the tests work out themselves: a real server and Postgres, with changes meanwhile."""

import json
import pathlib
import subprocess
import threading
import urllib.parse

import numpy as np
import psycopg
import pytest
from benching import bench, report, settings
from engine import Engine, rebuild
from following import followed_table, unique_name, vectors
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from pgvector_exact import ExactSearch, agreeing
from psycopg import sql

QUESTIONS = pathlib.Path(__file__).resolve().parents[2] / "data" / "debian-10k.query.npy"
K = 10


def shadow(
    engine: Engine, url: str, *arguments: str, table: str = "passages", collection: str = "passages"
) -> subprocess.CompletedProcess[str]:
    where = ("--server", engine.address, "--collection", collection, "--postgres", url, "--table", table)
    return bench("shadow", *where, *arguments)


def file_of(path: pathlib.Path, chosen: NDArray[np.float32]) -> str:
    np.save(path / "chosen.npy", chosen)
    return str(path / "chosen.npy")


def overlap(engine: Engine, exact: ExactSearch, chosen: NDArray[np.float32], ef: int) -> float:
    """The mean overlap, by another driver on either side."""
    with engine.client() as client:
        found = client.search("passages", chosen, K, ef=ef)
    pairs = [list(zip(one.ids, one.distances.tolist(), strict=True)) for one in found]
    return sum(agreeing(one, exact.search(q, K)) for one, q in zip(pairs, chosen, strict=True)) / (K * len(chosen))


def test_figures_are_those_of_other_drivers(
    sample_engine: Engine,
    sample_database: str,
    exact: ExactSearch,
    questions: NDArray[np.float32],
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / "shadow.json"
    # So little effort that something is missing.
    chosen = file_of(tmp_path, questions[:60])
    told = ("--queries", chosen, "--ef", "10", "--min-overlap", "0", "--json", str(file))
    done = shadow(sample_engine, sample_database, *told, "--html", str(tmp_path / "shadow.html"))
    assert done.returncode == 0, done.stderr
    found = report(file)
    result = found["shadow"]
    assert result["queries"] == 60
    # Half precision may take a row for tied that is not, or the other way round.
    assert result["overlap_mean"] == pytest.approx(overlap(sample_engine, exact, questions[:60], ef=10), abs=0.003)
    assert 0 <= result["overlap_least"] <= result["overlap_mean"] < 1
    assert sum(one["queries"] for one in result["overlaps"]) == 60
    assert result["missing"] == round((1 - result["overlap_mean"]) * 60 * K)
    assert result["extra"] == result["missing"]
    assert 0 < result["score_error_mean"] <= result["score_error_most"] < 0.001
    assert result["errors"] == {}
    assert result["settled_by_asking_again"] == 0
    assert 0 < result["engine_latency"]["p50_us"] <= result["engine_latency"]["max_us"]
    assert 0 < result["exact_latency"]["p50_us"] <= result["exact_latency"]["max_us"]
    assert result["worst"]
    assert result["worst"][0]["overlap"] == result["overlap_least"]
    assert settings(found)["Vizinho", "follows"] == "no"
    assert any("does not follow" in note for note in found["notes"])
    assert "<html" in (tmp_path / "shadow.html").read_text()


def test_thresholds_decide_how_it_ends(sample_engine: Engine, sample_database: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "shadow.json"
    told = ("--queries", str(QUESTIONS), "--sample", "40", "--seed", "3", "--json", str(file))
    done = shadow(sample_engine, sample_database, *told, "--recall-target", "0.99", "--max-rank-distance", "1")
    assert done.returncode == 0, done.stderr
    result = report(file)["shadow"]
    assert result["queries"] == 40
    assert [(one["name"], one["passed"]) for one in result["thresholds"]] == [
        ("--min-overlap", True),
        ("--max-rank-distance", True),
    ]
    done = shadow(sample_engine, sample_database, *told, "--max-score-error", "0", "--max-p99-ms", "0")
    assert done.returncode == 1
    assert "--max-score-error" in done.stderr
    assert "--max-p99-ms" in done.stderr
    assert "--min-overlap" not in done.stderr
    failed = [one["name"] for one in report(file)["shadow"]["thresholds"] if not one["passed"]]
    assert failed == ["--max-score-error", "--max-p99-ms"]


def test_an_index_of_pgvector_is_not_used(
    sample_engine: Engine, sample_database: str, questions: NDArray[np.float32], tmp_path: pathlib.Path
) -> None:
    with psycopg.connect(sample_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE indexed AS SELECT id, embedding FROM passages")
        connection.execute("ALTER TABLE indexed ADD PRIMARY KEY (id)")
        # So poor that by it the overlap would be another.
        connection.execute(
            "CREATE INDEX ON indexed USING hnsw (embedding vector_cosine_ops) WITH (m = 2, ef_construction = 4)"
        )
        try:
            chosen = file_of(tmp_path, questions[:30])
            results = []
            for table in ("passages", "indexed"):
                told = ("--queries", chosen, "--min-overlap", "0", "--json", str(tmp_path / "shadow.json"))
                done = shadow(sample_engine, sample_database, *told, table=table)
                assert done.returncode == 0, done.stderr
                results.append(report(tmp_path / "shadow.json")["shadow"])
        finally:
            connection.execute("DROP TABLE indexed")
    for name in ("overlap_mean", "rank_distance_mean", "missing", "extra"):
        assert results[0][name] == results[1][name]


def test_filters_mean_the_same_on_both_sides(
    sample_database: str, questions: NDArray[np.float32], tmp_path: pathlib.Path
) -> None:
    directory = tmp_path / "index"
    done = rebuild(
        directory, sample_database, "passages", "passages", "cosine", "--attributes", "kind, tongue=language, length"
    )
    assert done.returncode == 0, done.stderr
    filters = ["kind = 'library'", "tongue in ('perl', 'go') and length < 900", "tongue is null", "length > 1000000"]
    asked = tmp_path / "asked.jsonl"
    asked.write_text(
        "".join(
            json.dumps({"vector": question.tolist(), "k": 5, "filter": filters[i % len(filters)]}) + "\n"
            for i, question in enumerate(questions[:40])
        )
    )
    file = tmp_path / "shadow.json"
    with Engine(directory) as engine:
        told = ("--log", str(asked), "--json", str(file))
        named = ("--attributes", "kind, tongue=language, length")
        done = shadow(engine, sample_database, *told, *named, "--min-overlap", "0.9")
        assert done.returncode == 0, done.stderr
        result = report(file)["shadow"]
        assert result["queries"] == 40
        assert result["errors"] == {}
        # Not told how the attributes are called in the table.
        done = shadow(engine, sample_database, *told)
        assert done.returncode == 2
        assert "tongue" in done.stderr
        # A filter that is none is a query that is lost.
        lines = asked.read_text().splitlines()
        lines[3] = lines[3].replace(filters[3], "weight > 1")
        asked.write_text("\n".join(lines))
        done = shadow(engine, sample_database, *told, *named, "--min-overlap", "0.9")
        assert done.returncode == 1
        assert "refused" in done.stderr
        assert report(file)["shadow"]["errors"] == {"unknownAttribute": 1}


def test_what_was_just_written_is_on_both_sides(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    chosen = file_of(tmp_path, vectors(50, 16, seed=2))
    file = tmp_path / "shadow.json"
    columns = "id bigint PRIMARY KEY, embedding vector(16)"
    with followed_table(database, tmp_path / "data", columns, outbox=outbox) as followed:

        def write(first: int, count: int, seed: int) -> None:
            with psycopg.connect(database, autocommit=True) as connection:
                register_vector(connection)
                with connection.cursor() as cursor:
                    cursor.executemany(
                        f'INSERT INTO "{followed.table}" VALUES (%s, %s)'
                        " ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding",
                        [(first + i, Vector(row)) for i, row in enumerate(vectors(count, 16, seed))],
                    )

        write(0, 500, 3)
        with followed.engine() as engine:
            followed.wait_until_served(engine)
            write(500, 100, 4)
            told = ("--queries", chosen, "--min-overlap", "1", "--json", str(file))
            done = shadow(engine, database, *told, table=followed.table, collection="docs")
            # So few rows are compared exactly: whatever is missing would be a change that was not waited for.
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{engine.log}"
            assert settings(report(file))["Vizinho", "follows"] == "yes"

            # Meanwhile rows change, one after the other: a query whose answers differ is asked again.
            over = threading.Event()

            def disturb() -> None:
                seed = 10
                while not over.is_set():
                    write(seed % 600, 1, seed)
                    seed += 1

            writer = threading.Thread(target=disturb)
            writer.start()
            try:
                told = ("--queries", chosen, "--min-overlap", "0.97", "--json", str(file))
                done = shadow(engine, database, *told, table=followed.table, collection="docs")
            finally:
                over.set()
                writer.join()
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{engine.log}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--postgres", "host=127.0.0.1 port=1 dbname=x"), ("Cannot connect", "port=1")),
        (("--postgres", "nonsense"), ("connection string",)),
        (("--table", "nothing"), ("nothing", "passages")),
        (("--id-columns", "title"), ("kind",)),
        (("--vector-column", "title"), ("title",)),
        (("--where", "nonsense ="), ("condition",)),
        (("--collection", "passagens"), ("passagens", "passages")),
        (("--server", "127.0.0.1:1"), ("127.0.0.1:1", "vizinho serve")),
        (("--queries", "/nowhere.npy"), ("/nowhere.npy",)),
        (("--filter", "kind = 'library'", "--attributes", "kind=genus"), ("genus",)),
    ],
)
def test_a_comparison_that_cannot_be_made_ends_with_2(
    sample_engine: Engine, sample_database: str, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = shadow(sample_engine, sample_database, "--queries", str(QUESTIONS), "--sample", "3", *arguments)
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_database_without_pgvector(sample_engine: Engine, database: str) -> None:
    bare = unique_name("bare")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(bare)))
        try:
            url = urllib.parse.urlsplit(database)._replace(path=f"/{bare}").geturl()
            done = shadow(sample_engine, url, "--queries", str(QUESTIONS))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(bare)))
    assert done.returncode == 2
    assert "CREATE EXTENSION vector" in done.stderr


def test_queries_of_another_dimension(
    sample_engine: Engine, sample_database: str, questions: NDArray[np.float32], tmp_path: pathlib.Path
) -> None:
    done = shadow(sample_engine, sample_database, "--queries", file_of(tmp_path, questions[:, :100]))
    assert done.returncode == 2
    assert "100 dimensions" in done.stderr
    assert "384" in done.stderr


def test_a_command_line_that_says_nothing(sample_engine: Engine, sample_database: str) -> None:
    done = shadow(sample_engine, sample_database)
    assert done.returncode == 64
    assert "--queries" in done.stderr
