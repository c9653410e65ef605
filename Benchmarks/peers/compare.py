"""Runs engines in turn on the same data, several rounds, and writes speed at equal recall: see Benchmarks/README.md."""

import argparse
import contextlib
import dataclasses
import datetime as dt
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

import engines
import report

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lib"))
from machine import machine
from options import check, task_of, task_parser
from summary import OURS, Round, summarize
from task import Exact, Point, Task, counts, digest
from vectors import VectorFileError

EFFORTS = (10, 12, 16, 20, 24, 32, 40, 56, 80, 112, 160, 224, 320, 448)


class EngineError(Exception):
    """A process that ended, or said something else than it should. The message is a sentence with its last words."""


class EngineProcess:
    """An engine that has built its index and waits to be told to sweep."""

    def __init__(self, launch: engines.Launch) -> None:
        self.name, self.threads = launch.name, launch.threads
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (_end closes it)
        self._process = subprocess.Popen(
            launch.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )

    def __enter__(self) -> "EngineProcess":
        try:
            line = self._line("while it built its index")
            if line != "ready":
                raise EngineError(f'{self.name} said {line!r} where "ready" was expected')
        except BaseException:
            self._end(kill=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(kill=error is not None)

    def sweep(self, threads: int) -> list[Point]:
        """One round: all settings once."""
        return [Point.from_json(point) for point in self.run(threads)]

    def run(self, threads: int) -> list[dict[str, Any]]:
        """One round, as the process tells it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"run {threads}\n")
            self._process.stdin.flush()
        points: list[dict[str, Any]] = json.loads(self._line("in a sweep"))
        if any(point["threads"] != threads for point in points):
            raise EngineError(f"{self.name} did not run with {threads} threads, as it was told to")
        return points

    def _line(self, when: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(f"{self.name} {ending(self._process.wait())} {when}{self._last_words()}")
        return line.strip()

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        return f": “{lines[-1]}”" if lines else ""

    def _end(self, kill: bool) -> None:
        if kill:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._said.close()


def ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


@dataclasses.dataclass
class Measured:
    """What a comparison yields. Each sentence of `left_out` is about an engine that could not run here."""

    rounds: list[Round]
    versions: dict[str, str]
    left_out: list[str]


def described(task: Task, exact: Exact) -> dict[str, Any]:
    """What a reader must know of the data and of what was done with them."""
    told = dataclasses.asdict(task)
    return {
        "base": task.base.name,
        "base_sha256": digest(task.base),
        "query": task.queries.name,
        "query_sha256": digest(task.queries),
        "rows": len(exact.base),
        "dimension": exact.base.shape[1],
        "queries": len(exact.queries),
        **{key: told[key] for key in ("metric", "k", "efforts", "links", "build_effort", "threads")},
    }


def measure(task: Task, chosen: dict[str, tuple[str, ...]], rounds_count: int) -> Measured:
    """Lets each of the engines build the storages chosen, and sweep. Engines are in the order of `chosen`."""
    measured = Measured([], {}, [])
    # All plans are made before the first build: what is missing is said at once.
    plans = [
        (name, plan(name, dataclasses.replace(task, storages=storages), measured)) for name, storages in chosen.items()
    ]
    with contextlib.ExitStack() as stack:
        # One builds after the other: each has the machine to itself.
        processes = [
            (name, process)
            for name, launches in plans
            for launch in launches
            if (process := start(name, launch, stack, measured)) is not None
        ]
        if not processes:
            raise EngineError("no engine is left to be measured")
        for i in range(rounds_count):
            points: Round = {name: [] for name, _ in processes}
            for threads in task.threads:
                # Forwards and backwards, so that none is always the one after a pause.
                for name, process in processes if i % 2 == 0 else processes[::-1]:
                    if threads in process.threads:
                        say(f"round {i + 1} of {rounds_count}: {process.name}, {report.threads(threads)}")
                        points[name].extend(process.sweep(threads))
            measured.rounds.append(points)
    return measured


def plan(name: str, task: Task, measured: Measured) -> list[engines.Launch]:
    """The engine's processes. Notes its version, or why it is left out."""
    engine = engines.engine(name)
    try:
        measured.versions[name] = engine.version()
    except engines.UnavailableError as error:
        leave_out(measured, f"{name}: {error}")
        return []
    return engine.launches(task)


def start(name: str, launch: engines.Launch, stack: contextlib.ExitStack, measured: Measured) -> EngineProcess | None:
    """The process, ready. None where it cannot run here, which is noted."""
    say(f"building {launch.name}")
    try:
        return stack.enter_context(EngineProcess(launch))
    except EngineError as error:
        if not engines.engine(name).optional:
            raise
        leave_out(measured, str(error))
        return None


def leave_out(measured: Measured, sentence: str) -> None:
    say(f"left out: {sentence}")
    measured.left_out.append(sentence)


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def choose(text: str, storages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The engines of --engines with the storages to measure; those of ours are `storages`. Throws ValueError."""
    chosen: dict[str, tuple[str, ...]] = {}
    known = engines.known()
    for part in sorted(known, key=in_all) if text == "all" else text.split(","):
        name, _, some = part.partition(":")
        if name not in known:
            raise ValueError(f"{name} is not one of {', '.join(known)}")
        if name in chosen:
            raise ValueError(f"{name} comes twice")
        if name == OURS:
            if some:
                raise ValueError(f"the storages of {name} are told by --storages")
            chosen[name] = storages
            continue
        offered = engines.engine(name).storages
        chosen[name] = tuple(some.split("+")) if some else offered
        strange = [storage for storage in chosen[name] if storage not in offered]
        if strange:
            raise ValueError(f"{name} has {', '.join(offered)}, and not {', '.join(strange)}")
    return chosen


def in_all(name: str) -> tuple[bool, bool, str]:
    """The order of --engines all: what others are held against first, ours last."""
    return name != "hnswlib", name == OURS, name


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = task_parser(
        "Benchmarks/peers/run", "Compares vector indexes at equal recall, on the same data, in one run.", rounds=5
    )
    parser.add_argument(
        "--engines",
        default="hnswlib,vizinho",
        help="the first is what others are held against; NAME or NAME:STORAGE+STORAGE, or all; "
        + "; ".join(f"{name} {'+'.join(engines.engine(name).storages)}".strip() for name in engines.known()),
    )
    parser.add_argument("--ef", type=counts, default=EFFORTS, help="candidate list sizes, as 10,20,40")
    parser.add_argument(
        "--threads",
        type=counts,
        default=(1,),
        help="for searches; builds use all processors. 1,2: both, and how they scale",
    )
    parser.add_argument(
        "--by-ef-alone",
        action="store_true",
        help="do not ask ours for recalls besides, which mislead where rows are copies, each a little changed",
    )
    got = parser.parse_args(arguments)
    try:
        got.chosen = choose(got.engines, got.storages)
    except ValueError as error:
        parser.error(f"--engines: {error}")
    check(parser, got)
    if min(got.ef) < got.k:
        parser.error(f"--ef: each at least --k, which is {got.k}")
    return got


def main() -> None:
    got = parse()
    with tempfile.TemporaryDirectory() as folder:
        task = dataclasses.replace(task_of(got, got.ef, folder), asks_recalls=not got.by_ef_alone)
        try:
            # The processes have their own vectors: ours are gone before they start.
            about_task = described(task, Exact.write(task))
            measured = measure(task, got.chosen, got.rounds)
        except (VectorFileError, EngineError) as error:
            sys.exit(str(error))

    now = dt.datetime.now(dt.UTC)
    about = {
        "measured_at": now.strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "engines": measured.versions,
        "left_out": measured.left_out,
        "rounds_count": got.rounds,
        "task": about_task,
    }
    found = summarize(measured.rounds)
    name = got.base.stem.removesuffix(".base")
    how = "-and-".join(map(str, got.threads)) + ("-thread" if got.threads == (1,) else "-threads")
    prefix = got.output / f"{now:%Y-%m-%d}-{name}-{got.metric}-{how}"
    report.write(prefix, about, measured.rounds, found)
    print(report.tables(found))
    print(f"\nwritten to {os.path.relpath(prefix)}.json, .md and .svg")


if __name__ == "__main__":
    main()
