"""Following by the outbox: what is its own, beside what the other tests ask of both ways."""

import dataclasses
import itertools
import pathlib
import tempfile
import threading
import time
import urllib.parse
from typing import LiteralString

import psycopg
from engine import Engine, vizinho
from following import COLUMNS, OPTIONS, Followed, clean_up, fill, followed_table, unique_name, until, vectors
from pgvector import Vector
from proxy import Proxy
from psycopg import sql

DIMENSION = 32


def lines(followed: Followed) -> int:
    """How many the outbox has of the table."""
    with followed.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM vizinho.outbox WHERE rel = %s::regclass", (followed.table,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_what_is_durable_is_deleted_in_postgres(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 500)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            fill(followed, 500, 25_000)
            followed.wait_until_in_step(engine)
            followed.check()
            until("emptied", lambda: lines(followed) == 0)
        # Nobody reads: it stays, and comes at the next start.
        fill(followed, 30_000, 10)
        assert lines(followed) == 10
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            assert "read and proved equal" not in engine.log, "nothing is loaded again"
            followed.check()
            until("emptied", lambda: lines(followed) == 0)


def test_an_open_transaction_is_named(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 500)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            with followed.connect(autocommit=False) as old:
                old.execute(sql.SQL("UPDATE {} SET n = 55 WHERE id = 1").format(sql.Identifier(followed.table)))
                process = old.info.backend_pid
                fill(followed, 500, 5)
                until("stalled", lambda: followed.statistics(engine)["follow_state"] == "stalled")
                assert f"process {process} " in str(followed.statistics(engine)["follow_reason"])
                assert followed.statistics(engine)["rows"] == 500
            followed.wait_until_in_step(engine)
            until("in step", lambda: followed.statistics(engine)["follow_state"] == "in step")
            followed.check()


