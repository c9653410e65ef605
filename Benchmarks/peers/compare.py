"""Runs engines in turn on the same data, several rounds, and writes speed at equal recall: see Benchmarks/README.md."""

import argparse
import contextlib
import dataclasses
import datetime as dt
import importlib
import json
import os
import pathlib
import pkgutil
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

import engines
import numpy as np
import report
from summary import summarize
from task import METRICS, Point, Task, digest, efforts, kth_distances, load

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
EFFORTS = (10, 12, 16, 20, 24, 32, 40, 56, 80, 112, 160, 224, 320, 448)
# What tells processors of one name apart, as far as these engines use it.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "asimd", "asimddp", "sve")


class EngineProcess:
    """An engine that has built its index and waits to be told to sweep."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "EngineProcess":
        try:
            self._wait_until_ready()
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

    def sweep(self) -> list[Point]:
        """One round: all efforts once."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return [Point.from_json(point) for point in json.loads(self._line())]

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with exit code {self._process.wait()}")
        return line.strip()

    def _wait_until_ready(self) -> None:
        line = self._line()
        if line != "ready":
            sys.exit(f'{self.name} said {line!r} where "ready" was expected')

    def _end(self, kill: bool) -> None:
        if kill:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()


def measure(task: Task, names: list[str], rounds_count: int) -> tuple[list[dict[str, list[Point]]], dict[str, str]]:
    """The points of every round, by engine; and the engines' versions."""
    modules = {name: importlib.import_module(f"engines.{name}") for name in names}
    with contextlib.ExitStack() as stack:
        processes = []
        # One builds after the other: each has the machine to itself.
        for name, module in modules.items():
            print(f"building {name}", file=sys.stderr, flush=True)
            processes.append(stack.enter_context(EngineProcess(name, module.command(task))))
        rounds = []
        for i in range(rounds_count):
            points: dict[str, list[Point]] = {name: [] for name in names}
            # Forwards and backwards, so that none is always the one after a pause.
            for process in processes if i % 2 == 0 else processes[::-1]:
                print(f"round {i + 1} of {rounds_count}: {process.name}", file=sys.stderr, flush=True)
                points[process.name] = process.sweep()
            rounds.append(points)
    return rounds, {name: module.version() for name, module in modules.items()}


def machine() -> dict[str, Any]:
    """What a reader must know of the machine to read the numbers."""
    lines = [line.partition(":") for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()]
    fields = {key.strip(): value.strip() for key, _, value in lines if value}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", "an unnamed processor"),
        "family_and_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags),
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    known = sorted(module.name for module in pkgutil.iter_modules(engines.__path__))
    parser = argparse.ArgumentParser(
        prog="Benchmarks/peers/run",
        description="Compares vector indexes at equal recall, on the same data, in one run.",
    )
    sample = REPOSITORY / "data" / "debian-10k"
    parser.add_argument("--base", type=pathlib.Path, default=f"{sample}.base.npy", help="[rows, dimension], .npy")
    parser.add_argument(
        "--queries", type=pathlib.Path, default=f"{sample}.query.npy", help="[queries, dimension], .npy"
    )
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument(
        "--engines", default="hnswlib,vizinho", help=f"the first is what others are held against: {known}"
    )
    parser.add_argument("--ef", type=efforts, default=EFFORTS, help="candidate list sizes, as 10,20,40")
    parser.add_argument("--m", type=int, default=16, help="links of a node (default: 16)")
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="for searches; builds use all processors")
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "Benchmarks" / "results", help="a folder")
    got = parser.parse_args(arguments)
    got.engines = got.engines.split(",")
    unknown = [name for name in got.engines if name not in known]
    if unknown:
        parser.error(f"--engines: {', '.join(unknown)} is not one of {', '.join(known)}")
    if min(got.k, got.rounds, got.threads, got.m, got.ef_construction) < 1:
        parser.error("--k, --m, --ef-construction, --rounds and --threads: 1 or more")
    if min(got.ef) < got.k:
        parser.error(f"--ef: each at least --k, which is {got.k}")
    return got


def main() -> None:
    got = parse()
    base, queries = load(got.base, got.metric), load(got.queries, got.metric)
    if base.ndim != 2 or queries.ndim != 2 or base.shape[1] != queries.shape[1] or len(base) < got.k:
        sys.exit(
            f"base {base.shape} and queries {queries.shape} do not belong together, or there are fewer rows than k"
        )
    with tempfile.TemporaryDirectory() as folder:
        truth = pathlib.Path(folder) / "truth.npy"
        np.save(truth, kth_distances(base, queries, got.metric, got.k))
        task = Task(
            base=got.base.resolve(),
            queries=got.queries.resolve(),
            metric=got.metric,
            k=got.k,
            efforts=got.ef,
            links=got.m,
            build_effort=got.ef_construction,
            threads=got.threads,
            truth=truth,
        )
        rounds, versions = measure(task, got.engines, got.rounds)

    now = dt.datetime.now(dt.UTC)
    about = {
        "measured_at": now.strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "engines": versions,
        "rounds_count": got.rounds,
        "task": {
            "base": got.base.name,
            "base_sha256": digest(got.base),
            "query": got.queries.name,
            "query_sha256": digest(got.queries),
            "rows": len(base),
            "dimension": base.shape[1],
            "queries": len(queries),
            **{
                key: value
                for key, value in dataclasses.asdict(task).items()
                if key in {"metric", "k", "efforts", "links", "build_effort", "threads"}
            },
        },
    }
    found = summarize(rounds)
    name = got.base.name.removesuffix(".npy").removesuffix(".base")
    prefix = got.output / f"{now:%Y-%m-%d}-{name}-{got.metric}-{report.threads(got.threads).replace(' ', '-')}"
    report.write(prefix, about, rounds, found)
    print(report.table(found))
    print(f"\nwritten to {os.path.relpath(prefix)}.json, .md and .svg")


if __name__ == "__main__":
    main()
