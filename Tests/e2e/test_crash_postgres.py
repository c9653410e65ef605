"""Postgres is killed at named moments, while an engine follows it: both have the same rows again afterwards."""

import pathlib
import signal
import time
from collections.abc import Iterator

import pytest
from crash_points import Scenario, scenario_in
from faults import JOURNAL, Rule
from following import unique_name, until
from psycopg import sql
from soak import Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Postgres of its own, since it will be killed."""
    made = Cluster(unique_name("crash"))
    made.start()
    yield made
    made.destroy()


@pytest.fixture
def scenario(
    cluster: Cluster, fault_library: pathlib.Path, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    outbox = bool(getattr(request, "param", "slot") == "outbox")
    with scenario_in(cluster.url, fault_library, tmp_path, outbox) as made:
        yield made


both_ways = pytest.mark.parametrize("scenario", ["slot", "outbox"], indirect=True)


def _lines(scenario: Scenario) -> int:
    """How many stand in the outbox."""
    with scenario.followed.connect() as connection:
        row = connection.execute("SELECT count(*) FROM vizinho.outbox").fetchone()
    assert row is not None
    return int(row[0])


def test_an_acknowledgement_that_postgres_forgets(scenario: Scenario, cluster: Cluster) -> None:
    """Postgres writes down what was acknowledged only now and then, and remembers less after a crash."""
    scenario.prepare("follow")
    for _ in range(5):
        scenario.follow()
        # A stopped engine acknowledges nothing anew before one can look.
        scenario.engine.process.send_signal(signal.SIGSTOP)
        try:
            acknowledged = scenario.acknowledged()
            assert acknowledged > scenario.last_change
            cluster.kill()
            cluster.start()
            remembered = scenario.acknowledged()
        finally:
            scenario.engine.process.send_signal(signal.SIGCONT)
        scenario.prove()
        assert "loaded anew" not in scenario.engine.log
        if remembered < acknowledged:
            break
    else:
        pytest.fail("Postgres has written down each acknowledgement in time")


@pytest.mark.parametrize("scenario", ["outbox"], indirect=True)
def test_a_commit_that_nobody_waited_for(scenario: Scenario, cluster: Cluster) -> None:
    """With synchronous_commit = off it is seen before it is on the disk: taken over, it must outlive Postgres."""
    followed = scenario.followed
    with followed.connect() as connection:
        # Nobody else writes the log in the meantime.
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")
    try:
        scenario.prepare("follow")
        scenario.prove()
        until("emptied", lambda: _lines(scenario) == 0)
        scenario.end()
        older = followed.connect(autocommit=False)
        older.execute("SET LOCAL synchronous_commit = off")
        older.execute(sql.SQL("UPDATE {} SET n = n + 1000 WHERE id < 10").format(sql.Identifier(followed.table)))
        row = older.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        # What the engine commits for itself when it starts has a higher id, and is on the disk before. It then looks
        # so seldom that it commits nothing else between the batch and the crash.
        followed.serving += ("--outbox-milliseconds", "3000")
        scenario.begin()
        until("gone on", lambda: followed.statistics(scenario.engine)["follow_state"] == "in step")
        time.sleep(0.5)
        older.commit()
        until("applied", lambda: scenario.applied() > int(row[0]))
        cluster.kill()
        older.close()
        cluster.start()
        scenario.prove()
        assert "loaded anew" not in scenario.engine.log
    finally:
        with followed.connect() as connection:
            connection.execute("ALTER SYSTEM RESET wal_writer_delay")
            connection.execute("SELECT pg_reload_conf()")


@both_ways
def test_half_a_transaction_has_come(scenario: Scenario, cluster: Cluster) -> None:
    """Postgres dies while it sends a transaction, and with another that was never committed."""
    scenario.prepare("follow")
    scenario.prove()
    never_committed = scenario.followed.connect(autocommit=False)
    never_committed.execute(
        sql.SQL("UPDATE {} SET n = -1, id = id + 2000000 WHERE id < 100").format(
            sql.Identifier(scenario.followed.table)
        )
    )
    if scenario.followed.outbox:
        # It would hold the others back.
        never_committed.rollback()
    # The second write of what is gathered: a part of the transaction is in the file, the rest is to come.
    scenario.faults.arm(Rule("pwrite", JOURNAL, 2, "hold"))
    scenario.change("UPDATE {} SET body = repeat('v', 12000), n = n + 1 WHERE id >= 100")
    scenario.faults.wait_until_struck(scenario.engine)
    cluster.kill()
    never_committed.close()
    scenario.disarm()
    cluster.start()
    scenario.prove()
    cuts = [call for call in scenario.faults.calls() if call.name == "ftruncate" and call.path.startswith("journal")]
    assert cuts, "what had come of the transaction was dropped"
    assert "loaded anew" not in scenario.engine.log


@both_ways
def test_postgres_dies_in_the_middle_of_the_copy(scenario: Scenario, cluster: Cluster) -> None:
    scenario.insert(10_000, 20_000)
    scenario.begin(Rule("receive", "socket", 3, "hold"))
    scenario.faults.wait_until_struck(scenario.engine)
    with scenario.followed.connect() as connection:

        def is_copying() -> bool:
            row = connection.execute("SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 0").fetchone()
            return row is not None and row[0] > 0

        until("copying", is_copying)
    cluster.kill()
    scenario.disarm()
    cluster.start()
    scenario.prove()
    assert "trying again" in scenario.engine.log
