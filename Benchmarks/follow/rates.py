"""How soon a commit is found while rows change one by one at a rate, and others search."""

import multiprocessing
import os
import pathlib
import re
import subprocess
import tempfile
import time
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np
import psycopg
import vizinho
from pgvector.psycopg import register_vector
from subject import ADDRESS, COLLECTION, TABLE, Floats, Numbers, Server, change, percentiles, say

#: Sessions that write at a rate: one waits for the disk at each commit, several share the wait.
SESSIONS = 8
#: Until the rate is steady.
WARM_SECONDS = 1.5


def script(kind: str, rows: int) -> str:
    """One change, for pgbench."""
    draw = f"\\set id random(0, {rows - 1})\n"
    if kind == "attribute":
        return draw + f"\\set value random(0, 99)\nUPDATE {TABLE} SET tenant = :value WHERE id = :id;\n"
    return (
        draw
        + f"\\set other random(0, {rows - 1})\n"
        + f"UPDATE {TABLE} SET embedding = (SELECT embedding FROM {TABLE} WHERE id = :other) WHERE id = :id;\n"
    )


def read_report(text: str) -> Numbers:
    """What pgbench says at its end."""
    rate = re.search(r"^tps = ([0-9.]+)", text, re.MULTILINE)
    late = re.search(r"^rate limit schedule lag: avg [0-9.]+ \(max ([0-9.]+)\) ms", text, re.MULTILINE)
    latency = re.search(r"^latency average = ([0-9.]+) ms", text, re.MULTILINE)
    if rate is None or latency is None:
        raise ValueError(f"pgbench did not say how it went:\n{text}")
    return {
        "rows_a_second": round(float(rate[1]), 1),
        "latest_seconds": round(float(late[1]) / 1e3, 3) if late else 0.0,
        "commit_ms": float(latency[1]),
    }


def start_writing(url: str, pgbench: str, kind: str, rate: float, rows: int, seconds: float) -> "subprocess.Popen[str]":
    """Changes rows, each in a transaction of its own. What is late is made up for, never left out."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql", delete=False) as file:
        file.write(script(kind, rows))
    # Its user may be another than Postgres's own.
    pathlib.Path(file.name).chmod(0o644)
    command = [
        *(pgbench, "--no-vacuum", "--protocol", "prepared", "--client", str(SESSIONS), "--jobs", "1"),
        *("--rate", str(rate), "--time", str(int(np.ceil(seconds))), "--random-seed", "5", "--file", file.name, url),
    ]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def search(queries: Floats, end: Event, out: "multiprocessing.Queue[Numbers]") -> None:
    """Searches, one after the other."""
    latencies: list[float] = []
    with vizinho.Client(ADDRESS, timeout=10) as client:
        i = 0
        while not end.is_set():
            started = time.perf_counter()
            client.search(COLLECTION, queries[i % len(queries)], k=10)
            latencies.append(time.perf_counter() - started)
            i += 1
    out.put(percentiles(latencies))


class Searcher:
    """Another process, which searches until it is told to end."""

    def __init__(self, queries: Floats) -> None:
        context = multiprocessing.get_context("spawn")
        self.end, self.out = context.Event(), context.Queue()
        self.process = context.Process(target=search, args=(queries, self.end, self.out))
        self.process.start()

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    def stop(self) -> Numbers:
        self.end.set()
        found: Numbers = self.out.get()
        self.process.join()
        return found


def probe(url: str, kind: str, base: Floats, seconds: float) -> dict[str, Any]:
    """From the return of COMMIT to the return of a search that contains it, with the question for the token."""
    random = np.random.default_rng(9)
    fresh: list[float] = []
    ends = time.perf_counter() + seconds
    with psycopg.connect(url, autocommit=True) as connection, vizinho.Client(ADDRESS, timeout=30) as client:
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
    server: Server, pgbench: str, name: str, kind: str, rate: float, base: Floats, queries: Floats, seconds: float
) -> Numbers:
    """One rate: writers, a searcher and a prober at once."""
    say(f"{name} …")
    searcher = Searcher(queries)
    writing = start_writing(server.url, pgbench, kind, rate, len(base), WARM_SECONDS + seconds + 1) if rate else None
    time.sleep(WARM_SECONDS)
    mine = [os.getpid(), searcher.pid, *([writing.pid] if writing else [])]
    before = server.moment(mine)
    fresh = probe(server.url, kind, base, seconds)
    used = server.moment(mine).since(before)
    searched = searcher.stop()
    written: Numbers = {"rows_a_second": 0.0, "latest_seconds": 0.0, "commit_ms": 0.0}
    if writing:
        written = read_report(writing.communicate()[0])
    result: Numbers = {"phase": name, "kind": kind, "asked_rate": rate, **written}
    return result | {"fresh_ms": fresh, "search_ms": searched, "processors": used}
