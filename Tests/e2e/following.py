"""A table that an engine follows, and how the two are compared: for the tests of following."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

import numpy as np
import psycopg
import pytest
from engine import SECONDS_MAX, Engine, vizinho
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import sql

# A small table, for tests that care whether its rows come and go; `fill` fills it.
COLUMNS: LiteralString = "id bigint PRIMARY KEY, n bigint, embedding vector(32)"
OPTIONS = ("--attributes", "n")

_numbers = itertools.count(1)


def until(what: str | Callable[[], str], is_so: Callable[[], bool], seconds: float = SECONDS_MAX) -> None:
    """Waits for something that takes its time. What is told where it does not come may be asked for then."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            pytest.fail(f"not in time: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)


@dataclasses.dataclass
class Followed:
    """A table, its publication and slot, and the data directory of the engine that follows it."""

    url: str
    directory: pathlib.Path
    table: str
    slot: str
    options: tuple[str, ...] = ()
    # Whether changes come by the outbox, and not by a slot.
    outbox: bool = False
    # Options of `serve` alone.
    serving: tuple[str, ...] = ()

    @property
    def source(self) -> tuple[str, ...]:
        """How changes come, as options of the program."""
        return ("--outbox",) if self.outbox else ("--publication", self.slot)

    @property
    def command(self) -> tuple[str, ...]:
        return (
            "serve",
            *("--postgres", self.url, "--table", self.table, "--metric", "cosine", "--collection", "docs"),
            *("--slot", self.slot, *self.source, *self.options, *self.serving),
        )

    def engine(self, environment: dict[str, str] | None = None, answers: bool = True) -> Engine:
        return Engine(self.directory, self.command, environment or {}, answers)

    def prepare(self, *options: str) -> None:
        done = vizinho(
            "prepare",
            *("--postgres", self.url, "--table", self.table, "--metric", "cosine"),
            *(*self.source, *self.options, *options, "--apply"),
        )
        assert done.returncode == 0, done.stderr

    def connect(self, autocommit: bool = True) -> "psycopg.Connection[Any]":
        connection = psycopg.connect(self.url, autocommit=autocommit)
        register_vector(connection)
        return connection

    def execute(self, statement: LiteralString, *values: object) -> None:
        """Runs SQL in which {} is the table."""
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(self.table)), values)

    def publish_all_columns(self) -> None:
        if self.outbox:
            return
        with self.connect() as connection:
            connection.execute(
                sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(
                    sql.Identifier(self.slot), sql.Identifier(self.table)
                )
            )

    # What the engine says.

    def verify(self, *options: str) -> subprocess.CompletedProcess[str]:
        return vizinho("verify", "--data-dir", self.directory, "--collection", "docs", *options)

    def check(self) -> None:
        """Proves that the engine has exactly what the table has, as soon as it has caught up."""
        done = self.verify()
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def statistics(self, engine: Engine) -> dict[str, Any]:
        with engine.client() as client:
            return dict(client.statistics("docs"))

    def wait_until_served(self, engine: Engine) -> None:
        def is_served() -> bool:
            assert engine.process.poll() is None, engine.log
            with engine.client() as client:
                return any(one.name == "docs" for one in client.collections())

        until(f"served:\n{engine.log}", is_served)

    def wait_until_in_step(self, engine: Engine) -> None:
        """Until all that has committed by now is applied."""
        wanted = self.position()
        self.wait_until_served(engine)

        def is_so() -> bool:
            found = self.statistics(engine)
            # One from disk may be there already, and not follow yet.
            return lsn_number(str(found["applied_lsn"])) >= wanted and found["follow_state"] == "in step"

        until(f"in step with {wanted}:\n{engine.log}", is_so)

    def position(self) -> int:
        """A place behind all that has committed by now: in the log, or among the ids of transactions."""
        with self.connect() as connection:
            if self.outbox:
                row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
                assert row is not None
                return int(row[0])
            row = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
        return lsn_number(row[0])


def lsn_number(text: str) -> int:
    """A position in the log as a number."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def unique_name(prefix: str) -> str:
    return f"{prefix}_{os.getpid()}_{next(_numbers)}"


@contextlib.contextmanager
def followed_table(
    url: str,
    directory: pathlib.Path,
    columns: LiteralString,
    *options: str,
    prepares: bool = True,
    outbox: bool = False,
) -> Iterator[Followed]:
    """A new table with those columns. Its slot, publication and the table itself are gone afterwards."""
    name = unique_name("followed")
    followed = Followed(url, directory, name, name, options, outbox)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), sql.SQL(columns)))
    try:
        if prepares:
            followed.prepare()
        yield followed
    finally:
        clean_up(url, name)


def clean_up(url: str, name: str) -> None:
    """Drops slot, publication and table of that name, whoever is still at the slot."""
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(100):
            connection.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                " WHERE slot_name LIKE %s AND active_pid IS NOT NULL",
                (name + "%",),
            )
            try:
                connection.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
                )
                break
            except psycopg.errors.ObjectInUse:
                time.sleep(0.1)
        with contextlib.suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            connection.execute("DELETE FROM vizinho.reader WHERE name = %s", (name,))
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(name)))


def vectors(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Random ones, none of them zero."""
    made: NDArray[np.float32] = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return made


def fill(followed: Followed, first: int, count: int, seed: int = 1) -> None:
    """In one transaction, by the server itself."""
    followed.execute(
        "INSERT INTO {} SELECT i, i %% 10, array_agg(sin(i * 0.7 + j * (%s + 1.3)))::vector"
        " FROM generate_series(%s::bigint, %s::bigint) AS i, generate_series(1, 32) AS j GROUP BY i",
        seed,
        first,
        first + count - 1,
    )
