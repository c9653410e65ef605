"""Named moments at which the engine is killed, its disk is full or broken: it has what the table has after each.

scripts/crash-points tries them all; docs/FOLLOWING.md has a table of those that are met here.
"""

import pathlib
import signal
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from crash_points import NAMED, Scenario, scenario_in
from engine import vizinho
from faults import DISK_BROKEN, DISK_FULL, FOLDER, JOURNAL, NEW_SEGMENT, NEW_SNAPSHOT, Call, Rule
from following import until
from pgvector import Vector

# Where nothing depends on how changes come, one of the two ways is enough.
BY_OUTBOX = {
    "before the first snapshot",
    "a transaction is half written",
    "a snapshot's name is not durable",
    "a segment is removed",
}


@pytest.fixture(scope="module")
def scenarios(
    database: str, fault_library: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[bool], Scenario]]:
    """A table and its engine for either way of following. The engine lives on from test to test, where it may."""
    made: dict[bool, Scenario] = {}
    with scenario_in(database, fault_library, tmp_path_factory.mktemp("slot")) as slot:
        made[False] = slot
        with scenario_in(database, fault_library, tmp_path_factory.mktemp("outbox"), outbox=True) as other:
            made[True] = other

            def ready(outbox: bool) -> Scenario:
                made[not outbox].end()
                return made[outbox]

            yield ready


def slot_exists(scenario: Scenario) -> bool:
    with scenario.followed.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", (scenario.followed.slot,)
        ).fetchone()
    assert row is not None
    return bool(row[0])


def has(scenario: Scenario, pattern: str) -> bool:
    return any(scenario.followed.directory.glob(pattern))


def last(scenario: Scenario, name: str) -> Call:
    return next(call for call in reversed(scenario.faults.calls()) if call.name == name)


# What is there at the moment of each death, so that each is what its name says.
WITNESSES: dict[str, Callable[[Scenario], bool]] = {
    "the slot is made and not noted": slot_exists,
    "before the first snapshot": lambda one: slot_exists(one) == (not one.followed.outbox) and not one.snapshots(),
    "the first snapshot has no name": lambda one: not one.snapshots() and has(one, NEW_SNAPSHOT),
    "a transaction is half written": lambda one: one.acknowledged() <= one.last_change,
    "durable and not acknowledged": lambda one: one.acknowledged() <= one.last_change and journal_is_durable(one),
    "a snapshot is half written": lambda one: len(one.snapshots()) > 0 and has(one, NEW_SNAPSHOT),
    "a snapshot has no name": lambda one: has(one, NEW_SNAPSHOT),
    "a snapshot's name is not durable": lambda one: not has(one, NEW_SNAPSHOT),
    "a snapshot is durable": lambda one: len(one.snapshots()) == 3,
    "a segment has no name": lambda one: has(one, NEW_SEGMENT),
    "a segment's name is not durable": lambda one: len(one.segments()) > 1 and not has(one, NEW_SEGMENT),
    "a segment is removed": lambda one: not (one.followed.directory / last(one, "unlink").path).exists(),
    "a rebuild is swapped in and not saved": lambda one: not has(one, NEW_SNAPSHOT),
    "a rebuild's snapshot has no name": lambda one: has(one, NEW_SNAPSHOT),
    "a rebuild's snapshot has a name": lambda one: not has(one, NEW_SNAPSHOT),
}


def journal_is_durable(scenario: Scenario) -> bool:
    """Whether all that was written to the journal is."""
    journal = [call for call in scenario.faults.calls() if call.path.startswith("journal/journal-")]
    written = max(call.number for call in journal if call.name == "pwrite")
    return max(call.number for call in journal if call.name == "durable") >= written


@pytest.mark.parametrize("name", NAMED)
def test_an_engine_that_is_killed(scenarios: Callable[[bool], Scenario], name: str) -> None:
    strike(scenarios(False), name)


@pytest.mark.parametrize("name", sorted(BY_OUTBOX))
def test_an_engine_that_reads_an_outbox_and_is_killed(scenarios: Callable[[bool], Scenario], name: str) -> None:
    strike(scenarios(True), name)


