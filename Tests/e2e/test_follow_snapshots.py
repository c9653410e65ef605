"""Snapshots one after the other under a writer: changes are found meanwhile, and what a kill leaves is gone on from."""

import dataclasses
import pathlib
import random
import signal
import time
from typing import LiteralString

from engine import Engine
from following import Followed, followed_table, vectors
from pgvector import Vector
from psycopg import sql

DIMENSION = 32
COLUMNS: LiteralString = "id bigint PRIMARY KEY, n bigint, body text, embedding vector(32)"
OPTIONS = ("--attributes", "n", "--payload", "body")
ROWS = 20_000


def fill(followed: Followed) -> None:
    followed.execute(
        "INSERT INTO {} SELECT i, i %% 10, 'text ' || i, array_agg(sin(i * 0.7 + j * 2.3))::vector"
        " FROM generate_series(1::bigint, %s::bigint) AS i, generate_series(1, 32) AS j GROUP BY i",
        ROWS,
    )


def write_and_find(followed: Followed, engine: Engine, seed: int, snapshots: int) -> None:
    """Transactions of all kinds, each found at once, until so many snapshots were written beside."""
    choices = random.Random(seed)
    made = vectors(100, DIMENSION, seed)
    table = sql.Identifier(followed.table)
    with followed.connect() as connection, engine.client() as client:

        def step(i: int) -> None:
            chosen = made[i % 100]
            row = choices.randrange(1, ROWS // 2)
            with connection.transaction():
                connection.execute(
                    sql.SQL("UPDATE {} SET embedding = %s, n = %s WHERE id = %s").format(table),
                    (Vector(chosen), i, row),
                )
                # Of others, what has no version in the index; and rows that go.
                connection.execute(
                    sql.SQL("UPDATE {} SET n = n + 1, body = body || '.' WHERE id %% 50 = %s AND id <> %s").format(
                        table
                    ),
                    (i % 50, row),
                )
                connection.execute(
                    sql.SQL("DELETE FROM {} WHERE id %% 400 = %s AND id > %s").format(table), (i % 400, ROWS // 2)
                )
            result = client.search("docs", chosen, k=1, exact=True, strong=True, wait=30, payload=["body"])
            assert result[0].id == row
            assert result[0].distance < 0.01

        i = 0
        while engine.log.count("snapshot written") < snapshots:
            assert engine.process.poll() is None, engine.log
            assert "could not be written" not in engine.log, engine.log
            step(i)
            i += 1


def test_changes_are_found_while_snapshots_are_written(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    choices = random.Random(8)
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed)
        saving = dataclasses.replace(followed, options=(*OPTIONS, "--snapshot-after-bytes", "65536"))
        for seed in range(4):
            with saving.engine() as engine:
                followed.wait_until_in_step(engine)
                before = engine.log.count("snapshot written")
                write_and_find(followed, engine, seed, before + 3)
                followed.check()
                followed.execute("UPDATE {} SET n = n + 1 WHERE id %% 20 = %s", seed)
                # While a snapshot is written, as a rule.
                time.sleep(choices.random() * 0.2)
                engine.end(by=signal.SIGKILL if seed % 2 == 0 else signal.SIGTERM)
        with saving.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
