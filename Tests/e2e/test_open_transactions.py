"""Postgres makes a slot when all transactions have ended that were writing: who waits for that is in nobody's way."""

import pathlib
import signal
import subprocess

from engine import SECONDS_MAX, program
from following import COLUMNS, OPTIONS, fill, followed_table, until
from psycopg import sql


def test_a_load_is_in_no_transactions_way(database: str, tmp_path: pathlib.Path) -> None:
    """One that has written wants a lock of the table that is to be loaded, and the load waits for its end."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 500)
        with followed.engine() as engine, followed.connect(autocommit=False) as writer:
            followed.wait_until_in_step(engine)
            table = sql.Identifier(followed.table)
            # What waits for each other for ever is to fail, and not to hang.
            writer.execute("SET lock_timeout = '60s'")
            writer.execute(sql.SQL("UPDATE {} SET n = n + 1").format(table))
            process = f"process {writer.info.backend_pid} "
            rebuild = subprocess.Popen(
                [program(), "rebuild", "--data-dir", tmp_path, "--collection", "docs", "--m", "20"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                until(
                    lambda: f"waited for:\n{engine.log}",
                    lambda: "is waited for" in engine.log and process in engine.log,
                )
                # No moment can be compared either, which is said and not waited for.
                proof = followed.verify()
                assert proof.returncode == 1
                assert process in proof.stderr
                writer.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN n SET DEFAULT 7").format(table))
                writer.commit()
                said, _ = rebuild.communicate(timeout=SECONDS_MAX)
            finally:
                if rebuild.poll() is None:
                    rebuild.kill()
                    rebuild.communicate()
            assert rebuild.returncode == 0, said
            assert process in said
            assert followed.statistics(engine)["connectivity"] == 20
            followed.wait_until_in_step(engine)
            followed.check()


def begin_rebuild(directory: pathlib.Path) -> "subprocess.Popen[str]":
    """Until it tells of the load that is under way, whosever that is."""
    rebuild = subprocess.Popen(
        [program(), "rebuild", "--data-dir", directory, "--collection", "docs", "--m", "20"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert rebuild.stderr is not None
    for line in rebuild.stderr:
        if "reading" in line:
            return rebuild
    raise AssertionError(f"the rebuild ended with {rebuild.wait()}")


def test_a_rebuild_that_waits_ends_no_other_of_its_name(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 500)
        followed.serving = ("--slot-patience-seconds", "10")
        with followed.engine() as engine, followed.connect(autocommit=False) as writer:
            followed.wait_until_in_step(engine)
            # The load that is under way waits for its end.
            writer.execute(sql.SQL("UPDATE {} SET n = n + 1").format(sql.Identifier(followed.table)))
            rebuilds: list[subprocess.Popen[str]] = []
            try:
                rebuilds.append(begin_rebuild(tmp_path))
                rebuilds.append(begin_rebuild(tmp_path))
                rebuilds[1].send_signal(signal.SIGINT)
                rebuilds[1].wait(timeout=SECONDS_MAX)
                # As soon as it has its turn.
                until(lambda: f"noticed:\n{engine.log}", lambda: "ended before its time" in engine.log)
                writer.commit()
                _, said = rebuilds[0].communicate(timeout=SECONDS_MAX)
            finally:
                for rebuild in rebuilds:
                    if rebuild.poll() is None:
                        rebuild.kill()
                    rebuild.wait()
                    if rebuild.stderr is not None:
                        rebuild.stderr.close()
            assert rebuilds[0].returncode == 0, said
            assert engine.log.count("ended before its time") == 1
            assert followed.statistics(engine)["connectivity"] == 20
            followed.check()
