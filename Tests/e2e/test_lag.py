"""How far the engine is behind Postgres, as it is measured and told; and what it compares, and warns of, by itself."""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import LiteralString

import psycopg
import pytest
from engine import SECONDS_MAX, Engine, program, vizinho
from following import COLUMNS, OPTIONS, Followed, fill, followed_table, lsn_number, until
from proxy import Proxy
from psycopg import sql
from soak import Cluster

READY_BYTES = 100_000
# A walsender that stands still is no silence here.
SERVING = ("--ready-lag-bytes", str(READY_BYTES), "--silence-seconds", "0")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Postgres of its own, whose settings are changed."""
    made = Cluster("lag-test")
    made.start()
    with psycopg.connect(made.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    yield made
    made.destroy()


def status(followed: Followed) -> dict[str, str]:
    """What `vizinho status` says for programs."""
    done = vizinho("status", "--data-dir", followed.directory, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["values"])


def is_ready(followed: Followed) -> bool:
    return vizinho("status", "--data-dir", followed.directory, "--ready").returncode == 0


def says(engine: Engine, words: str) -> Callable[[], bool]:
    return lambda: words in engine.log


def lag_bytes(followed: Followed) -> int:
    return int(status(followed)["docs.lag_bytes"])


@contextlib.contextmanager
def held_sender(followed: Followed) -> Iterator[None]:
    """Postgres's process that sends to the engine stands still, and everything else goes on."""
    with followed.connect() as connection:
        row = connection.execute(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (followed.slot,)
        ).fetchone()
    assert row is not None
    os.kill(row[0], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(row[0], signal.SIGCONT)


def proof_slots(followed: Followed) -> int:
    """How many comparisons have a place in the log."""
    with followed.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_replication_slots"
            " WHERE starts_with(slot_name::text, %s) AND confirmed_flush_lsn IS NOT NULL",
            (f"{followed.slot}_proof_",),
        ).fetchone()
    assert row is not None
    return int(row[0])


# Lag


def test_what_postgres_has_not_sent_counts(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 500)
        followed.serving = SERVING
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            until(lambda: f"ready: {status(followed)}", lambda: is_ready(followed))
            with held_sender(followed):
                fill(followed, 1_000, 5_000)
                until(lambda: f"behind: {status(followed)}", lambda: lag_bytes(followed) > READY_BYTES)
                assert not is_ready(followed)
                until("told", lambda: status(followed)["docs.state"] == "catching up")
                assert status(followed)["docs.rows"] == "500"
                until("measured", lambda: int(followed.statistics(engine)["lag_milliseconds"]) > 0)
            followed.wait_until_in_step(engine)
            until(lambda: f"ready again: {status(followed)}", lambda: is_ready(followed))
            until("measured again", lambda: lag_bytes(followed) <= READY_BYTES)
            assert status(followed)["docs.rows"] == "5500"
            followed.check()