def test_a_row_that_came_after_a_truncate_with_an_older_id(database: str, tmp_path: pathlib.Path) -> None:
    """The row may be read before the TRUNCATE is."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 500)
        vector = Vector(vectors(1, DIMENSION, 3)[0])
        table = sql.Identifier(followed.table)
        with (
            followed.engine() as engine,
            followed.connect(autocommit=False) as older,
            followed.connect(autocommit=False) as holder,
        ):
            followed.wait_until_in_step(engine)
            older.execute("SELECT pg_current_xact_id()")
            holder.execute("SELECT pg_current_xact_id()")
            followed.execute("TRUNCATE {}")
            older.execute(sql.SQL("INSERT INTO {} VALUES (7, 777, %s)").format(table), (vector,))
            older.commit()
            # The older one is applied, while the holder still keeps the TRUNCATE back.
            until("applied", lambda: _has(engine, "n = 777"))
            holder.commit()
            followed.wait_until_in_step(engine)
            assert followed.statistics(engine)["rows"] == 1
            followed.check()


def _has(engine: Engine, condition: str) -> bool:
    with engine.client() as client:
        return len(client.search("docs", vectors(1, DIMENSION, 3)[0], k=1, exact=True, filter=condition)) > 0


def test_partitions_that_are_written_to_directly(database: str, tmp_path: pathlib.Path) -> None:
    name = unique_name("followed")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "CREATE TABLE {0} (id bigint, part int, embedding vector(32), PRIMARY KEY (id, part))"
                " PARTITION BY LIST (part); CREATE TABLE {1} PARTITION OF {0} FOR VALUES IN (1);"
                " CREATE TABLE {2} PARTITION OF {0} FOR VALUES IN (2)"
            ).format(sql.Identifier(name), sql.Identifier(f"{name}_1"), sql.Identifier(f"{name}_2"))
        )
    followed = Followed(database, tmp_path, name, name, ("--id-columns", "part,id"), outbox=True)
    try:
        followed.prepare()
        made = vectors(40, DIMENSION, 8)
        with followed.engine() as engine, followed.connect() as connection:
            followed.wait_until_in_step(engine)
            for i in range(40):
                target = name if i % 3 else f"{name}_{1 + i % 2}"
                connection.execute(
                    sql.SQL("INSERT INTO {} VALUES (%s, %s, %s)").format(sql.Identifier(target)),
                    (i, 1 + i % 2, Vector(made[i])),
                )
            followed.wait_until_in_step(engine)
            followed.check()
            connection.execute(sql.SQL("UPDATE {} SET id = id + 100 WHERE id < 5").format(sql.Identifier(f"{name}_1")))
            connection.execute(sql.SQL("UPDATE {} SET part = 3 - part WHERE id > 30").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DELETE FROM {} WHERE id = 9").format(sql.Identifier(f"{name}_2")))
            followed.wait_until_in_step(engine)
            followed.check()
            # A partition that is emptied by itself is seen by its file, once the server has seen which that is.
            time.sleep(11)
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(f"{name}_1")))
            until(f"loaded anew:\n{engine.log}", lambda: followed.verify().returncode == 0)
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(name)))
            followed.wait_until_in_step(engine)
            followed.check()
            assert followed.statistics(engine)["rows"] == 0
    finally:
        clean_up(database, name)


def test_equality_is_proved_while_rows_change(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 3_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            ends = threading.Event()

            def write(first: int) -> None:
                with followed.connect() as connection:
                    for i in itertools.takewhile(lambda _: not ends.is_set(), itertools.count(first)):
                        connection.execute(
                            sql.SQL("UPDATE {} SET n = n + 1 WHERE id = %s").format(sql.Identifier(followed.table)),
                            (i % 3_000,),
                        )

            threads = [threading.Thread(target=write, args=(first,)) for first in (0, 1_500)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(3):
                    followed.check()
                # And what differs is found in the midst of it.
                with followed.connect() as connection, connection.transaction():
                    connection.execute(
                        sql.SQL("INSERT INTO {} VALUES (77777, 1, %s)").format(sql.Identifier(followed.table)),
                        (Vector(vectors(1, DIMENSION, 3)[0]),),
                    )
                    # Its line goes before anybody has seen it.
                    connection.execute("DELETE FROM vizinho.outbox WHERE xid = pg_current_xact_id()")
                found = followed.verify()
                assert found.returncode == 1, found.stdout
                assert "77777" in found.stdout, found.stdout
                followed.verify("--repair")
                followed.check()
            finally:
                ends.set()
                for thread in threads:
                    thread.join()
            followed.wait_until_in_step(engine)
            followed.check()


def test_triggers_that_were_switched_off_for_a_while(database: str, tmp_path: pathlib.Path) -> None:
    """As for a bulk load, while nobody looks: what was written meanwhile stands nowhere."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            until("saved", lambda: "snapshot written" in engine.log)
        followed.execute("ALTER TABLE {} DISABLE TRIGGER ALL")
        fill(followed, 1_000, 200)
        # It enables them again.
        followed.prepare()
        assert lines(followed) == 0
        with followed.engine() as engine:
            followed.wait_until_served(engine)
            until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)
            assert followed.statistics(engine)["rows"] == 500
            assert "not what it was when it was loaded" in engine.log
            # While it looks, too.
            with followed.connect() as connection:
                table = sql.Identifier(followed.table)
                connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER vizinho_delete").format(table))
                connection.execute(sql.SQL("DELETE FROM {} WHERE id < 10").format(table))
                connection.execute(sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER vizinho_delete").format(table))
            until(f"in step again:\n{engine.log}", lambda: followed.statistics(engine)["rows"] == 490)
            until("equal", lambda: followed.verify().returncode == 0)


def test_a_reader_that_is_not_known_any_more(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 300)

        with followed.connect() as connection:
            forget = "DELETE FROM vizinho.reader WHERE name = %s"
            with followed.engine() as engine:
                followed.wait_until_in_step(engine)
                connection.execute(forget, (followed.slot,))
                fill(followed, 1_000, 5)
                until(f"loaded anew:\n{engine.log}", lambda: "loaded anew" in engine.log)
                until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)
            # While nobody looks, others delete what was not read.
            connection.execute(forget, (followed.slot,))
            fill(followed, 2_000, 5)
            connection.execute("DELETE FROM vizinho.outbox WHERE rel = %s::regclass", (followed.table,))
            with followed.engine() as engine:
                followed.wait_until_served(engine)
                until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)
                assert "loaded anew" in engine.log


