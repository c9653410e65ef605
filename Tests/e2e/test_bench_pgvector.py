"""`bench pgvector` against a real Postgres: what it reports, what it leaves behind, what it refuses.

No figure of speed is judged.
"""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from typing import Any, LiteralString

import numpy as np
import psycopg
import pytest
from benching import bench, bench_program, report, settings
from engine import SECONDS_MAX, Engine
from following import unique_name
from numpy.typing import NDArray
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector
from psycopg import sql

ROWS, QUERIES, K = 2_000, 40, 10
QUICK = (
    *("--seconds", "0.05", "--rounds", "2", "--clients", "1,2", "--ef", "10,40", "--ef-search", "10,40"),
    *("--probes", "1,2", "--recall-targets", "0.9,0.95", "--selectivities", "0.01,0.5", "--filtered-ef-search", "40"),
    *("--changes", "5", "--writes-per-second", "20", "--mixed-seconds", "0.3"),
)
HNSW = "pgvector hnsw m=16 efc=64"
THEIRS = {
    HNSW: ("ef_search", 2),
    "pgvector hnsw halfvec m=16 efc=64": ("ef_search", 2),
    "pgvector hnsw binary_quantize + rerank m=16 efc=64": ("candidates", 2),
    "pgvector ivfflat lists=2": ("probes", 2),
    "pgvector exact": ("exact", 1),
}
OURS = ("vizinho int4x16", "vizinho int4x8")


@pytest.fixture
def files(
    base: NDArray[np.float32], questions: NDArray[np.float32], tmp_path: pathlib.Path
) -> tuple[pathlib.Path, pathlib.Path]:
    """A small set as files."""
    rows, queries = tmp_path / "small.base.npy", tmp_path / "small.query.npy"
    np.save(rows, base[:ROWS])
    np.save(queries, questions[:QUERIES])
    return rows, queries


@pytest.fixture
def scratch(database: str) -> Iterator[str]:
    """The database, in which a run leaves nothing."""
    yield database
    assert left_behind(database) == []


def left_behind(url: str) -> list[str]:
    """What a run makes in Postgres and should have taken away."""
    with psycopg.connect(url, autocommit=True) as connection:
        return [
            row[0]
            for row in connection.execute(
                "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'vizinho_bench%'"
                " UNION ALL SELECT slot_name::text FROM pg_replication_slots WHERE slot_name LIKE 'vizinho_bench%'"
                " AND database = current_database()"
                " UNION ALL SELECT pubname::text FROM pg_publication WHERE pubname LIKE 'vizinho_bench%'"
            )
        ]


def compare(url: str, *arguments: str | os.PathLike[str], quick: bool = True) -> subprocess.CompletedProcess[str]:
    return bench("pgvector", *(QUICK if quick else ()), *arguments, VIZINHO_POSTGRES=url)


def series_of(found: dict[str, Any], engine: str) -> list[dict[str, Any]]:
    return [one for one in found["series"] if one["engine"] == engine]


def check_latency(latency: dict[str, float]) -> None:
    names = ("p50_us", "p95_us", "p99_us", "max_us")
    assert latency["p50_us"] > 0
    assert [latency[name] for name in names] == sorted(latency[name] for name in names)


def check_spread(spread: dict[str, float], rounds: int) -> None:
    assert 0 < spread["least"] <= spread["median"] <= spread["most"]
    assert spread["rounds"] == rounds