def strike(scenario: Scenario, name: str) -> None:
    def witness() -> None:
        assert WITNESSES[name](scenario), sorted(scenario.followed.directory.rglob("*"))

    # One snapshot more may be needed before an old one is removed.
    assert any(scenario.strike(NAMED[name], witness) for _ in range(3)), "the call never came"


@pytest.mark.parametrize("outbox", [False, True], ids=["slot", "outbox"])
def test_what_is_found_and_not_durable_comes_again(scenarios: Callable[[bool], Scenario], outbox: bool) -> None:
    """Killed after a change is applied, before it is durable: searches had it, and the disk has not."""
    scenario = scenarios(outbox)
    scenario.prepare("follow")
    scenario.prove()
    scenario.faults.arm(Rule("fdatasync", JOURNAL, 1, "hold"))
    marked = np.eye(16, dtype=np.float32)[3]
    scenario.change("UPDATE {} SET embedding = %s, n = n + 1000 WHERE id = 7", Vector(marked))
    scenario.faults.wait_until_struck(scenario.engine)
    scenario.wait_until_applied()
    with scenario.engine.client() as client:
        assert client.search("docs", marked, k=1, exact=True, filter="n > 1000")[0].id == 7
    assert scenario.acknowledged() <= scenario.last_change
    assert not journal_is_durable(scenario)
    scenario.engine.end(by=signal.SIGKILL)
    scenario.disarm()
    scenario.faults.lose_power()
    assert scenario.acknowledged() <= scenario.last_change
    scenario.begin()
    scenario.prove()
    assert "read and proved equal" not in scenario.engine.log, "nothing is loaded again"
    with scenario.engine.client() as client:
        assert client.search("docs", marked, k=1, exact=True, filter="n > 1000")[0].id == 7


def test_an_engine_that_is_killed_in_the_middle_of_the_copy(scenarios: Callable[[bool], Scenario]) -> None:
    scenario = scenarios(False)
    # More than the sockets between the two take, so that the copy waits.
    scenario.insert(10_000, 20_000)
    try:
        scenario.prepare("load")
        scenario.begin(Rule("receive", "socket", 3, "hold"))
        scenario.faults.wait_until_struck(scenario.engine)
        with scenario.followed.connect() as connection:

            def is_copying() -> bool:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_progress_copy WHERE command = 'COPY TO' AND tuples_processed > 0"
                ).fetchone()
                return row is not None and row[0] > 0

            until("copying", is_copying)
        scenario.engine.end(by=signal.SIGKILL)
        assert slot_exists(scenario)
        assert not scenario.snapshots()
        scenario.disarm()
        scenario.change("UPDATE {} SET n = n + 1 WHERE id %% 3 = 0")
        scenario.begin()
        scenario.prove()
        assert scenario.followed.statistics(scenario.engine)["rows"] > 20_000
    finally:
        scenario.disarm()
        scenario.change("DELETE FROM {} WHERE id BETWEEN 10000 AND 30000")


def until_said(scenario: Scenario, *words: str) -> None:
    """Until `vizinho status` says so."""

    texts = [""]

    def is_so() -> bool:
        texts.append(vizinho("status", "--data-dir", scenario.followed.directory).stdout)
        return all(word in texts[-1] for word in words)

    try:
        until(f"{words} in the status", is_so)
    except BaseException:
        sys.stderr.write(f"{texts[-1]}\n{scenario.engine.log}")
        raise


def test_a_full_disk_under_the_journal(scenarios: Callable[[bool], Scenario]) -> None:
    """Nothing is lost, what is needed is said, and it goes on by itself as soon as there is room."""
    scenario = scenarios(False)
    scenario.prepare("follow")
    scenario.prove()
    loads = scenario.engine.log.count("read and proved equal")
    scenario.faults.arm(Rule("pwrite", JOURNAL, 1, DISK_FULL))
    # Longer than what the journal gathers before it writes.
    scenario.change("UPDATE {} SET body = repeat('z', 10000), n = n + 1")
    until_said(scenario, "stalled", "it needs", "bytes and", "are free in")
    assert scenario.acknowledged() <= scenario.last_change
    with scenario.engine.client() as client:
        assert len(client.search("docs", np.ones(16, np.float32), k=5)) == 5
    scenario.disarm()
    scenario.wait_until_durable()
    scenario.prove()
    assert scenario.engine.log.count("read and proved equal") == loads, "nothing is loaded again"


