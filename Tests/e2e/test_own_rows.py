"""Another index of the rows that an engine serves, made of those rows: other parameters, a coarser storage."""

import contextlib
import dataclasses
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from engine import Engine, program, vizinho
from following import Followed, followed_table, until, vectors
from pgvector import Vector
from proxy import Proxy
from psycopg import sql
from test_follow import COLUMNS, DIMENSION, OPTIONS, fill
from vizinho import VizinhoError

KEPT_EXACTLY = ("--storage", "f32", "--connectivity", "8", "--construction-effort", "60")


def rebuild(followed: Followed, *options: str) -> subprocess.CompletedProcess[str]:
    return vizinho("rebuild", "--data-dir", followed.directory, "--collection", "docs", "--from", "engine", *options)


def again(followed: Followed) -> Engine:
    """The engine started once more, with what it knows of its collections."""
    return Engine(followed.directory, ("serve", "--postgres", followed.url, "--slot", followed.slot, *followed.source))


class Searcher(threading.Thread):
    """Looks for rows that stay, and notes what must not happen."""

    def __init__(self, engine: Engine, rows: int, seed: int, ends: threading.Event) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.count = 0
        self._engine = engine
        self._vectors = vectors(rows, DIMENSION, 1)
        self._random = random.Random(seed)
        self._ends = ends

    def run(self) -> None:
        last = 0
        with self._engine.client() as client:
            while not self._ends.is_set():
                number = self._random.randrange(len(self._vectors))
                if number % 40 == 7:
                    continue  # it has no vector
                try:
                    result = client.search(
                        "docs", self._vectors[number], k=10, exact=self.count % 2 == 0, payload=["body"]
                    )
                except VizinhoError as error:
                    self.failures.append(str(error))
                    return
                if len(result) != 10:
                    self.failures.append(f"{len(result)} results")
                if result[0].id != number and self.count % 2 == 0:
                    self.failures.append(f"{result[0].id} is nearer to row {number} than itself")
                if result[0].id == number and result[0].payload != {"body": f"text {number} — é"}:
                    self.failures.append(f"row {number} has {result[0].payload}")
                if int(result.position.applied_lsn) < last:
                    self.failures.append("an answer went back in time")
                last = int(result.position.applied_lsn)
                self.count += 1


class Writer(threading.Thread):
    """Changes rows from some number on in every way, and attributes of all."""

    def __init__(self, followed: Followed, first: int, ends: threading.Event) -> None:
        super().__init__()
        self.count = 0
        self._followed = followed
        self._first = first
        self._ends = ends

    def run(self) -> None:
        choices = random.Random(3)
        made = vectors(50, DIMENSION, 9)
        table = sql.Identifier(self._followed.table)
        statements = [
            sql.SQL(text).format(table)
            for text in (
                "UPDATE {} SET tenant = %s WHERE id = %s",
                (
                    "INSERT INTO {} (tenant, id, body, embedding) VALUES (%s, %s, 'new', %s)"
                    " ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding, lang = NULL"
                ),
                "DELETE FROM {} WHERE id = %s",
                "UPDATE {} SET tags = ARRAY['x', NULL, %s] WHERE id %% 1000 = %s",
            )
        ]
        with self._followed.connect(autocommit=False) as connection:
            while not self._ends.is_set():
                with connection.transaction():
                    for _ in range(choices.randrange(1, 6)):
                        new = self._first + choices.randrange(2_000)
                        match choices.randrange(4):
                            case 0:
                                connection.execute(
                                    statements[0], (choices.randrange(9), choices.randrange(self._first))
                                )
                            case 1:
                                connection.execute(
                                    statements[1], (self.count, new, Vector(made[choices.randrange(50)]))
                                )
                            case 2:
                                connection.execute(statements[2], (new,))
                            case _:
                                connection.execute(statements[3], (str(self.count), choices.randrange(1_000)))
                self.count += 1


