"""What the program says: queries from the command line, a look into a snapshot, settings from three places."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
from engine import Engine, program, vizinho
from numpy.typing import NDArray


def said(*arguments: str | os.PathLike[str]) -> str:
    """Runs what must succeed; returns its output."""
    done = vizinho(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_query_lists_what_there_is(sample_engine: Engine) -> None:
    listed = "passages: 10000 rows, 384 dimensions, cosine, int4x16, int64 ids"
    assert listed in said("query", "--server", sample_engine.address)
    (collection,) = json.loads(said("query", "--server", sample_engine.address, "--json"))
    assert collection["rows"] == "10000"
    assert collection["storage"] == "int4x16"
    numbers = said("query", "--server", sample_engine.address, "--collection", "passages")
    assert "rows: 10000" in numbers
    assert "storage: int4x16" in numbers
    assert "kernels: " in numbers


def test_a_query_answers_as_the_client_does(sample_engine: Engine, questions: NDArray[np.float32]) -> None:
    where = ("--server", sample_engine.address, "--collection", "passages", "--json", "--k", "5")
    with sample_engine.client() as client:
        by_id = client.search_by_id("passages", 17, 5)
        by_vector = client.search("passages", questions[0], 5, exact=True)
    answer = json.loads(said("query", *where, "--id", "17"))
    assert [int(row["id"]) for row in answer["results"]] == list(by_id.ids)
    text = "[" + ",".join(repr(float(x)) for x in questions[0]) + "]"
    answer = json.loads(said("query", *where, "--vector", text, "--exact"))
    assert answer["exact"]
    assert [int(row["id"]) for row in answer["results"]] == list(by_vector.ids)
    assert answer["applied_lsn"] == str(by_vector.position.applied_lsn)


def test_a_query_says_which_rows(sample_engine: Engine) -> None:
    where = ("--server", sample_engine.address, "--collection", "passages", "--k", "5")
    with sample_engine.client() as client:
        pages = client.search_by_id("passages", 17, 10, exact=True)
        like = client.search_like("passages", [17, 18], 19, 5)
    answer = json.loads(said("query", *where, "--json", "--id", "17", "--exact", "--offset", "5"))
    assert [int(row["id"]) for row in answer["results"]] == list(pages.ids)[5:]
    limit = str((pages.distances[1] + pages.distances[2]) / 2)
    answer = json.loads(said("query", *where, "--json", "--id", "17", "--exact", "--distance-max", limit))
    assert [int(row["id"]) for row in answer["results"]] == list(pages.ids)[:2]
    assert answer["shortfall"] == "threshold"
    answer = json.loads(said("query", *where, "--json", "--like", "17", "--like", "18", "--unlike", "19"))
    assert [int(row["id"]) for row in answer["results"]] == list(like.ids)
    assert len(json.loads(said("query", *where, "--json", "--id", "17", "--mmr", "0.5"))["results"]) == 5
    told = said("query", *where, "--id", "17", "--filter", "not false", "--explain")
    for words in ("5 rows", "10000 rows match", "filter: not false", "matching: 10000 of 10000 rows", "plan: "):
        assert words in told
    told = said("query", *where, "--id", "17", "--filter", "FALSE")
    assert "0 rows, exact, 0 distances, 0 rows match (nothingMatches), no more rows match" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--collection", "passages", "--id", "seventeen"), ("--id", "seventeen", "int64")),
        (("--collection", "passages", "--id", "-5"), ("-5",)),
        (("--collection", "passages", "--vector", "[1,x]"), ("--vector",)),
        (("--collection", "passages", "--vector", "[1,2]"), ("2", "384")),
        (("--collection", "passages", "--id", "1", "--vector", "[1]"), ("--id", "--vector")),
        (("--collection", "passagens", "--id", "1"), ("passagens",)),
        (("--id", "1"), ("--collection",)),
        (("--collection", "passages", "--id", "1", "--filter", "tenant = 7"), ("tenant", "has none")),
        (("--collection", "passages", "--id", "1", "--filter", "true and"), ("expected", "the end")),
        (("--collection", "passages", "--id", "1", "--group-by", "tenant"), ("tenant", "has none")),
        (("--collection", "passages", "--id", "1", "--per-group", "2"), ("--group-by",)),
        (("--collection", "passages", "--id", "1", "--mmr", "2"), ("2.0", "1")),
        (("--collection", "passages", "--id", "1", "--offset", "-1"), ("--offset",)),
        (("--collection", "passages", "--unlike", "1"), ("--like",)),
        (("--collection", "passages", "--id", "1", "--like", "1"), ("--id", "--like")),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(
    sample_engine: Engine, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = vizinho("query", "--server", sample_engine.address, *arguments)
    assert done.returncode > 0
    for word in words:
        assert word in done.stderr


def test_a_snapshot_is_looked_into(sample_index: pathlib.Path) -> None:
    output = said("snapshot", "inspect", sample_index / "collections" / "passages", "--verify")
    for words in (
        "format version 2",
        "rows: 10000",
        "metric: cosine",
        "storage: int4x16",
        "vectors",
        "sides",
        "ground links",
        "every block is as it was written",
    ):
        assert words in output
    done = vizinho("snapshot", "inspect", sample_index)
    assert done.returncode > 0
    assert "holds no snapshot" in done.stderr


def test_options_win_over_environment_and_environment_over_the_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"data_dir": "from-file", "search_threads": 0}))

    def message(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [program(), "serve", "--config", file, *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode > 0
        return done.stderr

    refusal = message()
    for words in ("--search-threads", "VIZINHO_SEARCH_THREADS", '"search_threads"', "is 0", "from 1 to 1024"):
        assert words in refusal
    assert 'is "many"; it must be a whole number' in message(VIZINHO_SEARCH_THREADS="many")
    assert "from-file" in message(VIZINHO_SEARCH_THREADS="1")
    assert "from-environment" in message(VIZINHO_SEARCH_THREADS="1", VIZINHO_DATA_DIR="from-environment")
    assert "from-option" in message("--data-dir", "from-option", VIZINHO_SEARCH_THREADS="1", VIZINHO_DATA_DIR="x")
    # The same for a setting of the rebuild.
    file.write_text(json.dumps({"storage": "from-file", "table": "t", "metric": "l2", "postgres": "host=127.0.0.1"}))

    def refused_storage(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [program(), "rebuild", "--data-dir", tmp_path / "data", "--config", file, *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode > 0
        return done.stderr

    refusal = refused_storage()
    for words in (
        "--storage",
        "VIZINHO_STORAGE",
        '"storage"',
        '"from-file"',
        "auto",
        "f32, f16, int8, int4x8, int4x16",
    ):
        assert words in refusal
    assert '"from-environment"' in refused_storage(VIZINHO_STORAGE="from-environment")
    assert '"from-option"' in refused_storage("--storage", "from-option", VIZINHO_STORAGE="from-environment")
    file.write_text(json.dumps({"data-dir": "x"}))
    assert '"data-dir", which is no setting' in message()
    file.write_text("{")
    assert "not a JSON object" in message()
