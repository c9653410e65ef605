"""A server, or a data directory, that was restored: what is kept here goes on only where it fits, and says so."""

import dataclasses
import pathlib
import shutil
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest
from crash_points import ROWS, Scenario, scenario_in
from engine import vizinho
from faults import NEW_NUMBER, SNAPSHOT, Rule
from following import clean_up, unique_name, until
from psycopg import sql
from restored import RestoredCluster
from soak import Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Postgres of its own, which others are made of."""
    made = Cluster(unique_name("restored"))
    made.start()
    yield made
    made.destroy()


@pytest.fixture
def copy(cluster: Cluster) -> Iterator[RestoredCluster]:
    """Another server, still without files."""
    made = RestoredCluster(cluster, unique_name("copy"))
    yield made
    made.destroy()


@pytest.fixture
def scenario(cluster: Cluster, fault_library: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Scenario]:
    with scenario_in(cluster.url, fault_library, tmp_path) as made:
        yield made


def move_log(scenario: Scenario) -> None:
    """Lets the server's log go on by some of its segments."""
    with scenario.followed.connect() as connection:
        for _ in range(3):
            connection.execute("SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")


def at(scenario: Scenario, url: str) -> Scenario:
    """The same data directory, and another server."""
    followed = dataclasses.replace(scenario.followed, url=url)
    return Scenario(followed, scenario.faults.library, scenario.followed.directory.with_name("other"))


def until_equal(scenario: Scenario) -> None:
    until(lambda: f"equal\n{scenario.engine.log}", lambda: scenario.followed.verify().returncode == 0)
    scenario.prove()


def restore(copy: RestoredCluster, way: str) -> Callable[[], None]:
    """Takes a copy now; returns what starts it later."""
    if way == "a backup, on another timeline":
        copy.take_backup()
        return copy.recover
    copy.copy_files()
    return lambda: copy.start_and_wait(primary=True)


@pytest.mark.parametrize("way", ["a backup, on another timeline", "a copy of its files, on the same"])
@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies before its snapshot"])
def test_a_server_that_was_set_back(scenario: Scenario, copy: RestoredCluster, way: str, dies: bool) -> None:
    """It gives the same places in its log again, for other transactions: none may be taken for one of before."""
    scenario.prepare("follow")
    scenario.prove()
    start = restore(copy, way)
    scenario.prove()
    # What the restored server does not have, up to far behind its end.
    scenario.insert(1_000, 200)
    scenario.change("DELETE FROM {} WHERE id < 50")
    move_log(scenario)
    scenario.change("UPDATE {} SET n = n + 1 WHERE id < 100")
    scenario.wait_until_durable()
    scenario.prove()
    scenario.end()
    start()
    lost = scenario.last_change

    other = at(scenario, copy.url)
    try:
        # Others with the same keys.
        other.change("INSERT INTO {0} SELECT id + 1000, n, body, embedding FROM {0} WHERE id BETWEEN 1 AND 20")
        assert other.followed.position() < lost, "its log has not come to where the engine is"
        if dies:
            # The new slot is made, and the snapshots are those of before.
            other.begin(Rule("pwrite", NEW_NUMBER))
            other.faults.wait_until_killed(other.engine)
            other.end()
            other.disarm()
        other.begin()
        until_equal(other)
        assert ("not in step any more" if dies else "loaded anew") in other.engine.log
        assert other.followed.statistics(other.engine)["rows"] == ROWS + 20
        # It follows, and a kill loses nothing while the log is still behind what was followed before.
        other.change("UPDATE {} SET n = n + 1 WHERE id >= 1000")
        other.wait_until_durable()
        assert other.acknowledged() < lost, "what the server has not come to is not acknowledged"
        other.end()
        other.change("DELETE FROM {} WHERE id = 1003")
        # Nor when the log passes that place while nobody looks.
        while other.followed.position() <= lost:
            move_log(other)
        other.change("UPDATE {} SET n = n + 1 WHERE id = 1004")
        other.begin()
        other.prove()
        assert "read and proved equal" not in other.engine.log, "nothing is loaded again"
    finally:
        other.end()


def test_a_standby_that_has_all_takes_over(scenario: Scenario, cluster: Cluster, copy: RestoredCluster) -> None:
    """Postgres keeps the slot up on a standby, from 17 on: nothing is loaded again."""
    with scenario.followed.connect() as connection:
        if connection.info.server_version < 170_000:
            pytest.skip("a standby keeps no slots up before PostgreSQL 17")
        connection.execute("SELECT pg_create_physical_replication_slot('standby', true)")
        # What the standby does not have is not sent to anybody.
        connection.execute("ALTER SYSTEM SET synchronized_standby_slots = 'standby'")
        connection.execute("SELECT pg_reload_conf()")
    try:
        copy.take_backup()
        copy.follow("standby")
        scenario.prepare("follow")
        scenario.prove()
        with psycopg.connect(copy.url, autocommit=True) as connection:

            def is_kept() -> bool:
                scenario.follow()
                row = connection.execute(
                    "SELECT synced AND NOT temporary AND invalidation_reason IS NULL FROM pg_replication_slots"
                    " WHERE slot_name = %s",
                    (scenario.followed.slot,),
                ).fetchone()
                return row is not None and bool(row[0])

            until("kept up on the standby", is_kept)
        scenario.change("UPDATE {} SET n = n + 1 WHERE id < 100")
        scenario.wait_until_applied()
        scenario.engine.end(by=signal.SIGTERM)
        cluster.kill()
        copy.promote()
        other = at(scenario, copy.url)
        try:
            other.change("UPDATE {} SET n = n + 7 WHERE id < 10")
            other.begin()
            other.prove()
            other.follow()
            other.prove()
            assert "loaded anew" not in other.engine.log
            assert "read and proved equal" not in other.engine.log, "nothing is loaded again"
        finally:
            other.end()
    finally:
        cluster.start()
        with scenario.followed.connect() as connection:
            connection.execute("ALTER SYSTEM RESET synchronized_standby_slots")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("SELECT pg_drop_replication_slot('standby')")


