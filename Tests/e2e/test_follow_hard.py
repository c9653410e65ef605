"""Following when it is hard: large transactions, kills while loading, a lost slot, rebuilds under load."""

import itertools
import pathlib
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import LiteralString

import numpy as np
import psycopg
import pytest
from engine import Engine, program, vizinho
from following import COLUMNS, OPTIONS, Followed, fill, followed_table, lsn_number, until, vectors
from pgvector import Vector
from psycopg import sql
from soak import Cluster
from vizinho import LSN, Client, Position, VizinhoError, position_of

DIMENSION = 32


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Postgres of its own, whose settings are changed."""
    made = Cluster("follow-test")
    made.start()
    with psycopg.connect(made.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    yield made
    made.destroy()


def test_a_transaction_larger_than_what_is_gathered(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 1_500)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            fill(followed, 2_000, 60_000)
            followed.wait_until_in_step(engine)
            followed.check()
            with followed.connect(autocommit=False) as connection:
                table = sql.Identifier(followed.table)
                connection.execute(sql.SQL("UPDATE {} SET n = n + 1").format(table))
                connection.execute(sql.SQL("UPDATE {} SET id = id + 1000000 WHERE id % 3 = 0").format(table))
                connection.execute(sql.SQL("DELETE FROM {} WHERE id % 7 = 0").format(table))
            followed.wait_until_in_step(engine)
            followed.check()
            # And one that is taken back is never seen.
            with followed.connect(autocommit=False) as connection:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(followed.table)))
                connection.rollback()
            followed.wait_until_in_step(engine)
            followed.check()


def test_an_engine_that_is_killed_while_it_loads(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    choices = random.Random(5)
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 20_000)
        for _ in range(8):
            with followed.engine():
                # After the slot, in the middle of the copy, before the first snapshot: wherever it is by then.
                time.sleep(choices.random() * 0.8)
            followed.execute("UPDATE {} SET n = n + 1 WHERE id %% 100 = %s", choices.randrange(100))
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()


def test_an_engine_that_is_killed_while_it_is_rebuilt(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    choices = random.Random(6)
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 20_000)
        for _ in range(6):
            with followed.engine() as engine:
                followed.wait_until_in_step(engine)
                followed.check()
                done: list[int] = []

                def rebuild(done: list[int] = done) -> None:
                    done.append(vizinho("rebuild", "--data-dir", tmp_path, "--collection", "docs").returncode)

                thread = threading.Thread(target=rebuild)
                thread.start()
                followed.execute("UPDATE {} SET n = n + 1 WHERE id %% 100 = %s", choices.randrange(100))
                # In the middle of the load, of the swap, or of the snapshot's rename.
                time.sleep(choices.random() * 1.5)
                engine.end(by=signal.SIGKILL)
                thread.join()
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()


class Searcher(threading.Thread):
    """Searches until it is told to end, and notes what must not happen."""

    def __init__(self, engine: Engine, seed: int, ends: threading.Event) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.count = 0
        self._engine = engine
        self._vectors = vectors(50, DIMENSION, seed)
        self._ends = ends

    def run(self) -> None:
        last = 0
        with self._engine.client() as client:
            while not self._ends.is_set():
                try:
                    result = client.search("docs", self._vectors[self.count % 50], k=10)
                except VizinhoError as error:
                    self.failures.append(str(error))
                    return
                if len(result) != 10:
                    self.failures.append(f"{len(result)} results")
                if int(result.position.applied_lsn) < last:
                    self.failures.append("an answer went back in time")
                last = int(result.position.applied_lsn)
                self.count += 1


def test_no_search_fails_while_a_collection_is_rebuilt(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 5_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            ends = threading.Event()

            def write() -> None:
                with followed.connect() as connection:
                    for i in itertools.takewhile(lambda _: not ends.is_set(), itertools.count()):
                        connection.execute(
                            sql.SQL("UPDATE {} SET n = n + 1 WHERE id = %s").format(sql.Identifier(followed.table)),
                            (i % 5_000,),
                        )

            searchers = [Searcher(engine, seed, ends) for seed in range(2)]
            threads = [*searchers, threading.Thread(target=write)]
            for thread in threads:
                thread.start()
            for options in ((), ("--table", followed.table, "--metric", "cosine", "--storage", "f16", *OPTIONS), ()):
                done = vizinho("rebuild", "--data-dir", tmp_path, "--collection", "docs", *options)
                assert done.returncode == 0, done.stderr
            ends.set()
            for thread in threads:
                thread.join()
            assert [searcher.failures for searcher in searchers] == [[], []]
            assert all(searcher.count > 0 for searcher in searchers)
            followed.check()


def test_a_rebuild_that_is_interrupted_leaves_what_is_served(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 30_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            rebuild = subprocess.Popen(
                [program(), "rebuild", "--data-dir", tmp_path, "--collection", "docs"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert rebuild.stderr is not None
            for line in rebuild.stderr:
                if "linking" in line or "reading" in line:
                    break
            rebuild.send_signal(signal.SIGINT)
            rebuild.wait(timeout=30)
            rebuild.stderr.close()
            until("cancelled", lambda: "ended before its time" in engine.log)
            followed.check()


def test_what_was_written_is_read(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 2_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            with followed.connect() as connection, engine.client() as client:
                made = vectors(60, DIMENSION, 4)

                def write(statement: LiteralString, *values: object) -> Position:
                    """Does so, and says behind what a search finds it."""
                    made = sql.SQL(statement).format(sql.Identifier(followed.table))
                    if not outbox:
                        connection.execute(made, values)
                        return position_of(connection)
                    with connection.transaction():
                        connection.execute(made, values)
                        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
                    assert row is not None
                    return Position(0, LSN(int(row[0]) + 1), 0)

                for i in range(60):
                    written = write("INSERT INTO {} VALUES (%s, 5, %s)", 100_000 + i, Vector(made[i]))
                    how = {"strong": True} if i % 2 else {"after": written}
                    # By a scan: this is about what is there, not about how much of it a walk finds.
                    result = client.search("docs", made[i], k=1, exact=True, wait=30, **how)
                    assert result[0].id == 100_000 + i
                    written = write("DELETE FROM {} WHERE id = %s", 100_000 + i)
                    gone = client.search("docs", made[i], k=1, exact=True, after=written, wait=30)
                    assert gone[0].id != 100_000 + i


def test_a_table_that_is_rewritten_with_other_values(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    """The columns are what they were, and not a row of it is sent."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 500)
        # Postgres refuses it while a list of columns stands in the publication.
        followed.publish_all_columns()
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.execute("ALTER TABLE {} ALTER COLUMN n TYPE bigint USING n + 1000")
            assert followed.verify().returncode == 1
            until(f"loaded anew:\n{engine.log}", lambda: followed.verify().returncode == 0)
        # The same while no engine looks.
        followed.execute("ALTER TABLE {} ALTER COLUMN n TYPE bigint USING n + 1000")
        with followed.engine() as engine:
            until("loaded anew", lambda: "loaded anew" in engine.log or "not in step any more" in engine.log)
            until(f"equal:\n{engine.log}", lambda: followed.verify().returncode == 0)


