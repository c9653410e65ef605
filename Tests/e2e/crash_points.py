"""Every crash point: whichever call makes something durable, an engine that is killed there has what the table has.

    python crash_points.py [--outbox] [--stage snapshot] [--postgres-name crash-points]

A life that nothing disturbs shows which calls there are in each stage: the load, some small transactions, one that
makes a snapshot due, one that begins a new segment of the journal, a rebuild. Then the stage is gone through again
for each of them, and the engine is killed before the call, or in the middle of a write, or the call fails. What was
not durable is then taken away (every other time: a killed process leaves it to the system, a machine without power
does not), the engine is started again, and the proof of equality ends the round.
"""

import argparse
import contextlib
import dataclasses
import itertools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import LiteralString

import psycopg
from engine import SECONDS_MAX, Engine, program
from faults import (
    DISK_BROKEN,
    DISK_FULL,
    JOURNAL,
    NEW_NUMBER,
    NEW_SEGMENT,
    NEW_SNAPSHOT,
    SNAPSHOT,
    Faults,
    Rule,
    built_library,
    counted,
)
from following import Followed, clean_up, lsn_number, unique_name
from psycopg import sql
from soak import Cluster
from vizinho import VizinhoError

STAGES = ("load", "follow", "snapshot", "segment", "rebuild")
ROWS = 500
OPTIONS = ("--attributes", "n", "--payload", "body")
SERVING = ("--snapshot-after-bytes", "65536")


@dataclasses.dataclass(frozen=True)
class Point:
    """A place at which something goes wrong, in a stage of an engine's life."""

    stage: str
    rule: Rule
    # Whether what was not durable is gone.
    loses_power: bool = False

    def __str__(self) -> str:
        return f"{self.stage}: {self.rule}{', power lost' if self.loses_power else ''}"


# Those that every run of the tests meets.
NAMED = {
    "the slot is made and not noted": Point("load", Rule("fdatasync", JOURNAL), loses_power=True),
    "before the first snapshot": Point("load", Rule("pwrite", NEW_NUMBER)),
    "the first snapshot has no name": Point("load", Rule("rename", NEW_SNAPSHOT)),
    "a transaction is half written": Point("snapshot", Rule("pwrite", JOURNAL, 1, "torn")),
    "durable and not acknowledged": Point("follow", Rule("acknowledge", "socket"), loses_power=True),
    "a snapshot is half written": Point("snapshot", Rule("pwrite", NEW_SNAPSHOT, 1, "torn"), loses_power=True),
    "a snapshot has no name": Point("snapshot", Rule("rename", NEW_SNAPSHOT)),
    "a snapshot's name is not durable": Point("snapshot", Rule("rename", NEW_SNAPSHOT, 1, "after"), loses_power=True),
    "a snapshot is durable": Point("snapshot", Rule("unlink", SNAPSHOT)),
    "a segment has no name": Point("segment", Rule("rename", NEW_SEGMENT)),
    "a segment's name is not durable": Point("segment", Rule("rename", NEW_SEGMENT, 1, "after"), loses_power=True),
    "a segment is removed": Point("segment", Rule("unlink", JOURNAL, 1, "after")),
    "a rebuild is swapped in and not saved": Point("rebuild", Rule("pwrite", NEW_NUMBER)),
    "a rebuild's snapshot has no name": Point("rebuild", Rule("rename", NEW_SNAPSHOT)),
    "a rebuild's snapshot has a name": Point("rebuild", Rule("rename", NEW_SNAPSHOT, 1, "after")),
}


class EngineEndedError(Exception):
    """The engine has come to its end, or a call has failed as it was to."""


