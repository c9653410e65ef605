"""Attributes from Postgres: read by a rebuild, kept in the snapshot, served again."""

import json
import os
import pathlib
import subprocess

import numpy as np
import psycopg
import pytest
from engine import Engine, program, rebuild, vizinho
from numpy.typing import NDArray
from vizinho import ErrorCode, RequestRejected, UnknownRecord, attribute

ATTRIBUTES = "kind, lang=language, parts, length"


@pytest.fixture(scope="module")
def attributes_index(sample_database: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A data directory with the collection `passages` and four attributes."""
    directory = tmp_path_factory.mktemp("attributes-index")
    done = rebuild(directory, sample_database, "passages", "passages", "cosine", "--attributes", ATTRIBUTES)
    assert done.returncode == 0, done.stderr
    assert "10,000 rows as int4x16 with 4 attributes in " in done.stderr
    assert "of 384 dimensions as int4x16 with 4 attributes, of " in done.stderr
    assert "bytes of attributes, 0 of payload" in done.stderr
    return directory


def test_a_snapshot_says_which_attributes_it_has(attributes_index: pathlib.Path) -> None:
    done = vizinho("snapshot", "inspect", attributes_index / "collections" / "passages", "--verify")
    assert done.returncode == 0, done.stderr
    for words in (
        "attributes (kind, lang, parts, length)",
        "attribute 1 (kind): words",
        "attribute 3 (parts): elements",
        "attribute 4 (length): cells",
        "every block is as it was written",
    ):
        assert words in done.stdout


def test_an_index_with_attributes_is_served(attributes_index: pathlib.Path, questions: NDArray[np.float32]) -> None:
    with Engine(attributes_index) as engine, engine.client() as client:
        assert client.statistics("passages")["rows"] == 10_000
        assert len(client.search("passages", questions[0], 5).ids) == 5


def test_payload_is_kept_compressed_and_comes_back(
    sample_database: str, tmp_path: pathlib.Path, questions: NDArray[np.float32]
) -> None:
    columns = ("--attributes", "length", "--payload", "title,summary,body")
    done = rebuild(tmp_path, sample_database, "passages", "passages", "cosine", *columns)
    assert done.returncode == 0, done.stderr
    assert " of payload" in done.stderr
    with psycopg.connect(sample_database) as connection:
        row = connection.execute(
            "SELECT sum(octet_length(title) + octet_length(summary) + octet_length(body)) FROM passages"
        ).fetchone()
    assert row is not None
    done = vizinho("snapshot", "inspect", tmp_path / "collections" / "passages", "--verify")
    assert done.returncode == 0, done.stderr
    (section,) = (line.split() for line in done.stdout.splitlines() if line.startswith("payload  "))
    # The blocks as they lie in memory, and in the file.
    assert 1_000_000 < int(section[1].replace(",", "")) < 0.7 * int(row[0])
    assert "payload (title, summary, body)" in done.stdout
    assert "payload rows " in done.stdout
    with Engine(tmp_path) as engine, engine.client() as client:
        assert client.statistics("passages")["rows"] == 10_000
        assert client.describe("passages").payload == ["title", "summary", "body"]
        with psycopg.connect(sample_database) as connection:
            query = "SELECT id, title::text, summary::text, body::text FROM passages"
            rows = {key: texts for key, *texts in connection.execute(query)}

        def expected(key: object, *places: int) -> list[str | None]:
            return [rows[key][place] for place in places]

        batch = client.search("passages", questions[:20], 10, payload=["body", "title"])
        near = client.search_by_id("passages", [hit.id for hit in batch[0]], 5, payload=["title"])
        like = client.search_like("passages", [batch[0][0].id], [batch[0][9].id], 5, payload=True)
        for result in batch:
            assert len(result) == 10
            for hit in result:
                assert hit.payload == dict(zip(("body", "title"), expected(hit.id, 2, 0), strict=True))
        for hit in [hit for result in near for hit in result]:
            assert hit.payload == {"title": expected(hit.id, 0)[0]}
        assert len(like) == 5
        for hit in like:
            assert hit.payload is not None
            assert list(hit.payload.values()) == expected(hit.id, 0, 1, 2)
        assert client.search("passages", questions[0], 1, filter="length > 100", payload=True)[0].payload
        assert client.search("passages", questions[0], 1)[0].payload is None
        with pytest.raises(RequestRejected, match=r"titel.*title, summary, body"):
            client.search("passages", questions[0], 1, payload=["titel"])
        said = vizinho(
            *("query", "--server", engine.address, "--collection", "passages"),
            *("--id", str(batch[0][0].id), "--k", "1", "--payload", "title,summary"),
        )
        first = near[0][0]
        assert said.returncode == 0, said.stderr
        assert f"    title: {expected(first.id, 0)[0]}" in said.stdout.splitlines()
        told = vizinho(
            *("query", "--server", engine.address, "--collection", "passages"),
            *("--id", str(batch[0][0].id), "--k", "1", "--payload", "*", "--json"),
        )
        (printed,) = json.loads(told.stdout)["results"]
        assert list(printed["payload"].items()) == sorted(
            zip(("title", "summary", "body"), expected(first.id, 0, 1, 2), strict=True)
        )


def test_a_tenant_is_kept_and_asked_for(
    sample_database: str, tmp_path: pathlib.Path, questions: NDArray[np.float32]
) -> None:
    for option, words in (("tenant", "kind, length"), ("length=x", "kind, length"), ("parts", "keyword[]")):
        attributes = "parts" if option == "parts" else "kind,length"
        columns = ("--attributes", attributes, "--tenant", option)
        refused = rebuild(tmp_path, sample_database, "passages", "passages", "cosine", *columns)
        assert refused.returncode > 0
        assert words in refused.stderr
        assert not list(tmp_path.rglob("*.vzs"))
    tenants = ("--attributes", "kind,length", "--tenant", "kind", "--payload", "kind")
    done = rebuild(tmp_path, sample_database, "passages", "passages", "cosine", *tenants)
    assert done.returncode == 0, done.stderr
    done = vizinho("snapshot", "inspect", tmp_path / "collections" / "passages", "--verify")
    assert "attributes (kind, length), tenant kind" in done.stdout
    with Engine(tmp_path) as engine, engine.client() as client:
        assert [a.name for a in client.describe("passages").attributes if a.tenant] == ["kind"]
        assert client.statistics("passages")["tenant_column"] == "kind"
        own = attribute("kind") == "library"
        result = client.search("passages", questions[0], 20, filter=own & (attribute("length") > 10), payload=True)
        assert len(result) == 20
        assert all(hit.payload == {"kind": "library"} for hit in result)
        near = client.search_by_id("passages", result[0].id, 5, filter="kind = 'library' and length > 10")
        assert len(near) == 5
        for call in (
            lambda: client.search("passages", questions[0], 5),
            lambda: client.search("passages", questions[:2], 5, filter=[own, None]),
            lambda: client.search("passages", questions[0], 5, filter=own | (attribute("length") > 10)),
            lambda: client.search_by_id("passages", result[0].id, 5),
            lambda: client.search_like("passages", [result[0].id], k=5, filter="kind in ('library', 'program')"),
            lambda: client.fetch("passages", [result[0].id]),
        ):
            with pytest.raises(RequestRejected, match="kind") as refusal:
                call()
            assert refusal.value.code == ErrorCode.TENANT_REQUIRED
        for call in (
            lambda: client.search_by_id("passages", result[0].id, 5, filter="kind = 'program'"),
            lambda: client.search_like("passages", [result[0].id], k=5, filter="kind = 'program'"),
        ):
            with pytest.raises(UnknownRecord):
                call()
        told = vizinho("query", "--server", engine.address, "--collection", "passages")
        assert "attribute.kind: keyword, found by value" in told.stdout
        assert "tenant_column: kind" in told.stdout


def test_attributes_come_from_the_environment_and_the_file(sample_database: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "settings.json"
    settings = {"table": "passages", "metric": "cosine", "postgres": sample_database, "where": "id < 100"}
    file.write_text(json.dumps(settings | {"data_dir": str(tmp_path / "data"), "attributes": "kind"}))

    def said(**environment: str) -> str:
        done = subprocess.run(
            [program(), "rebuild", "--config", file],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "100 rows as int4x16 with 1 attribute in " in said()
    assert "with 2 attributes in " in said(VIZINHO_ATTRIBUTES="kind,length")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ("tenant", ("tenant", '"kind" text')),
        ("kind,", ("--attributes", "character 6")),
        ("kind, kind", ("kind", "twice")),
        ("embedding", ("vector(384)", "timestamptz")),
        ("n=kind->n:int8", ("kind", "not jsonb")),
        ("price", ("price", "numeric", '"price"::float8')),
    ],
)
def test_what_cannot_be_an_attribute_is_refused_in_words(
    sample_database: str, tmp_path: pathlib.Path, attributes: str, words: tuple[str, ...]
) -> None:
    table = "passages"
    if attributes == "price":
        table = "priced"
        with psycopg.connect(sample_database) as connection:
            connection.execute("CREATE TABLE priced (id bigint PRIMARY KEY, embedding vector(3), price numeric)")
    done = rebuild(tmp_path, sample_database, table, "passages", "cosine", "--attributes", attributes)
    assert done.returncode > 0
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.rglob("*.vzs"))
