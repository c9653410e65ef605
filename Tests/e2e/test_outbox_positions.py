"""Reading one's own writes where a table is followed by the outbox: positions that are ids of transactions."""

import asyncio
import pathlib
from typing import LiteralString

import psycopg
import pytest
from engine import Engine
from following import Followed, followed_table, vectors
from pgvector import Vector
from pgvector.psycopg import register_vector_async
from psycopg import sql
from vizinho import Client, ErrorCode, NotFresh, Position, RequestRejected, position_of, position_of_async

DIMENSION = 32
COLUMNS: LiteralString = "id bigint PRIMARY KEY, embedding vector(32)"
INSERT: LiteralString = "INSERT INTO {} VALUES (%s, %s)"


def finds(client: Client, vector: Vector, after: Position, wait: float = 30) -> int:
    """The nearest row, by a scan: this is about what is there, not about how much of it a walk finds."""
    found = client.search("docs", vector.to_numpy(), k=1, exact=True, after=after, wait=wait)
    return int(found[0].id) if len(found) else -1


def started(followed: Followed) -> Engine:
    """Serves, with a row that nobody looks for."""
    followed.execute(INSERT, 1_000, Vector(vectors(1, DIMENSION, 99)[0]))
    return followed.engine()


def test_what_was_written_is_read_by_the_same_line_as_with_a_slot(
    database: str, tmp_path: pathlib.Path, outbox: bool
) -> None:
    with followed_table(database, tmp_path, COLUMNS, outbox=outbox) as followed, started(followed) as engine:
        followed.wait_until_in_step(engine)
        made = [Vector(vector) for vector in vectors(40, DIMENSION, 4)]
        insert = sql.SQL(INSERT).format(sql.Identifier(followed.table))

        async def write_asynchronously(i: int) -> Position:
            async with await psycopg.AsyncConnection.connect(database) as connection:
                await register_vector_async(connection)
                await connection.execute(insert, (i, made[i]))
                await connection.commit()
                return await position_of_async(connection)

        with engine.client() as client:
            for i in range(40):
                if i % 4 == 0:
                    written = asyncio.run(write_asynchronously(i))
                else:
                    with followed.connect(autocommit=i % 4 == 1) as connection:
                        if i % 4 == 3:
                            connection.execute("SET synchronous_commit = off")
                        connection.execute(insert, (i, made[i]))
                        connection.commit()
                        written = position_of(connection)
                assert written.counts_transactions == outbox
                assert finds(client, made[i], Position.parse(str(written))) == i
            answer = client.search("docs", made[1].to_numpy(), k=1)
            assert answer.position.counts_transactions == outbox


def test_within_a_transaction_it_waits_for_that_one_alone(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, outbox=True) as followed, started(followed) as engine:
        followed.wait_until_in_step(engine)
        mine, other = (Vector(vector) for vector in vectors(2, DIMENSION, 5))
        insert = sql.SQL(INSERT).format(sql.Identifier(followed.table))
        with (
            engine.client() as client,
            followed.connect() as connection,
            followed.connect(autocommit=False) as holder,
        ):
            with connection.transaction():
                # Before or after the write: it is the transaction's id.
                before = position_of(connection, outbox=True)
                with connection.transaction():
                    connection.execute(insert, (1, mine))
                assert position_of(connection, outbox=True) == before
            holder.execute("SELECT pg_current_xact_id()")
            connection.execute(insert, (2, other))
            behind_all = position_of(connection)
            assert behind_all.applied_lsn > before.applied_lsn
            assert finds(client, mine, before) == 1
            with pytest.raises(NotFresh):
                finds(client, other, behind_all, wait=0.5)
            holder.commit()
            assert finds(client, other, behind_all) == 2


def test_one_kind_is_not_taken_for_the_other(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, outbox=outbox) as followed, started(followed) as engine:
        followed.wait_until_in_step(engine)
        with engine.client() as client, followed.connect() as connection:
            wrong = position_of(connection, outbox=not outbox)
            with pytest.raises(RequestRejected) as refusal:
                client.search("docs", vectors(1, DIMENSION, 1)[0], k=1, after=wrong, wait=30)
            assert refusal.value.code == ErrorCode.POSITION_FOREIGN
            right = position_of(connection, outbox=outbox)
            assert len(client.search("docs", vectors(1, DIMENSION, 1)[0], k=1, after=right, wait=30)) == 1
