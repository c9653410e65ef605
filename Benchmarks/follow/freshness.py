"""How soon what commits in Postgres is found by a search, while rows change and searches run: see Benchmarks/README.md.

Everything is on one machine: Postgres, the engine, those who write and those who search share its processors.
"""

import argparse
import contextlib
import datetime as dt
import json
import multiprocessing
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any, TypeAlias

import numpy as np
import psycopg
import vizinho
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import sql

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))
from machine import machine  # noqa: E402

PROGRAM = REPOSITORY / ".build" / "release" / "vizinho"
TABLE, COLLECTION = "follow_bench", "follow_bench"
Floats: TypeAlias = NDArray[np.float32]
Numbers: TypeAlias = dict[str, Any]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Benchmarks/follow/run", description=__doc__)
    parser.add_argument("--postgres", required=True, help="a Postgres with pgvector and wal_level = logical")
    parser.add_argument("--base", type=pathlib.Path, default=REPOSITORY / "data" / "debian-10k.base.npy")
    parser.add_argument("--queries", type=pathlib.Path, default=REPOSITORY / "data" / "debian-10k.query.npy")
    parser.add_argument("--rates", default="100,1000", help="rows a second")
    parser.add_argument("--seconds", type=float, default=15, help="of each rate")
    parser.add_argument("--burst", type=int, default=50_000, help="rows that are changed at once")
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "Benchmarks" / "results")
    return parser.parse_args()