def test_a_standby_that_is_met_for_a_moment(scenario: Scenario, copy: RestoredCluster) -> None:
    """As where an address moves: nothing is made there, and the primary's slot is as good as before."""
    with scenario.followed.connect() as connection:
        if connection.info.server_version < 170_000:
            pytest.skip("the standby is set up as one that keeps slots up")
        connection.execute("SELECT pg_create_physical_replication_slot('standby', true)")
    try:
        scenario.prepare("follow")
        scenario.prove()
        copy.take_backup()
        copy.follow("standby")
        scenario.change("UPDATE {} SET n = n + 1 WHERE id < 100")
        scenario.wait_until_durable()
        scenario.engine.end(by=signal.SIGTERM)
        standby = at(scenario, copy.url)
        try:
            standby.begin()
            until("told", lambda: "The server is a standby" in standby.engine.log)
            # Whoever follows says so by itself, a moment later.
            until("stalled", lambda: standby.followed.statistics(standby.engine)["follow_state"] == "stalled")
            assert "loaded anew" not in standby.engine.log
            assert "making the replication slot" not in standby.engine.log
        finally:
            standby.end()
        scenario.change("UPDATE {} SET n = n + 1 WHERE id < 50")
        scenario.begin()
        scenario.prove()
        assert "loaded anew" not in scenario.engine.log
        assert "read and proved equal" not in scenario.engine.log, "nothing is loaded again"
    finally:
        with scenario.followed.connect() as connection:
            copy.stop()
            connection.execute("SELECT pg_drop_replication_slot('standby')")


def test_another_cluster(database: str, scenario: Scenario) -> None:
    """The right table, on the wrong server: nothing of it is taken, and what is kept stays searchable."""
    scenario.prepare("follow")
    scenario.prove()
    rows = scenario.followed.statistics(scenario.engine)["rows"]
    scenario.end()
    name = scenario.followed.table
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, n bigint, body text, embedding vector(16))").format(
                sql.Identifier(name)
            )
        )
    wrong = at(scenario, database)
    try:
        wrong.followed.prepare()
        wrong.begin()

        def status() -> str:
            return vizinho("status", "--data-dir", wrong.followed.directory).stdout

        until("refused", lambda: "system identifier" in status())
        assert wrong.followed.statistics(wrong.engine)["rows"] == rows
        assert wrong.followed.statistics(wrong.engine)["follow_state"] in ("stalled", "stale")
        wrong.end()
        # And nothing has come of it.
        scenario.begin()
        scenario.prove()
    finally:
        wrong.end()
        clean_up(database, name)


@pytest.fixture
def here(database: str, fault_library: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Scenario]:
    with scenario_in(database, fault_library, tmp_path) as made:
        made.prepare("follow")
        made.prove()
        yield made


def test_a_data_directory_that_was_put_back(here: Scenario) -> None:
    """Postgres will not send again what was acknowledged since."""
    old = here.followed.directory.with_name("old")
    here.engine.end(by=signal.SIGTERM)
    shutil.copytree(here.followed.directory, old, ignore=shutil.ignore_patterns("*.sock", "control*"))
    here.begin()
    here.follow()
    here.change("DELETE FROM {} WHERE id < 40")
    here.wait_until_durable()
    here.end()
    shutil.rmtree(here.followed.directory)
    old.rename(here.followed.directory)
    here.begin()
    until_equal(here)
    assert "is an older copy" in here.engine.log
    assert "will never be sent again" in here.engine.log


@pytest.mark.parametrize("segments", [False, True], ids=["journal kept", "journal gone on"])
def test_a_snapshot_that_was_put_back(here: Scenario, segments: bool) -> None:
    """As far as the journal has what it lacks, it is brought up; else it is loaded anew."""
    (old,) = here.followed.directory.glob(SNAPSHOT)
    kept = here.followed.directory.with_name("old")
    shutil.copy(old, kept)
    here.follow()
    here.snapshot()
    if segments:
        here.segment()
    here.follow()
    here.end()
    for path in here.followed.directory.glob(SNAPSHOT):
        path.unlink()
    shutil.copy(kept, old)
    here.begin()
    until_equal(here)
    assert ("changes between" in here.engine.log) == segments
    assert ("read and proved equal" in here.engine.log) == segments


def test_a_journal_that_was_taken_away(here: Scenario) -> None:
    """The snapshots say where they stand, and the slot whether it goes on there."""
    here.follow()
    here.engine.end(by=signal.SIGTERM)
    shutil.rmtree(here.followed.directory / "journal")
    here.begin()
    here.prove()
    assert "read and proved equal" not in here.engine.log, "a snapshot was written at the end, which has all"
    here.follow()
    # Now it has not: what came since is acknowledged, and nowhere but in the journal.
    here.end()
    shutil.rmtree(here.followed.directory / "journal")
    here.begin()
    until_equal(here)
    assert "loaded anew" in here.engine.log