def test_what_others_write_counts_until_it_is_passed_over(database: str, tmp_path: pathlib.Path) -> None:
    """Nobody knows what is in the log before it is read. A table that rests moves on with it."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed, followed.connect() as connection:
        fill(followed, 0, 500)
        other = sql.Identifier(f"{followed.table}_other")
        followed.serving = SERVING
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            try:
                with held_sender(followed):
                    rows = sql.SQL("SELECT i, repeat('x', 100) AS x FROM generate_series(1, 20000) AS i")
                    connection.execute(sql.SQL("CREATE TABLE {} AS {}").format(other, rows))
                    until(lambda: f"behind: {status(followed)}", lambda: lag_bytes(followed) > READY_BYTES)
                    assert not is_ready(followed)
                # No change of its own comes.
                followed.wait_until_in_step(engine)
                until(lambda: f"ready again: {status(followed)}", lambda: is_ready(followed))
                assert status(followed)["docs.lag_transactions"] == "0"
                assert status(followed)["docs.rows"] == "500"
            finally:
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(other))


def test_a_start_is_not_ready_before_it_has_what_came_meanwhile(
    database: str, tmp_path: pathlib.Path, outbox: bool
) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 500)
        # By an outbox it is ids of transactions.
        bound = 50 if outbox else READY_BYTES
        followed.serving = ("--ready-lag-bytes", str(bound))
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            assert engine.end(by=signal.SIGTERM) == 0
        fill(followed, 1_000, 20_000)
        for number in range(200):
            fill(followed, 100_000 + number, 1)
        wanted = followed.position()
        with followed.engine() as engine:
            until(lambda: f"ready:\n{engine.log}", lambda: is_ready(followed))
            assert lsn_number(status(followed)["docs.applied_lsn"]) + bound >= wanted
            followed.wait_until_in_step(engine)
            followed.check()


def test_no_progress_is_reported(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    """A row is to be read that others do not see yet, and what comes behind it waits."""
    columns: LiteralString = "id bigint PRIMARY KEY, n bigint, embedding vector(700)"
    with followed_table(cluster.url, tmp_path, columns, *OPTIONS) as followed:
        # Long enough to lie outside of its row, so that it is not sent again.
        followed.execute(
            "INSERT INTO {} SELECT i, i, array_agg(sin(i * 0.7 + j * 2.3))::vector"
            " FROM generate_series(1, 300) AS i, generate_series(1, 700) AS j GROUP BY i"
        )
        with followed.engine() as engine, followed.connect() as local, followed.connect() as waiting:
            followed.wait_until_in_step(engine)
            table = sql.Identifier(followed.table)
            process = waiting.info.backend_pid
            movers: list[threading.Thread] = []

            def waits() -> bool:
                row = local.execute("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (process,)).fetchone()
                return row is not None and row[0] == "SyncRep"

            def has_come_to_something() -> bool:
                return waits() or not movers[-1].is_alive()

            local.execute("SET synchronous_commit = local")
            try:
                local.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                local.execute("SELECT pg_reload_conf()")
                # The server takes a moment to know that a standby is to be waited for.
                for number in itertools.count(1):
                    assert number < 200
                    moves = sql.SQL("UPDATE {} SET id = id + 100000 WHERE id = %s").format(table)
                    movers.append(threading.Thread(target=waiting.execute, args=(moves, (number,))))
                    movers[-1].start()
                    until("it commits, or waits", has_come_to_something)
                    if waits():
                        break
                until("stalled", lambda: status(followed)["docs.state"] == "stalled")
                for number in range(200, 205):
                    local.execute(sql.SQL("UPDATE {} SET n = -5 WHERE id = %s").format(table), (number,))
                until(
                    lambda: f"transactions wait: {status(followed)}",
                    lambda: int(status(followed)["docs.lag_transactions"]) >= 6,
                )
                assert not is_ready(followed)
                until("reported", lambda: "no progress for a minute" in engine.log, seconds=2 * SECONDS_MAX)
                assert waits()
            finally:
                local.execute("ALTER SYSTEM RESET synchronous_standby_names")
                local.execute("SELECT pg_reload_conf()")
                for mover in movers:
                    mover.join()
            followed.wait_until_in_step(engine)
            until("all is applied", lambda: status(followed)["docs.lag_transactions"] == "0")
            until("ready", lambda: is_ready(followed))
            followed.check()


# Postgres's log


def test_a_slot_that_keeps_much_is_told_of_though_nothing_comes(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    with followed_table(cluster.url, tmp_path, COLUMNS, *OPTIONS) as followed, followed.connect() as connection:
        fill(followed, 0, 100)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            assert "slot_alarm" not in status(followed)
            # One that has no stream, since the first has the slot.
            other = dataclasses.replace(followed, directory=tmp_path / "other")
            with other.engine() as second:
                until(lambda: f"waits:\n{second.log}", lambda: "is in use by the server's process" in second.log)
                connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '100MB'")
                connection.execute("SELECT pg_reload_conf()")
                try:
                    for one in (engine, second):
                        until("warned", says(one, "throws them away after"))
                    assert "throws them away after" in status(followed)["slot_alarm"]
                    told = vizinho("status", "--data-dir", followed.directory)
                    assert "WARNING: Postgres keeps" in told.stdout
                finally:
                    connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
                    connection.execute("SELECT pg_reload_conf()")
            until("no more", lambda: "slot_alarm" not in status(followed))


# Comparisons


def test_comparisons_that_come_by_themselves(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    columns: LiteralString = "id bigint PRIMARY KEY, body text, embedding vector(32)"
    with (
        followed_table(database, tmp_path, columns, "--payload", "body", outbox=outbox) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
    ):
        followed.execute(
            "INSERT INTO {} SELECT i, 'text ' || i, array_agg(sin(i * 0.7 + j * 2.3))::vector"
            " FROM generate_series(1, 300) AS i, generate_series(1, 32) AS j GROUP BY i"
        )
        through = dataclasses.replace(followed, url=proxy.url, serving=("--verify-every", "1"))
        with through.engine() as engine:
            followed.wait_until_in_step(engine)

            def is_proved(equal: str) -> bool:
                return status(followed).get("docs.proved_equal") == equal

            until(lambda: f"equal:\n{engine.log}", lambda: is_proved("true"))
            proxy.forgery = (b"as it was written", b"as it was not so.")
            followed.execute("UPDATE {} SET body = 'as it was written' WHERE id = 12")
            # What is loaded anew gets the same, and is not taken.
            until(lambda: f"not equal:\n{engine.log}", lambda: is_proved("false"))
            until("told", lambda: status(followed)["docs.state"] == "stale")
            assert not is_ready(followed)
            assert "not equal to its table" in engine.log
            proxy.forgery = None
            until(lambda: f"equal again:\n{engine.log}", lambda: is_proved("true"))
            followed.wait_until_in_step(engine)
            until("ready", lambda: is_ready(followed))
            followed.check()


def test_a_comparison_that_waits_keeps_nobody_from_watching(database: str, tmp_path: pathlib.Path) -> None:
    """Its place in the log is not reached, for nothing is sent."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed, followed.connect() as connection:
        fill(followed, 0, 100)
        followed.serving = (*SERVING, "--verify-every", "1")
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            with held_sender(followed):
                fill(followed, 1_000, 10)
                until(lambda: f"compared:\n{engine.log}", lambda: proof_slots(followed) > 0)
                connection.execute(
                    sql.SQL("ALTER PUBLICATION {} DROP TABLE {}").format(
                        sql.Identifier(followed.slot), sql.Identifier(followed.table)
                    )
                )
                until(lambda: f"seen:\n{engine.log}", lambda: status(followed)["docs.state"] == "stale")
                # Nor does it wait for one that cannot go on.
                until("let go of", lambda: proof_slots(followed) == 0)


def test_a_comparison_ends_with_whoever_asked_for_it(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 100)
        followed.serving = SERVING
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            with held_sender(followed):
                fill(followed, 1_000, 10)
                command = ("verify", "--data-dir", str(followed.directory), "--collection", "docs")
                with subprocess.Popen(
                    [program(), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                ) as process:
                    try:
                        until(lambda: f"compared:\n{engine.log}", lambda: proof_slots(followed) == 1)
                        process.send_signal(signal.SIGINT)
                        assert process.wait(timeout=SECONDS_MAX) != 0
                    finally:
                        process.kill()
                until("let go of", lambda: proof_slots(followed) == 0)
            followed.wait_until_in_step(engine)
            followed.check()
