"""Shared by all tests here: a database of their own with the sample in it, an index of it, an engine that serves it."""

import gzip
import json
import os
import pathlib
import sys
import urllib.parse
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from engine import REPOSITORY, Engine, rebuild
from faults import built_library
from numpy.typing import NDArray
from psycopg import sql

sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))
from load_passages import load
from pgvector_exact import ExactSearch

SAMPLE = REPOSITORY / "data" / "debian-10k"


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The URL of an empty database with pgvector, which is dropped in the end."""
    server = os.environ.get("VIZINHO_TEST_POSTGRES")
    if not server:
        pytest.exit("VIZINHO_TEST_POSTGRES is not set: scripts/test e2e sees to it", returncode=1)
    name = f"vizinho_e2e_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            url = urllib.parse.urlsplit(server)._replace(path=f"/{name}").geturl()
            with psycopg.connect(url, autocommit=True) as made:
                made.execute("CREATE EXTENSION vector")
            yield url
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def sample_database(database: str) -> str:
    """The same with the sample in the table `passages`."""
    load(database, "passages", "vector", pathlib.Path(f"{SAMPLE}.base.npy"), pathlib.Path(f"{SAMPLE}.texts.jsonl.gz"))
    return database


@pytest.fixture(scope="session")
def base() -> NDArray[np.float32]:
    """The sample's passages, [10000, 384]."""
    vectors: NDArray[np.float32] = np.load(f"{SAMPLE}.base.npy").astype(np.float32)
    return vectors


@pytest.fixture(scope="session")
def questions() -> NDArray[np.float32]:
    """The sample's questions, [300, 384]."""
    vectors: NDArray[np.float32] = np.load(f"{SAMPLE}.query.npy").astype(np.float32)
    return vectors


@pytest.fixture(scope="session")
def question_rows() -> list[list[int]]:
    """The passages that each question is the synopsis of."""
    with gzip.open(f"{SAMPLE}.queries.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["rows"] for line in file]


@pytest.fixture(scope="session")
def exact(sample_database: str) -> Iterator[ExactSearch]:
    """pgvector, without an index."""
    search = ExactSearch(sample_database, "passages")
    yield search
    search.close()


@pytest.fixture(scope="session")
def sample_index(sample_database: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A data directory with the collection `passages`, rebuilt from the sample's table."""
    directory = tmp_path_factory.mktemp("sample-index")
    done = rebuild(directory, sample_database, "passages", "passages")
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def sample_engine(sample_index: pathlib.Path) -> Iterator[Engine]:
    with Engine(sample_index) as engine:
        yield engine


@pytest.fixture(params=["slot", "outbox"])
def outbox(request: pytest.FixtureRequest) -> bool:
    """Whether changes come by the outbox, and not by a slot: a test that asks is run for both."""
    return bool(request.param == "outbox")


@pytest.fixture(scope="session")
def fault_library() -> Iterator[pathlib.Path]:
    """What is preloaded into an engine that is to come to an end at a certain call."""
    with built_library() as library:
        yield library
