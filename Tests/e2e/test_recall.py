"""A recall as the user's knob, from the rebuild's option to the client's argument; and memory, said before a read."""

import json
import pathlib

import numpy as np
import psycopg
import pytest
from engine import Engine, rebuild, vizinho
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from pgvector_exact import ExactSearch, agreeing
from vizinho import Client, InvalidRequest, SearchResult

K = 10


@pytest.fixture(scope="module")
def question_database(sample_database: str, questions: NDArray[np.float32]) -> str:
    """The sample, and its questions in a table of theirs that has no key."""
    with psycopg.connect(sample_database) as connection:
        register_vector(connection)
        connection.execute("CREATE TABLE questions (embedding vector(384))")
        with connection.cursor().copy("COPY questions FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["vector"])
            for question in questions:
                copy.write_row([Vector(question)])
    return sample_database


def pairs(result: SearchResult) -> list[tuple[int, float]]:
    return list(zip(np.asarray(result.ids).tolist(), result.distances.tolist(), strict=True))


def test_a_rebuilt_recall_target_is_served(
    question_database: str, tmp_path: pathlib.Path, questions: NDArray[np.float32], exact: ExactSearch
) -> None:
    options = ("--recall-target", "0.99", "--calibration-query", "SELECT embedding FROM questions LIMIT 200;")
    done = rebuild(tmp_path, question_database, "passages", "passages", "cosine", *options)
    assert done.returncode == 0, done.stderr
    assert "searches: recall 0.99, calibrated on 200 queries in " in done.stderr
    assert "MiB for" in done.stderr
    assert "rows of 384 dimensions as int4x16, of" in done.stderr
    # What a rebuild measured is in the snapshot: two servers in turn go by the same.
    computed = []
    for _ in range(2):
        with Engine(tmp_path) as engine, engine.client() as client:
            statistics = client.statistics("passages")
            assert statistics["recall_target"] == 0.99
            assert statistics["search_effort"] == 0
            assert statistics["calibration"] == "queries"
            assert statistics["calibration_queries"] == 200
            assert statistics["calibration_rows"] == 10_000
            assert statistics["calibration_current"] == 1
            assert statistics["tail_rows"] == 0
            computed.append(check_searches(client, questions, exact))
    assert computed[0] == computed[1]


def check_searches(client: Client, questions: NDArray[np.float32], exact: ExactSearch) -> list[int]:
    """Asks by recall and otherwise; returns how many distances each way of asking took."""
    unasked = client.search("passages", questions, K)
    low = client.search("passages", questions, K, recall=0.8)
    same = client.search("passages", questions, K, recall=0.99)
    high = client.search("passages", questions, K, recall=0.999)
    computed = [sum(result.distances_computed for result in batch) for batch in (low, unasked, same, high)]
    assert computed[0] < computed[1] == computed[2] < computed[3]
    expected = [exact.search(question, K) for question in questions]
    recalls = [
        np.mean([agreeing(pairs(r), e) for r, e in zip(batch, expected, strict=True)]) / K for batch in (low, same)
    ]
    # 3,000 right answers: give or take chance, and a sample of 200.
    assert recalls[0] >= 0.78
    assert recalls[1] >= 0.98
    by_id = client.search_by_id("passages", 17, K, recall=0.999)
    assert 17 not in by_id.ids
    for refused in (
        lambda: client.search("passages", questions[0], K, recall=0.95, ef=100),
        lambda: client.search("passages", questions[0], K, recall=0.95, exact=True),
        lambda: client.search_by_id("passages", 17, K, recall=0.95, ef=100),
        lambda: client.search("passages", questions[0], K, recall=0.5),
    ):
        with pytest.raises(InvalidRequest):
            refused()
    return computed


def test_the_command_line_asks_for_a_recall(sample_engine: Engine) -> None:
    where = ("query", "--server", sample_engine.address, "--collection", "passages", "--id", "17", "--json")

    def distances(*options: str) -> int:
        done = vizinho(*where, *options)
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["distances_computed"])

    # The sample's index was made without a word about recall.
    low, high = distances("--recall", "0.8"), distances("--recall", "0.999")
    assert low <= distances() == distances("--recall", "0.95") <= high
    assert low < high
    for options, words in (
        (("--recall", "0.95", "--ef", "100"), ("0.95", "100", "give one")),
        (("--recall", "0.95", "--exact"), ("0.95", "exact", "give one")),
        (("--recall", "1"), ("0.8 to 0.999",)),
    ):
        done = vizinho(*where, *options)
        assert done.returncode > 0
        for word in words:
            assert word in done.stderr
    with sample_engine.client() as client:
        statistics = client.statistics("passages")
    assert (statistics["recall_target"], statistics["calibration"]) == (0.95, "rows")