@contextlib.contextmanager
def load(followed: Followed, engine: Engine, rows: int) -> Iterator[tuple[list[Searcher], Writer]]:
    """Searchers and a writer beside what is done within."""
    ends = threading.Event()
    searchers = [Searcher(engine, rows, seed, ends) for seed in range(2)]
    writer = Writer(followed, rows, ends)
    threads = [*searchers, writer]
    for thread in threads:
        thread.start()
    try:
        yield searchers, writer
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_another_index_of_the_rows_that_are_served(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    rows = 8_000
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, *KEPT_EXACTLY, outbox=outbox) as followed:
        fill(followed, 0, rows)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            with load(followed, engine, rows) as (searchers, writer):
                for options, expected in (
                    (("--storage", "f32", "--m", "12"), ("f32", 12, 60)),
                    (
                        ("--storage", "int4x8", "--ef-construction", "80", "--recall-target", "0.9"),
                        ("int4x8", 12, 80),
                    ),
                    (("--seed", "5"), ("int4x8", 12, 80)),
                ):
                    before = (sum(searcher.count for searcher in searchers), writer.count)
                    done = rebuild(followed, *options)
                    assert done.returncode == 0, done.stderr
                    assert "proved equal to the table" in done.stdout
                    assert "memory: about" in done.stderr
                    assert "comparing at" in done.stderr
                    found = followed.statistics(engine)
                    assert (found["storage"], found["connectivity"], found["construction_effort"]) == expected
                    searched, written = before
                    until("searched after it, too", lambda: sum(one.count for one in searchers) > searched)  # noqa: B023
                    until("written after it, too", lambda: writer.count > written)  # noqa: B023
            assert [searcher.failures for searcher in searchers] == [[], []]
            assert followed.statistics(engine)["recall_target"] == pytest.approx(0.9)
            followed.check()
            assert engine.log.count("read and proved equal") == 1, "the rows were read once"
            assert engine.log.count("copied from what is served") == 3
            assert engine.end(by=signal.SIGTERM) == 0
        fill(followed, rows + 10_000, 100, seed=6)
        with again(followed) as engine:
            followed.wait_until_in_step(engine)
            found = followed.statistics(engine)
            assert (found["storage"], found["connectivity"], found["construction_effort"]) == ("int4x8", 12, 80)
            followed.check()
            assert "copied from" not in engine.log
            assert "read and proved equal" not in engine.log


def test_what_own_rows_cannot_give_is_refused(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, "--storage", "int8") as followed:
        nobody = rebuild(followed)
        assert nobody.returncode != 0
        assert "no server that follows Postgres serves" in nobody.stderr
        fill(followed, 0, 1_500)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            source = ("--table", followed.table, "--metric", "cosine")
            for options, words in (
                (("--storage", "f16"), ("int8, int4x8", "--from postgres")),
                (("--storage", "auto"), ("f16", "--from postgres")),
                ((*source, "--storage", "int8"), ("--attributes, --payload", "--from postgres")),
                (("--table", followed.table, "--metric", "l2", *OPTIONS, "--storage", "int8"), ("--metric",)),
                (("--m", "40", "--ef-construction", "30"), ("construction effort",)),
            ):
                done = rebuild(followed, *options)
                assert done.returncode == 1, done.stdout
                assert all(word in done.stderr for word in words), done.stderr
            other = vizinho("rebuild", "--data-dir", tmp_path, "--collection", "other", "--from", "engine")
            assert other.returncode == 1
            assert "other" in other.stderr
            assert vizinho("rebuild", "--data-dir", tmp_path, "--from", "somewhere").returncode != 0
            found = followed.statistics(engine)
            assert (found["storage"], found["connectivity"]) == ("int8", 16)
            # From Postgres any storage will do, and what is not given stays.
            done = vizinho("rebuild", "--data-dir", tmp_path, "--collection", "docs", "--storage", "f16", "--m", "20")
            assert done.returncode == 0, done.stderr
            found = followed.statistics(engine)
            assert (found["storage"], found["connectivity"]) == ("f16", 20)
            assert rebuild(followed, "--storage", "int4x16").returncode == 0
            followed.check()