class Scenario:
    """A followed table, and the lives of its engine, which end where a rule says so."""

    def __init__(self, followed: Followed, library: pathlib.Path, scratch: pathlib.Path) -> None:
        self.followed = followed
        self.faults = Faults(library, followed, scratch)
        # Just before the commit of the last change: its id where an outbox is followed, else its place in the log.
        self.last_change = 0
        self._engine: Engine | None = None
        self._rule: Rule | None = None
        self._keys = itertools.count(ROWS)

    # Lives.

    @property
    def engine(self) -> Engine:
        assert self._engine is not None
        return self._engine

    @property
    def is_alive(self) -> bool:
        return self._engine is not None and self._engine.process.poll() is None

    def begin(self, rule: Rule | None = None) -> None:
        """Starts the engine. With a rule, does not wait for it to answer."""
        self.end()
        self._rule = rule
        self._engine = self.faults.engine(rule)
        self._engine.__enter__()

    def arm(self, rule: Rule) -> None:
        """From here on the rule holds."""
        self._rule = rule
        self.faults.arm(rule)

    def disarm(self) -> None:
        self._rule = None
        self.faults.disarm()

    def end(self) -> None:
        """Kills the engine, if it is there."""
        if self._engine:
            self._engine.__exit__(None, None, None)
        self._engine = None

    def prepare(self, stage: str) -> None:
        """Up to where the stage begins: an engine in step; nothing at all before the first."""
        self.disarm()
        if stage == "load":
            self.end()
            shutil.rmtree(self.followed.directory, ignore_errors=True)
            self._forget_slot()
        elif not self.is_alive:
            self.begin()
            self.load()

    def prove(self) -> None:
        """The proof of equality, in a life that nothing disturbs."""
        if not self.is_alive:
            self.begin()
        self.followed.wait_until_in_step(self.engine)
        self.followed.check()

    def strike(self, point: Point, witness: Callable[[], None] = lambda: None) -> bool:
        """Goes through a stage with a rule, and proves afterwards that nothing came of it.

        Returns whether the rule came into effect: how many calls there are is not the same each time. The witness looks
        at what is there when the engine has ended.
        """
        self.prepare(point.stage)
        if point.stage == "load":
            self.begin(point.rule)
        else:
            self.arm(point.rule)
        with contextlib.suppress(EngineEndedError):
            self.run(point.stage)
        has_struck = self.faults.has_struck()
        if has_struck and not self._fails:
            self.faults.wait_until_killed(self.engine)
        self.disarm()
        if not has_struck:
            return False
        log = self.engine.log
        self.end()
        try:
            witness()
            if point.loses_power:
                self.faults.lose_power()
            self.prove()
        except BaseException:
            after = self.engine.log if self._engine else ""
            sys.stderr.write(f"{point}\nthe life that ended so:\n{log}\nthe one after it:\n{after}\n")
            raise
        return True

    @property
    def _fails(self) -> bool:
        """Whether the rule lets calls fail, and ends nothing by itself."""
        return self._rule is not None and self._rule.action.startswith("error")

    def _until(self, is_so: Callable[[], bool], otherwise: str = "") -> None:
        """Waits for something that does not come any more where the engine has ended."""
        deadline = time.monotonic() + SECONDS_MAX
        while not is_so():
            if not self.is_alive or (self._fails and self.faults.has_struck()):
                raise EngineEndedError
            assert time.monotonic() < deadline, f"not in time: {otherwise}\n{self.engine.log}"
            time.sleep(0.01)

    # Stages.

    def run(self, stage: str) -> None:
        """Goes through a stage, to its end or the engine's."""
        stages = (self.load, self.follow, self.snapshot, self.segment, self.rebuild)
        dict(zip(STAGES, stages, strict=True))[stage]()

    def load(self) -> None:
        """From nothing, or from what there is, to a collection in step whose snapshot is written."""
        wanted = self.followed.position() - 1
        self._until(lambda: self.applied() > wanted)
        self._until(lambda: bool(self.snapshots()))

    def follow(self) -> None:
        """Three small transactions, each durable before the next."""
        key = next(self._keys)
        self.insert(key, 1)
        self.wait_until_durable()
        self.change("UPDATE {} SET n = n + 1, id = id + 1000000 WHERE id = %s", key)
        self.wait_until_durable()
        self.change("DELETE FROM {} WHERE id = %s", key + 1_000_000)
        self.wait_until_durable()

    def snapshot(self) -> None:
        """A transaction after which a snapshot is due."""
        before = self.snapshots()
        self.change("UPDATE {} SET body = repeat('y', 1000), n = n + 1 WHERE id < 200")
        self.wait_until_applied()
        # Two are kept.
        self._until(lambda: bool(self.snapshots() - before) and len(self.snapshots()) <= 2)

    def segment(self) -> None:
        """A transaction that fills a segment of the journal, and as many after it as let go of that segment."""
        before = self.segments()
        # Letters that take nothing in Postgres, and all of their bytes in the stream.
        self.change("UPDATE {0} SET body = repeat('x', 1000000) WHERE id IN (SELECT id FROM {0} ORDER BY id LIMIT 70)")
        self.wait_until_durable()
        self.change("UPDATE {} SET body = 'short' WHERE length(body) > 10000")
        while before & self.segments():
            self.snapshot()

    def rebuild(self) -> None:
        """A new collection in the place of the old, by the command."""
        command = [str(program()), "rebuild", "--data-dir", str(self.followed.directory), "--collection", "docs"]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            try:
                self._until(lambda: process.poll() is not None)
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            text = output.read().decode()
        if process.returncode != 0:
            # The engine ended, and the command perhaps before that was seen; or a call failed.
            self._until(lambda: False, otherwise=text)
        assert "proved equal" in text, text

    # Changes, and how far the engine has come.

    def change(self, statement: LiteralString, *values: object) -> None:
        """Runs SQL in which {} is the table, in a transaction."""
        with self.followed.connect() as connection, connection.transaction():
            connection.execute(sql.SQL(statement).format(sql.Identifier(self.followed.table)), values)
            place: LiteralString = "SELECT pg_current_wal_insert_lsn()::text"
            if self.followed.outbox:
                place = "SELECT '0/' || to_hex(pg_current_xact_id()::text::bigint)"
            row = connection.execute(place).fetchone()
        assert row is not None
        self.last_change = lsn_number(row[0])

    def insert(self, first: int, count: int) -> None:
        self.change(
            "INSERT INTO {} SELECT i, i, 'text ' || i, array_agg(sin(i * 0.7 + j))::vector"
            " FROM generate_series(%s::bigint, %s::bigint) AS i, generate_series(1, 16) AS j GROUP BY i",
            first,
            first + count - 1,
        )

    def wait_until_applied(self) -> None:
        """Until searches find the last change."""
        self._until(lambda: self.applied() > self.last_change)

    def wait_until_durable(self) -> None:
        """Until Postgres, too, knows that the engine has the last change for good."""
        self.wait_until_applied()
        self._until(lambda: self.acknowledged() > self.last_change)

    def applied(self) -> int:
        """The place of the collection; 0: it is not served."""
        try:
            return lsn_number(str(self.followed.statistics(self.engine)["applied_lsn"]))
        except VizinhoError:
            return 0

    def acknowledged(self) -> int:
        """How far Postgres knows that the engine has everything for good."""
        with self.followed.connect() as connection:
            if self.followed.outbox:
                row = connection.execute(
                    "SELECT '0/' || to_hex(confirmed::text::bigint) FROM vizinho.reader WHERE name = %s",
                    (self.followed.slot,),
                ).fetchone()
            else:
                row = connection.execute(
                    "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s",
                    (self.followed.slot,),
                ).fetchone()
        return lsn_number(row[0]) if row and row[0] else 0

    def snapshots(self) -> set[str]:
        return {path.name for path in self.followed.directory.glob(SNAPSHOT)}

    def segments(self) -> set[str]:
        return {path.name for path in self.followed.directory.glob(JOURNAL)}

    def _forget_slot(self) -> None:
        with self.followed.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots"
                " WHERE slot_name = %s AND active_pid IS NOT NULL",
                (self.followed.slot,),
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                (self.followed.slot,),
            )