def load(url: str, base: Floats) -> float:
    """Fills the table; returns the seconds that it took."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(connection)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(TABLE)))
        connection.execute(
            sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, tenant bigint, embedding vector({}))").format(
                sql.Identifier(TABLE), sql.Literal(base.shape[1])
            )
        )
        started = time.perf_counter()
        with connection.cursor() as cursor:
            statement = sql.SQL("COPY {} FROM STDIN WITH (FORMAT binary)").format(sql.Identifier(TABLE))
            with cursor.copy(statement) as copy:
                copy.set_types(["int8", "int8", "vector"])
                for i, vector in enumerate(base):
                    copy.write_row((i, i % 100, Vector(vector)))
        return time.perf_counter() - started


def percentiles(values: list[float]) -> dict[str, float]:
    """Of seconds, in milliseconds."""
    if not values:
        return {}
    p50, p95, p99 = np.percentile(np.array(values) * 1e3, [50, 95, 99])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "p99": round(float(p99), 3), "count": len(values)}


def write(url: str, kind: str, rate: float, base: Floats, end: Event, seed: int, out: "Queue[Numbers]") -> None:
    """Changes rows at a rate, each in a transaction of its own. What is late is made up for, never left out."""
    random = np.random.default_rng(seed)
    done, late = 0, 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        register_vector(connection)
        started = time.perf_counter()
        while not end.is_set():
            due = started + done / rate
            now = time.perf_counter()
            if now < due:
                time.sleep(due - now)
            late = max(late, now - due)
            change(connection, kind, int(random.integers(len(base))), base, random)
            done += 1
        seconds = time.perf_counter() - started
    out.put({"rows_a_second": done / seconds, "latest_seconds": late})


def change(
    connection: "psycopg.Connection[Any]", kind: str, key: int, base: Floats, random: np.random.Generator
) -> None:
    table = sql.Identifier(TABLE)
    if kind == "attribute":
        connection.execute(
            sql.SQL("UPDATE {} SET tenant = %s WHERE id = %s").format(table),
            (int(random.integers(100)), key),
            prepare=True,
        )
    else:
        connection.execute(
            sql.SQL("UPDATE {} SET embedding = %s WHERE id = %s").format(table),
            (Vector(base[int(random.integers(len(base)))]), key),
            binary=True,
            prepare=True,
        )


def search(address: str, queries: Floats, end: Event, out: "Queue[Numbers]") -> None:
    """Searches, one after the other."""
    latencies: list[float] = []
    with vizinho.Client(address, timeout=10) as client:
        i = 0
        while not end.is_set():
            started = time.perf_counter()
            client.search(COLLECTION, queries[i % len(queries)], k=10)
            latencies.append(time.perf_counter() - started)
            i += 1
    out.put(percentiles(latencies))


def probe(url: str, address: str, kind: str, base: Floats, seconds: float) -> dict[str, Any]:
    """From the return of COMMIT to the return of a search that contains it, with the question for the token."""
    random = np.random.default_rng(9)
    fresh: list[float] = []
    ends = time.perf_counter() + seconds
    with psycopg.connect(url, autocommit=True) as connection, vizinho.Client(address, timeout=30) as client:
        register_vector(connection)
        while time.perf_counter() < ends:
            key = int(random.integers(len(base)))
            change(connection, kind, key, base, random)
            committed = time.perf_counter()
            client.search(COLLECTION, base[key], k=10, after=vizinho.position_of(connection), wait=20)
            fresh.append(time.perf_counter() - committed)
            time.sleep(0.01)
    return percentiles(fresh)


def phase(
    url: str, address: str, name: str, kind: str, rate: float, base: Floats, queries: Floats, seconds: float
) -> dict[str, Any]:
    """One rate: a writer, a searcher and a prober at once."""
    print(f"{name} …", file=sys.stderr, flush=True)
    context = multiprocessing.get_context("spawn")
    end, out_search, out_write = context.Event(), context.Queue(), context.Queue()
    workers = [context.Process(target=search, args=(address, queries, end, out_search))]
    if rate:
        workers.append(context.Process(target=write, args=(url, kind, rate, base, end, 5, out_write)))
    for worker in workers:
        worker.start()
    time.sleep(1.5)
    fresh = probe(url, address, kind, base, seconds)
    end.set()
    searched = out_search.get()
    written = out_write.get() if rate else {"rows_a_second": 0.0, "latest_seconds": 0.0}
    for worker in workers:
        worker.join()
    return {"phase": name, "kind": kind, "asked_rate": rate, **written, "fresh_ms": fresh, "search_ms": searched}


def burst(url: str, address: str, base: Floats, queries: Floats, rows: int) -> dict[str, Any]:
    """Many vectors changed in one transaction: when they are visible, when they are linked, and what searches pay."""
    print(f"a burst of {rows:,} rows …", file=sys.stderr, flush=True)
    context = multiprocessing.get_context("spawn")
    end, out = context.Event(), context.Queue()
    searcher = context.Process(target=search, args=(address, queries, end, out))
    rows = min(rows, len(base))
    with psycopg.connect(url) as connection, vizinho.Client(address, timeout=120) as client:
        started = time.perf_counter()
        # Every vector becomes that of another row.
        connection.execute(
            sql.SQL(
                "UPDATE {0} AS t SET embedding = o.embedding FROM {0} AS o WHERE t.id < %s AND o.id = (t.id + 7) %% %s"
            ).format(sql.Identifier(TABLE)),
            (rows, len(base)),
        )
        connection.commit()
        committed = time.perf_counter()
        searcher.start()
        token = vizinho.position_of(connection)
        client.search(COLLECTION, queries[0], k=10, after=token, wait=60)
        visible = time.perf_counter()
        tail_most = 0
        while True:
            tail = int(client.statistics(COLLECTION)["tail_rows"])
            tail_most = max(tail_most, tail)
            if tail == 0:
                break
            time.sleep(0.05)
        linked = time.perf_counter()
    end.set()
    searched = out.get()
    searcher.join()
    return {
        "rows": rows,
        "statement_seconds": round(committed - started, 3),
        "visible_seconds": round(visible - committed, 3),
        "linked_seconds": round(linked - committed, 3),
        "tail_rows_most": tail_most,
        "search_ms": searched,
    }


def sustained(url: str, address: str, base: Floats, queries: Floats, kind: str) -> dict[str, Any]:
    """How many rows a second one session changes, a hundred in a transaction, and how fast they are applied."""
    print(f"sustained, {kind} …", file=sys.stderr, flush=True)
    rows = 20_000
    with psycopg.connect(url) as connection, vizinho.Client(address, timeout=120) as client:
        register_vector(connection)
        started = time.perf_counter()
        for first in range(0, rows, 100):
            if kind == "attribute":
                connection.execute(
                    sql.SQL("UPDATE {} SET tenant = tenant + 1 WHERE id >= %s AND id < %s").format(
                        sql.Identifier(TABLE)
                    ),
                    (first % len(base), first % len(base) + 100),
                )
            else:
                connection.execute(
                    sql.SQL(
                        "UPDATE {0} AS t SET embedding = o.embedding FROM {0} AS o"
                        " WHERE t.id >= %s AND t.id < %s AND o.id = (t.id + 11) %% %s"
                    ).format(sql.Identifier(TABLE)),
                    (first % len(base), first % len(base) + 100, len(base)),
                )
            connection.commit()
        committed = time.perf_counter()
        client.search(COLLECTION, queries[0], k=10, after=vizinho.position_of(connection), wait=60)
        applied = time.perf_counter()
    return {
        "kind": kind,
        "rows": rows,
        "written_rows_a_second": round(rows / (committed - started)),
        "applied_rows_a_second": round(rows / (applied - started)),
        "behind_seconds": round(applied - committed, 3),
    }


def run_program(*arguments: str | pathlib.Path) -> str:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"vizinho {arguments[0]}: {done.stderr}")
    return done.stdout + done.stderr


def restart_times(command: list[str], address: str, change_many: Callable[[], vizinho.Position]) -> dict[str, float]:
    """Seconds until it serves and is in step: after a clean end, after SIGKILL, and with changes to catch up."""
    times: dict[str, float] = {}
    process = start(command, address)
    for name in ("clean", "killed", "behind"):
        if name == "clean":
            process.terminate()
        else:
            process.kill()
        process.wait()
        token = change_many() if name == "behind" else None
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until_served(address)
        with vizinho.Client(address, timeout=300) as client:
            times[f"{name}_served"] = round(time.perf_counter() - started, 3)
            wait_until_in_step(client, token)
            times[f"{name}_in_step"] = round(time.perf_counter() - started, 3)
    process.kill()
    process.wait()
    return times


def start(command: list[str], address: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_served(address)
    return process


def wait_until_served(address: str) -> None:
    while True:
        with contextlib.suppress(vizinho.VizinhoError), vizinho.Client(address, retries=0) as client:
            if any(one.name == COLLECTION for one in client.collections()):
                return
        time.sleep(0.01)


def wait_until_in_step(client: vizinho.Client, token: vizinho.Position | None) -> None:
    while True:
        numbers = client.statistics(COLLECTION)
        reached = token is None or vizinho.LSN.parse(str(numbers["applied_lsn"])) >= token.applied_lsn
        if numbers["follow_state"] == "in step" and reached:
            return
        time.sleep(0.01)


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
    print(f"loading {len(base):,} rows into Postgres …", file=sys.stderr)
    load(options.postgres, base)
    name = "follow_bench"
    clean_up(options.postgres, name)
    with tempfile.TemporaryDirectory() as directory:
        source = ["--postgres", options.postgres, "--table", TABLE, "--metric", "cosine", "--attributes", "tenant"]
        run_program("prepare", *source, "--publication", name, "--apply")
        address = "127.0.0.1:7799"
        command = [
            str(PROGRAM), "serve", "--data-dir", directory, "--listen", address, *source, "--slot", name,
            *("--publication", name, "--collection", COLLECTION),
        ]  # fmt: skip
        process = start(command, address)
        try:
            phases = [phase(options.postgres, address, "no changes but the probe's", "attribute", 0, base, queries, 5)]
            for rate in [float(text) for text in options.rates.split(",")]:
                for kind in ("attribute", "vector"):
                    title = f"{kind}s, {rate:,.0f} a second"
                    phases.append(phase(options.postgres, address, title, kind, rate, base, queries, options.seconds))
            result["phases"] = phases
            result["sustained"] = [
                sustained(options.postgres, address, base, queries, kind) for kind in ("attribute", "vector")
            ]
            result["burst"] = burst(options.postgres, address, base, queries, options.burst)
            with vizinho.Client(address) as client:
                wait_until_in_step(client, None)
            started = time.perf_counter()
            run_program("verify", "--data-dir", directory, "--collection", COLLECTION)
            result["verify_seconds"] = round(time.perf_counter() - started, 3)
            process.kill()
            process.wait()

            def change_many() -> vizinho.Position:
                with psycopg.connect(options.postgres) as connection:
                    for first in range(0, 100_000, 1_000):
                        connection.execute(
                            sql.SQL("UPDATE {} SET tenant = tenant + 1 WHERE id %% %s = %s").format(
                                sql.Identifier(TABLE)
                            ),
                            (max(1, len(base) // 1_000), first // 1_000 % max(1, len(base) // 1_000)),
                        )
                        connection.commit()
                    return vizinho.position_of(connection)

            result["restart_seconds"] = restart_times(command, address, change_many)
        finally:
            process.kill()
            process.wait()
            clean_up(options.postgres, name)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{result['date']}-{result['base'].removesuffix('.base')}-follow.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    print(f"written: {path}", file=sys.stderr)


def clean_up(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(50):
            try:
                connection.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
                )
                break
            except psycopg.errors.ObjectInUse:
                time.sleep(0.1)
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))


if __name__ == "__main__":
    main()