def test_rows_that_are_not_the_tables_are_not_carried_on(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
    ):
        fill(followed, 0, 1_500)
        with dataclasses.replace(followed, url=proxy.url).engine() as engine:
            followed.wait_until_in_step(engine)
            proxy.forgery = (b"as it was written", b"as it was not so.")
            followed.execute("UPDATE {} SET body = 'as it was written' WHERE id = 12")
            followed.wait_until_in_step(engine)
            proxy.forgery = None
            done = rebuild(followed, "--m", "20")
            assert done.returncode == 1, done.stdout
            assert "12" in done.stderr
            assert "--from postgres" in done.stderr
            assert followed.statistics(engine)["connectivity"] == 16
            followed.verify("--repair")
            done = rebuild(followed, "--m", "20")
            assert done.returncode == 0, done.stderr
            assert followed.statistics(engine)["connectivity"] == 20
            followed.check()


def begun(followed: Followed, *options: str) -> "subprocess.Popen[str]":
    """A rebuild that is linking: its rows are copied."""
    process = subprocess.Popen(
        [program(), "rebuild", "--data-dir", followed.directory, "--collection", "docs", "--from", "engine", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "linking" in line:
            return process
    pytest.fail(f"it was never linking: {said}")


# Enough to do that nobody is too late for the middle of it.
SLOW = ("--m", "48", "--ef-construction", "1500")


def test_an_engine_that_is_killed_in_the_middle_serves_what_it_served(
    database: str, tmp_path: pathlib.Path, outbox: bool
) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, *KEPT_EXACTLY, outbox=outbox) as followed:
        fill(followed, 0, 10_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            process = begun(followed, "--storage", "int8", *SLOW)
            followed.execute("UPDATE {} SET tenant = 3 WHERE id %% 100 = 5")
            engine.end(by=signal.SIGKILL)
            assert process.wait(timeout=60) != 0
            assert process.stderr is not None
            process.stderr.close()
        with again(followed) as engine:
            followed.wait_until_in_step(engine)
            found = followed.statistics(engine)
            assert (found["storage"], found["connectivity"]) == ("f32", 8)
            followed.check()
            assert rebuild(followed, "--storage", "int8", "--m", "10").returncode == 0
            followed.check()
        with again(followed) as engine:
            followed.wait_until_in_step(engine)
            found = followed.statistics(engine)
            assert (found["storage"], found["connectivity"]) == ("int8", 10)
            followed.check()


def test_one_that_is_interrupted_leaves_what_is_served(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, *KEPT_EXACTLY) as followed:
        fill(followed, 0, 10_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            process = begun(followed, *SLOW)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
            assert process.stderr is not None
            process.stderr.close()
            until("cancelled", lambda: "ended before its time" in engine.log)
            assert followed.statistics(engine)["connectivity"] == 8
            with engine.client() as client:
                assert len(client.search("docs", np.ones(DIMENSION, np.float32), k=10)) == 10
            followed.check()
            assert rebuild(followed, "--m", "10").returncode == 0
            assert followed.statistics(engine)["connectivity"] == 10
            followed.check()


def test_one_for_which_the_journal_is_too_small_is_ended(database: str, tmp_path: pathlib.Path) -> None:
    """The one that is served would not go on before its end, and it could not be proved."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, *KEPT_EXACTLY) as followed:
        fill(followed, 0, 10_000)
        followed.serving = ("--journal-bytes-max", str(1 << 20))
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            process = begun(followed, *SLOW)
            assert process.stderr is not None
            # More than the journal may have.
            followed.execute("UPDATE {} SET tenant = 3")
            said = process.stderr.read()
            process.stderr.close()
            assert process.wait(timeout=60) == 1, said
            assert "--journal-bytes-max" in said
            followed.execute("UPDATE {} SET tenant = 4")
            followed.wait_until_in_step(engine)
            assert followed.statistics(engine)["connectivity"] == 8
            followed.check()
            # When less is written, there is room for it.
            assert rebuild(followed, "--m", "10").returncode == 0
            assert followed.statistics(engine)["connectivity"] == 10
            followed.check()