@contextlib.contextmanager
def scenario_in(url: str, library: pathlib.Path, folder: pathlib.Path, outbox: bool = False) -> Iterator[Scenario]:
    """A table with its rows, and no engine yet."""
    name = unique_name("crash")
    columns: LiteralString = "id bigint PRIMARY KEY, n bigint, body text, embedding vector(16)"
    followed = Followed(url, folder.resolve() / "data", name, name, OPTIONS, outbox, SERVING)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), sql.SQL(columns)))
    scenario = Scenario(followed, library, folder / "faults")
    try:
        followed.prepare()
        scenario.insert(0, ROWS)
        yield scenario
    finally:
        scenario.end()
        clean_up(url, name)


def points(stage: str, calls: Mapping[tuple[str, str], int]) -> Iterator[Point]:
    """All that may go wrong in a stage, by how often it makes each kind of call."""
    for (call, path), count in sorted(calls.items()):
        for number in sorted({1, 2, 3, count // 2, count - 1, count} & set(range(1, count + 1))):
            for loses_power in (False, True):
                yield Point(stage, Rule(call, path, number), loses_power)
        if call == "pwrite":
            for number in sorted({1, count}):
                yield Point(stage, Rule(call, path, number, "torn"), loses_power=number == 1)
        if call in ("rename", "unlink"):
            yield Point(stage, Rule(call, path, 1, "after"), loses_power=True)
        if call != "acknowledge":
            yield Point(stage, Rule(call, path, 1, DISK_FULL if call == "pwrite" else DISK_BROKEN), loses_power=True)
    if stage in ("load", "rebuild"):
        for number in (1, 3, 6):
            yield Point(stage, Rule("receive", "socket", number))


def sweep(scenario: Scenario, stages: tuple[str, ...]) -> tuple[int, int]:
    """Goes through all points; returns how many there were, and how many of them were met."""
    surveys: dict[str, Mapping[tuple[str, str], int]] = {}
    for stage in STAGES:
        scenario.prepare(stage)
        if stage == "load":
            scenario.begin()
        known = 0 if stage == "load" else len(scenario.faults.calls())
        scenario.run(stage)
        surveys[stage] = counted(scenario.faults.calls()[known:])
    scenario.prove()
    tried = met = 0
    for stage in stages:
        for point in points(stage, surveys[stage]):
            begun = time.monotonic()
            has_struck = scenario.strike(point)
            tried, met = tried + 1, met + has_struck
            what = "equal after it" if has_struck else "did not come to pass"
            sys.stderr.write(f"{point}: {what} ({time.monotonic() - begun:.1f} s)\n")
    return tried, met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outbox", action="store_true", help="follow by the outbox, not by a slot")
    parser.add_argument("--stage", choices=STAGES, help="this one alone")
    parser.add_argument("--postgres-name", default="crash-points", help="of scripts/postgres; destroyed in the end")
    options = parser.parse_args()
    cluster = Cluster(options.postgres_name)
    cluster.start()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            built_library() as library,
            scenario_in(cluster.url, library, pathlib.Path(folder), options.outbox) as scenario,
        ):
            tried, met = sweep(scenario, (options.stage,) if options.stage else STAGES)
    finally:
        cluster.destroy()
    print(f"{met} of {tried} points met: equal after each")
    assert met > tried * 0.8, "the calls are too different from life to life to be met"


if __name__ == "__main__":
    main()