def test_a_full_disk_under_a_small_transaction(scenarios: Callable[[bool], Scenario]) -> None:
    """The journal has it in memory alone, and finds no room for it when it is to be applied."""
    scenario = scenarios(False)
    scenario.prepare("follow")
    scenario.prove()
    said = [scenario.engine.log.count(words) for words in ("read and proved equal", "not in step any more")]
    scenario.faults.arm(Rule("pwrite", JOURNAL, 1, DISK_FULL))
    scenario.change("UPDATE {} SET n = n + 1 WHERE id = 3")
    until_said(scenario, "stalled", "it needs", "bytes and", "are free in")
    assert scenario.acknowledged() <= scenario.last_change
    scenario.disarm()
    scenario.wait_until_durable()
    scenario.prove()
    log = scenario.engine.log
    assert [log.count(words) for words in ("read and proved equal", "not in step any more")] == said


def test_a_collection_that_is_dropped_does_not_come_back(scenarios: Callable[[bool], Scenario]) -> None:
    """Its folder's new name is durable before the command returns."""
    scenario = scenarios(False)
    scenario.prepare("follow")
    scenario.prove()
    known = len(scenario.faults.calls())
    done = vizinho("drop", "--data-dir", scenario.followed.directory, "--collection", "docs")
    assert done.returncode == 0, done.stderr
    calls = scenario.faults.calls()[known:]
    renamed = [number for number, call in enumerate(calls) if call.name == "rename" and call.path == FOLDER]
    assert renamed, calls
    assert any(call.name == "durable" and call.path == "collections" for call in calls[renamed[-1] :])
    assert not list(scenario.followed.directory.glob("collections/.docs*"))
    # Whoever goes on with the scenario begins with a load.
    scenario.end()


def test_a_disk_that_does_not_confirm_the_journal(scenarios: Callable[[bool], Scenario]) -> None:
    """What it may not have is never acknowledged, though it confirms later calls; the next start reads what it has."""
    scenario = scenarios(False)
    scenario.prepare("follow")
    scenario.prove()
    scenario.faults.arm(Rule("fdatasync", JOURNAL, 1, DISK_BROKEN))
    scenario.change("UPDATE {} SET n = n + 1 WHERE id < 50")
    scenario.faults.wait_until_struck(scenario.engine)
    unconfirmed = scenario.last_change
    scenario.disarm()
    # The next change finds that the journal takes nothing any more.
    scenario.change("UPDATE {} SET n = n + 1 WHERE id < 60")
    until_said(scenario, "stalled", "could not be made durable", "start again")
    assert scenario.acknowledged() <= unconfirmed
    scenario.engine.end(by=signal.SIGKILL)
    scenario.faults.lose_power()
    scenario.begin()
    scenario.prove()
    assert "read and proved equal" not in scenario.engine.log, "nothing is loaded again"


@pytest.mark.parametrize(
    "rule",
    [
        Rule("pwrite", NEW_SNAPSHOT, 1, DISK_FULL),
        Rule("fsync", NEW_SNAPSHOT, 1, DISK_BROKEN),
        Rule("rename", NEW_SNAPSHOT, 1, DISK_BROKEN),
        Rule("fsync", FOLDER, 2, DISK_BROKEN),
    ],
    ids=str,
)
def test_a_snapshot_that_cannot_be_written(scenarios: Callable[[bool], Scenario], rule: Rule) -> None:
    """The journal has what the snapshot lacks; a later one is written."""
    scenario = scenarios(False)
    scenario.prepare("snapshot")
    scenario.prove()
    scenario.faults.arm(rule)
    scenario.change("UPDATE {} SET body = repeat('w', 1000), n = n + 1 WHERE id < 200")
    scenario.faults.wait_until_struck(scenario.engine)
    scenario.wait_until_durable()
    until("said", lambda: "no snapshot could be written" in scenario.engine.log)
    scenario.prove()
    scenario.engine.end(by=signal.SIGKILL)
    scenario.disarm()
    scenario.begin()
    scenario.prove()
    scenario.snapshot()
    scenario.prove()