def test_a_slot_that_is_lost(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    with followed_table(cluster.url, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 1_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
        with followed.connect() as connection:
            connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
            connection.execute("SELECT pg_reload_conf()")

            def is_lost() -> bool:
                fill(followed, 5_000 + int(time.monotonic() * 1e6) % 1_000_000_000, 2_000)
                connection.execute("SELECT pg_switch_wal()")
                connection.execute("CHECKPOINT")
                row = connection.execute(
                    "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", (followed.slot,)
                ).fetchone()
                assert row is not None
                return bool(row[0] == "lost")

            until("lost", is_lost)
            connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            connection.execute("SELECT pg_reload_conf()")
        with followed.engine() as engine:
            followed.wait_until_served(engine)
            until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)
            assert "loaded anew" in engine.log


def test_a_commit_that_waits_for_a_standby(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    """It is sent, and others see the next one first: the row that it moved is not taken for one that went."""
    columns: LiteralString = "id bigint PRIMARY KEY, n bigint, embedding vector(700)"
    with followed_table(cluster.url, tmp_path, columns, *OPTIONS) as followed:
        # Long enough to lie outside of its row, so that it is not sent again.
        followed.execute(
            "INSERT INTO {} SELECT i, i, array_agg(sin(i * 0.7 + j * 2.3))::vector"
            " FROM generate_series(1, 2000) AS i, generate_series(1, 700) AS j GROUP BY i"
        )
        with followed.engine() as engine, followed.connect() as local, followed.connect() as waiting:
            followed.wait_until_in_step(engine)
            table = sql.Identifier(followed.table)
            process = waiting.info.backend_pid
            mover = threading.Thread(
                target=waiting.execute,
                args=(sql.SQL("UPDATE {} SET id = 100000 WHERE id = 7").format(table),),
            )

            def waits() -> bool:
                row = local.execute("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (process,)).fetchone()
                return row is not None and row[0] == "SyncRep"

            local.execute("SET synchronous_commit = local")
            # What is sent meanwhile is read at once afterwards; what comes first takes a moment to apply.
            engine.process.send_signal(signal.SIGSTOP)
            try:
                try:
                    local.execute(sql.SQL("UPDATE {} SET n = n + 1 WHERE id > 10").format(table))
                    local.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                    local.execute("SELECT pg_reload_conf()")
                    time.sleep(0.5)
                    mover.start()
                    until("waits for its standby", waits)
                    local.execute(sql.SQL("UPDATE {} SET n = -5 WHERE id = 3").format(table))
                finally:
                    engine.process.send_signal(signal.SIGCONT)
                until("stalled", lambda: followed.statistics(engine)["follow_state"] == "stalled")
                found = followed.statistics(engine)
                assert "synchronous_standby_names" in str(found["follow_reason"])
                assert found["rows"] == 2_000
                assert waits()
            finally:
                local.execute("ALTER SYSTEM RESET synchronous_standby_names")
                local.execute("SELECT pg_reload_conf()")
                if mover.ident:
                    mover.join()
            followed.wait_until_in_step(engine)
            followed.check()
            with engine.client() as client:
                hits = client.search("docs", np.ones(700, np.float32), k=5, exact=True, filter="n = 7 OR n = -5")
            assert {hit.id for hit in hits} == {100_000, 3}


def test_rows_that_are_read_by_their_keys(database: str, tmp_path: pathlib.Path) -> None:
    """Another key for more rows than one statement reads, of which Postgres sends nothing but the key."""
    columns: LiteralString = "id bigint PRIMARY KEY, n bigint, embedding vector(700)"
    with followed_table(database, tmp_path, columns, *OPTIONS) as followed:
        followed.execute(
            "INSERT INTO {} SELECT i, i %% 10, array_agg(sin(i * 0.7 + j * 2.3))::vector"
            " FROM generate_series(1, 2500) AS i, generate_series(1, 700) AS j GROUP BY i"
        )
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.execute("UPDATE {} SET id = id + 100000")
            followed.wait_until_in_step(engine)
            assert followed.statistics(engine)["rows"] == 2_500
            followed.check()


def test_a_postgres_that_is_killed(cluster: Cluster, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(cluster.url, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 1_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            for i in range(3):
                fill(followed, 2_000 + 100 * i, 100)
                cluster.kill()
                with engine.client() as client:
                    # Searches go on meanwhile.
                    assert len(client.search("docs", np.ones(DIMENSION, np.float32), k=5)) == 5
                cluster.start()
                followed.wait_until_in_step(engine)
                followed.check()


def test_two_engines_and_one_slot(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path / "one", COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 1_000)
        other = Followed(database, tmp_path / "two", followed.table, followed.slot, OPTIONS, outbox)
        with followed.engine() as first:
            followed.wait_until_in_step(first)
            with other.engine() as second:
                until("said", lambda: "Stop the other" in second.log)
                fill(followed, 1_000, 10)
                followed.wait_until_in_step(first)
                followed.check()


def test_an_answer_of_a_stale_collection_says_so(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 1_000)
        with followed.engine() as engine, engine.client() as client:
            followed.wait_until_in_step(engine)
            assert not client.search("docs", np.ones(DIMENSION, np.float32), k=1).stale
            with followed.connect() as connection:
                connection.execute(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(followed.slot)))
            until(
                f"stale:\n{engine.log}",
                lambda: client.search("docs", np.ones(DIMENSION, np.float32), k=1).stale,
            )
            followed.prepare()
            until(
                f"in step again:\n{engine.log}",
                lambda: not client.search("docs", np.ones(DIMENSION, np.float32), k=1).stale,
            )
            followed.check()


def test_several_collections_share_a_slot(database: str, tmp_path: pathlib.Path) -> None:
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed,
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, prepares=False) as other,
    ):
        fill(followed, 0, 1_000)
        fill(other, 0, 500)
        with followed.connect() as connection:
            connection.execute(
                sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
                    sql.Identifier(followed.slot), sql.Identifier(other.table)
                )
            )
        with followed.engine() as engine, engine.client() as client:
            followed.wait_until_in_step(engine)
            done = vizinho(
                "rebuild",
                *("--data-dir", tmp_path, "--table", other.table, "--metric", "l2", "--collection", "other", *OPTIONS),
            )
            assert done.returncode == 0, done.stderr
            with followed.connect(autocommit=False) as connection:
                for table in (followed.table, other.table):
                    connection.execute(sql.SQL("UPDATE {} SET n = 77 WHERE id < 100").format(sql.Identifier(table)))
            followed.wait_until_in_step(engine)
            followed.check()
            assert vizinho("verify", "--data-dir", tmp_path, "--collection", "other").returncode == 0
            # One cannot go on; the other does not notice.
            with followed.connect() as connection:
                connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(other.table)))
            until("stale", lambda: client.search("other", np.ones(DIMENSION, np.float32), k=1).stale)
            fill(followed, 1_000, 100)
            followed.wait_until_in_step(engine)
            followed.check()
        # A restart has both again.
        with followed.engine() as engine, Client(engine.address) as client:
            followed.wait_until_in_step(engine)
            assert [one.name for one in client.collections()] == ["docs", "other"]
            followed.check()
            assert lsn_number(str(client.statistics("docs")["applied_lsn"])) > 0