def test_the_two_ways_are_not_taken_for_each_other(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            until("saved", lambda: "snapshot written" in engine.log)
        refused = vizinho(
            *(
                "serve",
                "--postgres",
                database,
                "--data-dir",
                tmp_path,
                "--listen",
                "127.0.0.1:0",
                "--slot",
                followed.slot,
            )
        )
        assert refused.returncode != 0
        assert "--outbox" in refused.stderr
        where = vizinho(
            *("prepare", "--outbox", "--postgres", database, "--table", followed.table, "--metric", "cosine"),
            *("--where", "n > 1"),
        )
        assert where.returncode != 0
        assert "whole table" in where.stderr
        again = vizinho("prepare", "--outbox", "--postgres", database, "--table", followed.table, "--metric", "cosine")
        assert again.returncode == 0
        assert "nothing is missing" in again.stderr


def test_roles_that_may_do_little(database: str, tmp_path: pathlib.Path) -> None:
    """Who follows needs what `prepare` grants and no more; who writes needs nothing of the outbox."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, prepares=False, outbox=True) as followed:
        reader, writer = unique_name("reader"), unique_name("writer")
        parts = urllib.parse.urlsplit(database)
        url = parts._replace(netloc=parts.netloc.replace(f"{parts.username}@", f"{reader}@")).geturl()
        with followed.connect() as connection:
            try:
                followed.prepare("--role", reader)
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(writer)))
                connection.execute(
                    sql.SQL("GRANT INSERT ON {} TO {}").format(sql.Identifier(followed.table), sql.Identifier(writer))
                )
                engine = Followed(url, tmp_path, followed.table, followed.slot, OPTIONS, outbox=True).engine()
                with engine:
                    followed.wait_until_in_step(engine)
                    with connection.transaction():
                        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(writer)))
                        connection.execute(
                            sql.SQL("INSERT INTO {} VALUES (1, 1, %s)").format(sql.Identifier(followed.table)),
                            (Vector(vectors(1, DIMENSION, 3)[0]),),
                        )
                    followed.wait_until_in_step(engine)
                    followed.check()
                    assert followed.statistics(engine)["rows"] == 1
                    until("emptied", lambda: lines(followed) == 0)
            finally:
                for role in (reader, writer):
                    connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
                    connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_keys_that_are_checked_late(database: str, tmp_path: pathlib.Path) -> None:
    """Rows change places, and between two of the changes two have one key. (By a slot such a table is refused.)"""
    columns: LiteralString = "id bigint PRIMARY KEY DEFERRABLE, n bigint, embedding vector(32)"
    with followed_table(database, tmp_path, columns, *OPTIONS, outbox=True) as followed:
        fill(followed, 0, 100)
        followed.execute("ALTER TABLE {} REPLICA IDENTITY FULL")
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.execute("UPDATE {} SET id = 3 - id WHERE id IN (1, 2)")
            followed.wait_until_in_step(engine)
            followed.check()
            # A circle of three, statement by statement.
            with followed.connect() as connection, connection.transaction():
                connection.execute("SET CONSTRAINTS ALL DEFERRED")
                for number in (14, 13, 12):
                    connection.execute(
                        sql.SQL("UPDATE {} SET id = %s WHERE n = %s AND id BETWEEN 12 AND 14").format(
                            sql.Identifier(followed.table)
                        ),
                        (12 + (number - 11) % 3, number % 10),
                    )
            followed.wait_until_in_step(engine)
            followed.check()
            assert followed.statistics(engine)["rows"] == 100


def test_a_pooler_is_refused(database: str, tmp_path: pathlib.Path) -> None:
    """Locks and settings would stay with a process of the server that others use."""
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
        followed.connect() as connection,
    ):
        fill(followed, 0, 100)
        proxy.pools = True
        with dataclasses.replace(followed, url=proxy.url).engine() as engine:
            until(lambda: f"refused:\n{engine.log}", lambda: "is reached through a pooler" in engine.log)
            with engine.client() as client:
                assert not client.collections()
            readers = connection.execute("SELECT name FROM vizinho.reader WHERE name = %s", (followed.slot,)).fetchall()
            assert readers == []
            proxy.pools = False
            followed.wait_until_in_step(engine)
            followed.check()
