"""How soon what commits in Postgres is found by a search, how many rows go through, and what bounds that.

Benchmarks/README.md tells how to read it.

Everything is on one machine: Postgres, the engine, those who write and those who search share its processors.
"""

import argparse
import datetime as dt
import json
import pathlib
import signal
import sys
import tempfile
import time
from typing import Any

import numpy as np
from bulk import burst, loading, restarts, streamed, sustained
from rates import phase
from subject import COLLECTION, REPOSITORY, Floats, Server, clean_up, load, run_program, say, wait_until_in_step

sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))
from machine import machine

PARTS = ("rates", "stream", "sustained", "burst", "verify", "restarts")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Benchmarks/follow/run", description=__doc__)
    parser.add_argument("--postgres", required=True, help="a Postgres with pgvector and wal_level = logical")
    parser.add_argument("--pgbench", default="pgbench", help="the program, of Postgres 15 or later")
    parser.add_argument("--base", type=pathlib.Path, default=REPOSITORY / "data" / "debian-10k.base.npy")
    parser.add_argument("--queries", type=pathlib.Path, default=REPOSITORY / "data" / "debian-10k.query.npy")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--rates", default="100,1000", help="rows a second, each in a transaction of its own")
    parser.add_argument("--seconds", type=float, default=15, help="of each rate")
    parser.add_argument(
        "--rows",
        type=int,
        default=50_000,
        help="that come in the stream: in one transaction, in hundreds, and a fifth of them singly",
    )
    parser.add_argument("--burst", type=int, default=50_000, help="rows that are changed at once")
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "Benchmarks" / "results")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    return options


def measure(options: argparse.Namespace, server: Server, base: Floats, queries: Floats) -> dict[str, Any]:
    """Each part that is asked for, one after the other."""
    result: dict[str, Any] = {}
    # What every other part begins with.
    result["load"] = loading(server, len(base))
    if "rates" in options.parts:
        phases = [phase(server, options.pgbench, "no changes but the probe's", "attribute", 0, base, queries, 5)]
        for rate in [float(text) for text in options.rates.split(",")]:
            for kind in ("attribute", "vector"):
                title = f"{kind}s, {rate:,.0f} a second"
                phases.append(phase(server, options.pgbench, title, kind, rate, base, queries, options.seconds))
        result["phases"] = phases
    if "stream" in options.parts:
        shapes = [(options.rows, options.rows), (options.rows, 100), (options.rows // 5, 1)]
        result["stream"] = [
            streamed(server, base, queries, kind, rows, in_each, 13 + number)
            for number, (rows, in_each) in enumerate(shapes)
            for kind in ("attribute", "vector")
        ]
    if "sustained" in options.parts:
        result["sustained"] = [sustained(server, base, queries, kind) for kind in ("attribute", "vector")]
    if "burst" in options.parts:
        result["burst"] = burst(server, base, queries, options.burst)
    if "verify" in options.parts:
        with server.client() as client:
            wait_until_in_step(client, None)
        started = time.perf_counter()
        run_program("verify", "--data-dir", server.directory, "--collection", COLLECTION)
        result["verify_seconds"] = round(time.perf_counter() - started, 3)
    if "restarts" in options.parts:
        result["restart_seconds"] = restarts(server, base)
    return result


def main() -> None:
    options = parse()
    base: Floats = np.load(options.base).astype(np.float32)
    queries: Floats = np.load(options.queries).astype(np.float32)
    result: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine(),
        "base": options.base.stem,
        "rows": len(base),
        "dimension": int(base.shape[1]),
    }
    say(f"loading {len(base):,} rows into Postgres …")
    load(options.postgres, base)
    clean_up(options.postgres)
    with tempfile.TemporaryDirectory() as directory:
        server = Server(options.postgres, pathlib.Path(directory))
        server.prepare()
        try:
            result |= measure(options, server, base, queries)
        finally:
            server.end(signal.SIGKILL)
            clean_up(options.postgres)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{result['date']}-{result['base'].removesuffix('.base')}-follow.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    say(f"written: {path}")


if __name__ == "__main__":
    main()