def test_everything_on_a_file(scratch: str, files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out.json"
    indexes = ("--pgvector", "hnsw,halfvec,binary,ivfflat,exact")
    source = ("--base", files[0], "--queries", files[1])
    done = compare(scratch, *source, *indexes, "--json", out, "--html", tmp_path / "out.html")
    assert done.returncode == 0, done.stderr
    found = report(out)
    assert found["command"] == "pgvector"
    assert not found["interrupted"]
    data = found["data"]
    assert (data["source"], data["rows"], data["dimension"], data["metric"]) == ("small.base.npy", ROWS, 384, "cosine")
    assert (data["queries"], data["query_source"], data["k"]) == (QUERIES, "file", K)
    assert data["checksum"].startswith("crc32c:")

    # What was built.
    assert [one["id"] for one in found["engines"]] == [*THEIRS, *OURS]
    for one in found["engines"]:
        assert one["family"] == one["id"].split()[0]
        assert (one["build_seconds"] > 0) == (one["id"] != "pgvector exact")
        assert one["bytes_per_vector"] == pytest.approx(one["index_bytes"] / ROWS)
        assert one["index_bytes"] > ROWS * 384 / 8
        assert one["detail"]
    built = {one["id"]: one for one in found["engines"]}
    assert "USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)" in built[HNSW]["detail"]
    assert all(built[one]["peak_memory_bytes"] > 1 << 20 for one in OURS)
    # The server is on this machine, and who runs these tests may look at its processes.
    assert built[HNSW]["peak_memory_bytes"] > 1 << 20

    # Recall against speed.
    for engine, (effort, count) in {**THEIRS, **dict.fromkeys(OURS, ("ef", 4))}.items():
        curves = series_of(found, engine)
        assert [one["clients"] for one in curves] == [1, 2], engine
        for curve in curves:
            points = curve["points"]
            assert len(points) == count
            assert points[0]["effort"] == effort
            for point in points:
                assert 0 <= point["recall"] <= 1
                assert point["errors"] == 0
                check_spread(point["qps"], 2)
                check_latency(point["latency"])
    # All of Postgres's exact answers are right: so the truth that all are held against is that of another program, too.
    assert series_of(found, "pgvector exact")[0]["points"][0]["recall"] == 1
    assert [point["recall"] for point in series_of(found, HNSW)[0]["points"]][1] > 0.95
    for engine in OURS:
        points = series_of(found, engine)[0]["points"]
        assert [one["effort"] for one in points] == ["ef", "ef", "recall_target", "recall_target"]
        assert points[1]["recall"] > 0.95
        assert points[1]["cpu_seconds_per_query"] > 0
    assert {(one["clients"], one["recall"]) for one in found["matched"]} == {
        (clients, recall) for clients in (1, 2) for recall in (0.9, 0.95, 0.99)
    }

    check_filtered(found)
    check_changing(found)

    told = settings(found)
    assert told["Postgres", "shared_buffers"]
    assert told["Postgres", "pgvector"]
    assert told["Postgres", "TLS of the connections"]
    assert told["Postgres", "hnsw.max_scan_tuples"]
    assert any("shared_buffers (" in sentence for sentence in found["method"])
    assert told["this run", "clients"] == "1, 2"
    assert told["this run", "rounds"] == "2"
    assert len(found["method"]) > 8
    assert any("force_generic_plan" in sentence for sentence in found["method"])
    assert any("processor time a query" in sentence for sentence in found["method"])
    page = (tmp_path / "out.html").read_text()
    assert "<html" in page
    assert HNSW in page
    assert "vizinho int4x16" in done.stdout


def check_filtered(found: dict[str, Any]) -> None:
    """Every way at every selectivity; ours find what there is, and nothing that breaks the filter."""
    points = found["filtered"]
    ways = [(HNSW, "ef_search=40"), (HNSW, "ef_search=40, relaxed_order"), (HNSW, "ef_search=40, strict_order")]
    ways += [(engine, f"recall_target={target}") for engine in OURS for target in (0.9, 0.95)]
    assert [(one["selectivity"], one["engine"], one["detail"]) for one in points] == [
        (share, *way) for share in (0.01, 0.5) for way in ways
    ]
    for one in points:
        check_spread(one["qps"], 2)
        check_latency(one["latency"])
        assert 0 <= one["recall"] <= 1
        assert one["outside"] == 0
        if one["engine"] in OURS:
            assert one["short"] == 0
            assert one["recall"] > 0.85


def check_changing(found: dict[str, Any]) -> None:
    """Three spans for each engine, of which the first is the sum of the others; and searches while rows changed."""
    engines = (HNSW, *OURS)
    assert [one["engine"] for one in found["freshness"]] == [engine for engine in engines for _ in range(3)]
    for engine in engines:
        both, inserting, finding = (one for one in found["freshness"] if one["engine"] == engine)
        assert both["changes"] == inserting["changes"] == finding["changes"] == 5
        assert both["span"].startswith("INSERT sent")
        assert both["p99_ms"] >= max(inserting["p50_ms"], finding["p50_ms"]) > 0
    assert not any("did not find" in note for note in found["notes"])
    assert [one["engine"] for one in found["mixed"]] == list(engines)
    for one in found["mixed"]:
        assert one["clients"] == 2
        assert one["writes_per_second_asked"] == 20
        assert one["writes_per_second"] > 0
        assert one["recall"] > 0.9
        check_spread(one["qps"], 2)
        check_latency(one["latency"])


def make_table(
    url: str, vectors: NDArray[np.float32], key: LiteralString = "bigint", column: LiteralString = "vector"
) -> str:
    """A user's table, with a row whose vector is NULL."""
    name = unique_name("docs")
    with psycopg.connect(url) as connection:
        register_vector(connection)
        connection.execute(
            sql.SQL("CREATE TABLE {} (id {} PRIMARY KEY, title text, embedding {}(384))").format(
                sql.Identifier(name), sql.SQL(key), sql.SQL(column)
            )
        )
        with connection.cursor() as cursor:
            copy_statement = sql.SQL("COPY {} (id, title, embedding) FROM STDIN").format(sql.Identifier(name))
            with cursor.copy(copy_statement) as copy:
                for i, vector in enumerate(vectors):
                    made: Any = HalfVector(vector) if column == "halfvec" else Vector(vector)
                    copy.write_row((uuid.UUID(int=i) if key == "uuid" else i, f"row {i}", made.to_text()))
                copy.write_row((uuid.UUID(int=1 << 64) if key == "uuid" else -1, "none", None))
    return name


def fingerprint(url: str, table: str) -> tuple[object, ...] | None:
    """Of a table's rows, indexes, triggers and physical file."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            sql.SQL(
                "SELECT (SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} AS t),"
                " (SELECT array_agg(indexrelid::regclass::text) FROM pg_index WHERE indrelid = {name}::regclass),"
                " (SELECT count(*) FROM pg_trigger WHERE tgrelid = {name}::regclass), pg_relation_filenode({name})"
            ).format(table=sql.Identifier(table), name=sql.Literal(table))
        ).fetchone()


@pytest.mark.parametrize(("key", "column"), [("uuid", "vector"), ("bigint", "halfvec")])
def test_a_users_table_is_read_and_never_touched(
    scratch: str, base: NDArray[np.float32], tmp_path: pathlib.Path, key: LiteralString, column: LiteralString
) -> None:
    table = make_table(scratch, base[:ROWS], key, column)
    before = fingerprint(scratch, table)
    out = tmp_path / "out.json"
    narrow = ("--parts", "search", "--pgvector", "hnsw,halfvec,exact", "--storage", "f16", "--queries-max", "30")
    done = compare(scratch, "--table", table, *narrow, "--json", out)
    assert done.returncode == 0, done.stderr
    assert fingerprint(scratch, table) == before
    found = report(out)
    assert (found["data"]["source"], found["data"]["rows"]) == (table, ROWS - 30)
    assert (found["data"]["queries"], found["data"]["query_source"]) == (30, "held out of the base")
    assert any("held out" in note for note in found["notes"])
    assert any("1 rows without a vector" in note for note in found["notes"])
    assert series_of(found, "pgvector exact")[0]["points"][0]["recall"] == 1
    halves = [one["id"] for one in found["engines"] if "halfvec" in one["id"]]
    # A column of halves has no use for an index that makes halves of it.
    assert len(halves) == (0 if column == "halfvec" else 1)
    assert (found["filtered"], found["freshness"], found["mixed"]) == ([], [], [])


def test_questions_may_be_a_table_and_the_schema_may_stay(
    scratch: str, base: NDArray[np.float32], questions: NDArray[np.float32], tmp_path: pathlib.Path
) -> None:
    table, asked = make_table(scratch, base[:ROWS]), make_table(scratch, questions[:QUERIES])
    out = tmp_path / "out.json"
    narrow = ("--parts", "search", "--pgvector", "exact", "--storage", "f16", "--metric", "ip", "--json", out)
    for _ in range(2):  # What the first leaves, the second takes over.
        done = compare(scratch, "--table", table, "--query-table", asked, *narrow, "--keep")
        assert done.returncode == 0, done.stderr
        assert left_behind(scratch) == ["vizinho_bench"]
    found = report(out)
    assert (found["data"]["queries"], found["data"]["query_source"]) == (QUERIES, "table")
    assert found["data"]["metric"] == "inner_product"
    with psycopg.connect(scratch) as connection:
        kept = connection.execute("SELECT count(*), sum(id) FROM vizinho_bench.rows").fetchone()
        assert kept == (ROWS, ROWS * (ROWS - 1) // 2)
    assert compare(scratch, "--table", table, "--query-table", asked, *narrow).returncode == 0


def test_a_running_engine_is_asked_as_it_is(
    sample_database: str, sample_engine: Engine, questions: NDArray[np.float32], tmp_path: pathlib.Path
) -> None:
    queries, out = tmp_path / "queries.npy", tmp_path / "out.json"
    np.save(queries, questions[:QUERIES])
    running = ("--engine", sample_engine.address, "--collection", "passages", "--pgvector", "exact", "--json", out)
    for source in (("--queries", str(queries)), ("--queries-max", "40")):
        done = compare(sample_database, "--table", "passages", *source, *running)
        assert done.returncode == 0, done.stderr
        found = report(out)
        assert (found["data"]["rows"], found["data"]["queries"]) == (10_000, 40)
        (curve,) = (one for one in series_of(found, "vizinho int4x16") if one["clients"] == 1)
        recalls = [one["recall"] for one in curve["points"] if one["effort"] == "ef"]
        assert recalls[1] > 0.9
        assert series_of(found, "pgvector exact")[0]["points"][0]["recall"] == 1
        # What would write to the user's table, or ask for a column that it has not, is left out and said.
        assert (found["filtered"], found["freshness"], found["mixed"]) == ([], [], [])
        assert sum("not measured" in note for note in found["notes"]) == 2
        assert sum("measured on no index: freshness, mixed load" in note for note in found["notes"]) == 1
    assert any("taken out of each answer" in note for note in found["notes"])
    assert sample_engine.process.poll() is None
    assert left_behind(sample_database) == []


def test_an_interruption_keeps_what_was_measured_and_cleans_up(
    scratch: str, files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "out.json"
    source = ("--base", files[0], "--queries", files[1], "--json", out)
    process = subprocess.Popen(
        [
            bench_program(),
            *("pgvector", *source, "--pgvector", "hnsw,exact", "--storage", "f16"),
            *("--rounds", "50", "--clients", "1", "--seconds", "0.2", "--ef", "10", "--ef-search", "10"),
        ],
        env=os.environ | {"VIZINHO_POSTGRES": scratch, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while not (out.exists() and len(json.loads(out.read_text())["engines"]) == 3):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=SECONDS_MAX)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT, errors
    found = report(out)
    assert found["interrupted"]
    assert [one["id"] for one in found["engines"]] == [HNSW, "pgvector exact", "vizinho f16"]
    assert any("interrupted" in note for note in found["notes"])
    for one in found["series"]:
        assert all(0 < point["qps"]["rounds"] < 50 for point in one["points"])
    assert "interrupted" in output
    # The engine that it had started is gone, with its data.
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


# Errors -----------------------------------------------------------------------------------------------


def check_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert len(line) > 20


def test_what_cannot_be_compared_is_said(
    scratch: str, base: NDArray[np.float32], files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    source = ("--base", files[0], "--queries", files[1])
    check_refused(
        compare("host=127.0.0.1 port=1 dbname=x user=y password=secret", *source), "Cannot connect to Postgres"
    )
    assert "secret" not in compare("host=127.0.0.1 port=1 dbname=x user=y password=secret", *source).stderr
    check_refused(compare(scratch, "--table", "nowhere"), "There is no table nowhere")
    tiny = make_table(scratch, base[:50])
    check_refused(compare(scratch, "--table", tiny), "50 rows with a vector", "1000")
    check_refused(compare(scratch, "--table", tiny, "--vector-column", "vector"), 'no column "vector"', '"embedding"')
    check_refused(compare(scratch, "--table", tiny, "--key-column", "number"), 'no column "number"')
    narrow = tmp_path / "narrow.npy"
    np.save(narrow, base[:5, :7])
    check_refused(compare(scratch, "--base", files[0], "--queries", narrow), "7 dimensions", "384")
    check_refused(compare(scratch, "--base", tmp_path / "none.npy"), "cannot read")
    wide = tmp_path / "wide.npy"
    np.save(wide, np.ones((1_200, 4_097), np.float16))
    check_refused(compare(scratch, "--base", wide), "4097 dimensions", "4096")
    check_refused(compare(scratch, *source, "--engine", "127.0.0.1:1", "--collection", "x"), "No engine answers")
    check_refused(compare(scratch, *source, "--program", "/nowhere/vizinho"), "/nowhere/vizinho", "--engine")
    refused: list[tuple[tuple[str | os.PathLike[str], ...], str]] = [
        (("--table", "x", *source), "one of --table and --base"),
        ((*source, "--metric", "hamming"), "hamming"),
        ((*source, "--pgvector", "hnsw,lists"), '"lists"'),
        ((*source, "--storage", "f64"), '"f64"'),
        ((*source, "--parts", "search,all"), '"all"'),
        ((*source, "--engine", "127.0.0.1:7733"), "--collection"),
        ((*source, "--clients", "0"), "--clients"),
        ((*source, "--schema", "public schema"), "--schema"),
    ]
    for options, words in refused:
        check_refused(compare(scratch, *options), words)


def test_a_database_without_pgvector_or_rights_is_said(database: str, files: tuple[pathlib.Path, pathlib.Path]) -> None:
    bare, role = unique_name("bare"), unique_name("reader")
    split = urllib.parse.urlsplit(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(bare)))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        try:
            source = ("--base", files[0], "--queries", files[1])
            check_refused(compare(split._replace(path=f"/{bare}").geturl(), *source), "CREATE EXTENSION vector;")
            limited = split._replace(netloc=f"{role}@{split.netloc.rpartition('@')[2]}").geturl()
            check_refused(compare(limited, *source), "GRANT CREATE ON DATABASE", role)
            # A schema of that name that is somebody's own is not touched.
            connection.execute("CREATE SCHEMA vizinho_bench_mine")
            check_refused(compare(database, *source, "--schema", "vizinho_bench_mine"), "give another --schema")
            assert left_behind(database) == ["vizinho_bench_mine"]
        finally:
            connection.execute("DROP SCHEMA IF EXISTS vizinho_bench_mine")
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(bare)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
