"""Runs engines in turn at inserting rows into an index that is there, several rounds: see Benchmarks/README.md."""

import argparse
import contextlib
import dataclasses
import datetime as dt
import os
import sys
import tempfile

import engines
from compare import EngineError, EngineProcess, described, say
from insertion import Insertion, InsertionRound, rows_before, write_insertions
from machine import machine
from options import check, task_of, task_parser
from report import threads
from summary import OURS
from task import Exact, Task, counts
from vectors import VectorFileError

#: The first is what the other is held against.
ENGINES = ("hnswlib", OURS)


def measure_insertions(task: Task, chosen: dict[str, list[engines.Launch]], rounds_count: int) -> list[InsertionRound]:
    """Lets each of the engines build, one after the other, and then insert in turn."""
    rounds: list[InsertionRound] = []
    with contextlib.ExitStack() as stack:
        processes = []
        for name, launches in chosen.items():
            for launch in launches:
                say(f"building {launch.name}")
                processes.append((name, stack.enter_context(EngineProcess(launch))))
        for i in range(rounds_count):
            one: InsertionRound = {name: [] for name, _ in processes}
            for count in task.threads:
                # Forwards and backwards, so that none is always the one after a pause.
                for name, process in processes if i % 2 == 0 else processes[::-1]:
                    say(f"round {i + 1} of {rounds_count}: {process.name}, {threads(count)}")
                    one[name].extend(Insertion.from_json(said) for said in process.run(count))
            rounds.append(one)
    return rounds


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = task_parser(
        "Benchmarks/peers/run --insert",
        f"Inserts the last rows into an index of those before, by {' and '.join(ENGINES)} in turn.",
        rounds=3,
    )
    parser.add_argument("--percent", type=int, default=20, help="of the rows that are inserted (default: 20)")
    parser.add_argument("--ef", type=int, default=64, help="at which recall is measured after it")
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--threads",
        type=counts,
        default=(1, cores) if cores > 1 else (1,),
        help="that insert; builds use all processors (default: one, then all)",
    )
    got = parser.parse_args(arguments)
    if not 0 < got.percent < 100:
        parser.error("--percent: from 1 to 99")
    check(parser, got)
    if got.ef < got.k:
        parser.error(f"--ef: at least --k, which is {got.k}")
    return got


def main() -> None:
    got = parse()
    with tempfile.TemporaryDirectory() as folder:
        task = task_of(got, (got.ef,), folder)
        try:
            versions = {name: engines.engine(name).version() for name in ENGINES}
            about_task = described(task, Exact.write(task))
            if rows_before(about_task["rows"], got.percent) == about_task["rows"]:
                sys.exit(f"{got.percent} % of {about_task['rows']} rows are none")
            launches = {
                name: engines.engine(name).insertions(storages_of(name, task, got.storages), got.percent)
                for name in ENGINES
            }
            rounds = measure_insertions(task, launches, got.rounds)
        except (VectorFileError, EngineError, engines.UnavailableError) as error:
            sys.exit(str(error))

    now = dt.datetime.now(dt.UTC)
    about = {
        "measured_at": now.strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "engines": versions,
        "left_out": [],
        "rounds_count": got.rounds,
        "percent": got.percent,
        "task": about_task,
    }
    prefix = got.output / f"{now:%Y-%m-%d}-{got.base.stem.removesuffix('.base')}-{got.metric}-insert"
    print(write_insertions(prefix, about, rounds))
    print(f"\nwritten to {os.path.relpath(prefix)}.json and .md")


def storages_of(name: str, task: Task, ours: tuple[str, ...]) -> Task:
    """The task with the storages that are measured of an engine."""
    return dataclasses.replace(task, storages=ours if name == OURS else engines.engine(name).storages)


if __name__ == "__main__":
    main()
