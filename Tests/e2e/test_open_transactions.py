"""Postgres makes a slot when all transactions have ended that were writing: who waits for that is in nobody's way."""

import pathlib
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
