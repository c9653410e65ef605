"""A connection whose other end is gone without a word: nobody may take that for a table in which nothing changes."""

import dataclasses
import pathlib
import tempfile
import threading
import time

import numpy as np
from following import COLUMNS, OPTIONS, Followed, fill, followed_table, until
from proxy import Proxy
from psycopg import sql


def test_a_connection_on_which_nothing_comes_any_more(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
    ):
        fill(followed, 0, 500)
        through = dataclasses.replace(followed, url=proxy.url, serving=("--silence-seconds", "3"))
        with through.engine() as engine:
            followed.wait_until_in_step(engine)
            # Nothing happens for longer than that; but Postgres answers when it is asked.
            time.sleep(4)
            assert followed.statistics(engine)["follow_state"] == "in step"
            assert "nothing comes from Postgres" not in engine.log
            proxy.mode = "stall"
            fill(followed, 500, 10)
            until("stalled", lambda: followed.statistics(engine)["follow_state"] == "stalled")
            assert followed.statistics(engine)["rows"] == 500
            proxy.mode = "pass"
            followed.wait_until_in_step(engine)
            followed.check()
            assert followed.statistics(engine)["rows"] == 510


def waits_for_lock(followed: Followed, mode: str) -> bool:
    """Whether a LOCK TABLE waits for that lock of the table."""
    with followed.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE relation = %s::regclass AND mode = %s AND NOT granted AND query LIKE 'LOCK TABLE%%'",
            (followed.table, mode),
        ).fetchone()
    assert row is not None
    return bool(row[0])


def test_an_answer_that_does_not_come_in_the_middle_of_a_batch(database: str, tmp_path: pathlib.Path) -> None:
    """It may take any time, so the connection is not given up; but nobody is to think that nothing changes."""
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=True) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
    ):
        fill(followed, 0, 500)
        through = dataclasses.replace(followed, url=proxy.url, serving=("--silence-seconds", "3"))
        with (
            through.engine() as engine,
            followed.connect(autocommit=False) as locker,
            followed.connect(autocommit=False) as writer,
        ):
            followed.wait_until_in_step(engine)
            table = sql.Identifier(followed.table)
            writer.execute(sql.SQL("UPDATE {} SET n = n + 1 WHERE id < 10").format(table))
            # It has its turn when the writer has ended, before whoever then reads what was written.
            lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table)
            locking = threading.Thread(target=lambda: locker.execute(lock))
            locking.start()
            until("the lock is waited for", lambda: waits_for_lock(followed, "AccessExclusiveLock"))
            writer.commit()
            locking.join()
            until("a batch is read", lambda: waits_for_lock(followed, "AccessShareLock"))
            proxy.mode = "stall"
            locker.rollback()
            until("stalled", lambda: followed.statistics(engine)["follow_state"] == "stalled")
            proxy.mode = "pass"
            followed.wait_until_in_step(engine)
            followed.check()


def test_who_asks_where_postgres_stands_asks_on_another_connection(database: str, tmp_path: pathlib.Path) -> None:
    """The one on which it was asked before is open, and nothing comes by it."""
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
    ):
        fill(followed, 0, 500)
        through = dataclasses.replace(followed, url=proxy.url, serving=("--silence-seconds", "3"))
        with through.engine() as engine, engine.client() as client:
            followed.wait_until_in_step(engine)
            question = np.ones(32, np.float32)
            assert len(client.search("docs", question, k=3, strong=True, wait=30)) == 3
            proxy.silence()
            # Postgres has not noticed, and nobody is to wait until it does: another reads from the slot then.
            with followed.connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                    " WHERE slot_name = %s AND active_pid IS NOT NULL",
                    (followed.slot,),
                )
            assert len(client.search("docs", question, k=3, strong=True, wait=30)) == 3
            fill(followed, 500, 10)
            followed.wait_until_in_step(engine)
            followed.check()
