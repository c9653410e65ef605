"""Postgres is killed at named moments, while an engine follows it: both have the same rows again afterwards."""

import pathlib
import signal
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