def test_a_search_effort_pins_ef(
    question_database: str, tmp_path: pathlib.Path, questions: NDArray[np.float32]
) -> None:
    done = rebuild(tmp_path, question_database, "passages", "passages", "cosine", "--search-effort", "60")
    assert done.returncode == 0, done.stderr
    assert "searches: ef 60, calibrated on " in done.stderr
    with Engine(tmp_path) as engine, engine.client() as client:
        assert client.statistics("passages")["search_effort"] == 60
        unasked = client.search("passages", questions, K)
        by_effort = client.search("passages", questions, K, ef=60)
        by_recall = client.search("passages", questions, K, recall=0.999)
    computed = [sum(result.distances_computed for result in batch) for batch in (unasked, by_effort, by_recall)]
    assert computed[0] == computed[1] != computed[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--recall-target", "0.9", "--search-effort", "100"),
            ("--recall-target", "VIZINHO_RECALL_TARGET", "--search-effort", "give one"),
        ),
        (("--recall-target", "0.5"), ("--recall-target", '"recall_target"', "is 0.5", "from 0.8 to 0.999")),
        (("--recall-target", "nan"), ("--recall-target", "from 0.8 to 0.999")),
        (("--calibration-query", "SELECT embedding FROM questions LIMIT 99"), ("99", "at least 100")),
        (("--calibration-query", "SELECT 1"), ("calibration query", "vector or halfvec")),
        (("--calibration-query", "SELECT embedding FROM nowhere"), ("calibration query", "nowhere")),
        (("--calibration-query", "SELECT '[1,2]'::vector(2) AS e"), ("calibration query", "2 dimensions", "384")),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    question_database: str, tmp_path: pathlib.Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = rebuild(tmp_path, question_database, "passages", "passages", "cosine", *options)
    assert done.returncode > 0
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.rglob("*.vzs"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "is 0.5; it must be from 0.8 to 0.999"),
        (1, "is 1.0; it must be from 0.8 to 0.999"),
        ("most", 'is "most"; it must be a number'),
    ],
)
def test_a_recall_target_in_the_file_is_read(tmp_path: pathlib.Path, value: float | str, words: str) -> None:
    file = tmp_path / "settings.json"
    settings = {"table": "t", "metric": "l2", "postgres": "host=127.0.0.1", "data_dir": str(tmp_path / "data")}
    file.write_text(json.dumps(settings | {"recall_target": value}))
    done = vizinho("rebuild", "--config", file)
    assert done.returncode > 0
    assert f'--recall-target (VIZINHO_RECALL_TARGET, "recall_target" in the file) {words}' in done.stderr
    # The file's and the option's own key together are too much.
    file.write_text(json.dumps(settings | {"recall_target": 0.9}))
    done = vizinho("rebuild", "--config", file, "--ef", "100")
    assert done.returncode > 0
    assert "are both given" in done.stderr


def test_a_table_that_cannot_fit_is_refused_before_it_is_read(database: str, tmp_path: pathlib.Path) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE huge (id bigint PRIMARY KEY, v vector(3)) WITH (autovacuum_enabled = off)")
        connection.execute("INSERT INTO huge SELECT g, '[1,2,3]' FROM generate_series(1, 200) g")
        # Statistics that count a million million rows, a thing that only the owner of the server can do.
        connection.execute("ANALYZE huge")
        connection.execute("UPDATE pg_class SET reltuples = 1e12 WHERE relname = 'huge'")
    done = rebuild(tmp_path, database, "huge", "huge", "l2")
    assert done.returncode > 0
    for word in (
        "nothing was read",
        "rows of 3 dimensions as f16",
        "MiB that this process may have",
        "--where",
    ):
        assert word in done.stderr
    # With a condition, how many rows there are is not known: then it is only said.
    done = rebuild(tmp_path, database, "huge", "huge", "l2", "--where", "v IS NOT NULL")
    assert done.returncode == 0, done.stderr
    assert "does not fit, if the estimate is right" in done.stderr
    assert "200 rows as f16" in done.stderr
    assert "searches: recall 0.95, not calibrated: so few rows are scanned" in done.stderr
