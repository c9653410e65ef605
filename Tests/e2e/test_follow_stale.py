"""What is not in step is known as such over a restart, and is in nobody's way; and a full journal has room made."""

import pathlib
import signal
import time
from collections.abc import Iterator
from typing import LiteralString

import numpy as np
import pytest
from crash_points import Scenario, scenario_in
from engine import Engine, vizinho
from faults import DISK_FULL, NEW_SNAPSHOT, Faults, Rule
from following import COLUMNS, OPTIONS, Followed, fill, followed_table, until, vectors
from pgvector import Vector
from psycopg import sql

MARK = "collections/docs/STALE"


def alter_publication(followed: Followed, what: str, table: str) -> None:
    """Takes a table out of the publication, or puts it in."""
    with followed.connect() as connection:
        connection.execute(
            sql.SQL("ALTER PUBLICATION {} {} TABLE {}").format(
                sql.Identifier(followed.slot), sql.SQL("DROP" if what == "drop" else "ADD"), sql.Identifier(table)
            )
        )


def collections(engine: Engine) -> list[str]:
    with engine.client() as client:
        return [one.name for one in client.collections()]


def test_a_table_that_left_the_publication_while_no_engine_looked(database: str, tmp_path: pathlib.Path) -> None:
    """What changes until it is back is not sent, and the publication is then what it was."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            until("saved", lambda: any(tmp_path.glob("collections/docs/snapshot-*.vzs")))
            assert engine.end(by=signal.SIGTERM) == 0
        alter_publication(followed, "drop", followed.table)
        with followed.engine() as engine:
            until(f"stale:\n{engine.log}", lambda: followed.statistics(engine)["follow_state"] == "stale")
            assert "PUBLICATION" in str(followed.statistics(engine)["follow_reason"])
            followed.execute("UPDATE {} SET n = n + 1000 WHERE id < 50")
            engine.end(by=signal.SIGKILL)
        assert (tmp_path / MARK).exists()
        followed.execute("UPDATE {} SET n = n + 1000 WHERE id < 10")
        alter_publication(followed, "add", followed.table)
        with followed.engine() as engine:
            until(f"equal:\n{engine.log}", lambda: followed.verify().returncode == 0)
            assert "read and proved equal" in engine.log, "it is loaded, and not gone on with"
            until("saved", lambda: not (tmp_path / MARK).exists())
            assert engine.end(by=signal.SIGTERM) == 0
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            assert "read and proved equal" not in engine.log


def test_what_cannot_go_on_is_known_after_a_restart(
    database: str, fault_library: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The engine dies as soon as that is on disk, and what kept it from going on is gone when it comes back."""
    columns: LiteralString = "id bigint PRIMARY KEY, embedding vector"
    directory = tmp_path.resolve() / "data"
    with (
        followed_table(database, directory, columns, "--dimension", "32") as followed,
        followed.connect() as connection,
    ):
        faults = Faults(fault_library, followed, tmp_path / "faults")
        table = sql.Identifier(followed.table)
        insert = sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(table)
        for number, vector in enumerate(vectors(10, 32, 9)):
            connection.execute(insert, (number, Vector(vector)))
        with faults.engine() as engine:
            followed.wait_until_in_step(engine)
            until("saved", lambda: any(directory.glob("collections/docs/snapshot-*.vzs")))
            faults.arm(Rule("rename", f"{MARK}.tmp", 1, "after"))
            connection.execute(insert, (10, Vector(np.ones(7))))
            faults.wait_until_killed(engine)
        assert "10" in (directory / MARK).read_text()
        connection.execute(sql.SQL("DELETE FROM {} WHERE id = 10").format(table))
        with faults.engine() as engine:
            assert "as was found before" in engine.log
            until(f"equal:\n{engine.log}", lambda: followed.verify().returncode == 0)
            assert "read and proved equal" in engine.log, "it is loaded, and not gone on with"
            until("saved", lambda: not (directory / MARK).exists())


@pytest.fixture
def scenario(database: str, fault_library: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Scenario]:
    with scenario_in(database, fault_library, tmp_path) as made:
        made.prepare("follow")
        made.prove()
        yield made


def test_a_rebuild_that_is_not_on_disk_says_so(scenario: Scenario) -> None:
    scenario.faults.arm(Rule("pwrite", NEW_SNAPSHOT, 1, DISK_FULL))
    done = vizinho("rebuild", "--data-dir", scenario.followed.directory, "--collection", "docs")
    assert done.returncode == 1, done.stdout
    assert "served, and not on disk" in done.stderr
    scenario.disarm()
    scenario.prove()
    # The last thing that it does is to write it.
    before = scenario.snapshots()
    assert scenario.engine.end(by=signal.SIGTERM) == 0
    assert scenario.snapshots() - before
    scenario.begin()
    scenario.prove()
    assert "read and proved equal" not in scenario.engine.log


def test_one_that_cannot_go_on_is_in_nobodys_way(database: str, tmp_path: pathlib.Path) -> None:
    """Nor does it come back when it was dropped."""
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed,
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, prepares=False) as other,
    ):
        fill(followed, 0, 300)
        fill(other, 0, 300)
        alter_publication(followed, "add", other.table)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            # Its turn is before that of the other.
            done = vizinho(
                "rebuild",
                *("--data-dir", tmp_path, "--table", other.table, "--metric", "l2", "--collection", "a", *OPTIONS),
            )
            assert done.returncode == 0, done.stderr
            assert engine.end(by=signal.SIGTERM) == 0
        alter_publication(followed, "drop", other.table)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            fill(followed, 1_000, 10)
            followed.wait_until_in_step(engine)
            followed.check()
            assert collections(engine) == ["a", "docs"]
            done = vizinho("drop", "--data-dir", tmp_path, "--collection", "a")
            assert done.returncode == 0, done.stderr
            assert collections(engine) == ["docs"]
            alter_publication(followed, "add", other.table)
            # Longer than the pause before its load would have been tried again.
            time.sleep(4)
            assert collections(engine) == ["docs"]
            assert vizinho("status", "--data-dir", tmp_path, "--ready").returncode == 0
            followed.check()


def test_a_quiet_collection_beside_a_busy_one_and_a_small_journal(database: str, tmp_path: pathlib.Path) -> None:
    """Several times what the journal may have goes through it."""
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed,
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, prepares=False) as other,
    ):
        fill(followed, 0, 100)
        fill(other, 0, 4_000)
        alter_publication(followed, "add", other.table)
        followed.serving = ("--journal-bytes-max", str(1 << 20))
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            done = vizinho(
                "rebuild",
                *("--data-dir", tmp_path, "--table", other.table, "--metric", "l2", "--collection", "other", *OPTIONS),
            )
            assert done.returncode == 0, done.stderr
            for _ in range(6):
                other.execute("UPDATE {} SET n = n + 1")
            followed.wait_until_in_step(engine)
            until(
                f"equal:\n{engine.log}",
                lambda: vizinho("verify", "--data-dir", tmp_path, "--collection", "other").returncode == 0,
            )
            followed.check()
            size = sum(path.stat().st_size for path in tmp_path.glob("journal/journal-*.vzj"))
            # And one transaction.
            assert size < 3 << 20
            engine.end(by=signal.SIGKILL)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            until(
                f"equal again:\n{engine.log}",
                lambda: vizinho("verify", "--data-dir", tmp_path, "--collection", "other").returncode == 0,
            )
