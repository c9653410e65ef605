"""The table that is followed, the server that follows it, and how one waits for it."""

import contextlib
import pathlib
import re
import subprocess
import sys
import time
from typing import Any, TypeAlias

import numpy as np
import psycopg
import vizinho
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from processors import Moment, parent
from psycopg import sql

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / ".build" / "release" / "vizinho"
TABLE = COLLECTION = NAME = "follow_bench"
ADDRESS = "127.0.0.1:7799"
Floats: TypeAlias = NDArray[np.float32]
Numbers: TypeAlias = dict[str, Any]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
        seconds = time.perf_counter() - started
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(TABLE)))
        return seconds


def change(
    connection: "psycopg.Connection[Any]", kind: str, key: int, base: Floats, random: np.random.Generator
) -> None:
    """One row, in a transaction of its own."""
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


def change_range(url: str, kind: str, rows: int, of: int, in_each: int, shift: int) -> None:
    """The first rows, so many in a transaction, one transaction after the other, none of them waited for.

    A vector becomes that of the row `shift` further on.
    """
    if kind == "attribute":
        update = f"UPDATE {TABLE} SET tenant = tenant + 1 WHERE id >= i AND id < i + {in_each} AND id < {rows}"
    else:
        update = (
            f"UPDATE {TABLE} AS t SET embedding = o.embedding FROM {TABLE} AS o"
            f" WHERE t.id >= i AND t.id < i + {in_each} AND t.id < {rows} AND o.id = (t.id + {shift}) % {of}"
        )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        block = f"DO $$ BEGIN FOR i IN 0..{rows - 1} BY {in_each} LOOP {update}; COMMIT; END LOOP; END $$"
        connection.execute(sql.SQL(block))


def clean_up(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(50):
            try:
                connection.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE %s",
                    (f"{NAME}%",),
                )
                break
            except psycopg.errors.ObjectInUse:
                time.sleep(0.1)
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(NAME)))


def run_program(*arguments: str | pathlib.Path) -> str:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"vizinho {arguments[0]}: {done.stderr}")
    return done.stdout + done.stderr


class Server:
    """The program, following the table, in a data directory of its own."""

    def __init__(self, url: str, directory: pathlib.Path) -> None:
        self.url = url
        self.directory = directory / "data"
        self.log = directory / "log"
        self.source = ["--postgres", url, "--table", TABLE, "--metric", "cosine", "--attributes", "tenant"]
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        run_program("prepare", *self.source, "--publication", NAME, "--apply")

    def launch(self) -> None:
        command = [
            str(PROGRAM), "serve", "--data-dir", str(self.directory), "--listen", ADDRESS, *self.source,
            *("--slot", NAME, "--publication", NAME, "--collection", COLLECTION),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self) -> None:
        self.launch()
        self.wait_until_served()

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "it runs"
        return self.process.pid

    def client(self, timeout: float = 300) -> vizinho.Client:
        return vizinho.Client(ADDRESS, timeout=timeout)

    def wait_until_served(self) -> None:
        while True:
            if self.process is not None and self.process.poll() is not None:
                sys.exit(f"vizinho serve ended:\n{self.log.read_text(errors='replace')[-2_000:]}")
            with contextlib.suppress(vizinho.VizinhoError), vizinho.Client(ADDRESS, retries=0) as client:
                if any(one.name == COLLECTION for one in client.collections()):
                    return
            time.sleep(0.01)

    def logged(self, message: str) -> dict[str, str]:
        """What the newest line that ends with a message says beside it."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.endswith(message)]
        return dict(re.findall(r"(\w+)=(\S+)", lines[-1])) if lines else {}

    def moment(self, mine: "list[int] | None" = None) -> Moment:
        """What the server's threads, Postgres's processes and our own (`mine`) have used up to now."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute("SELECT backend_type, pid FROM pg_stat_activity").fetchall()
            postmaster = parent(connection.info.backend_pid)
        backends: dict[str, list[int]] = {}
        for kind, process in found:
            backends.setdefault(f"Postgres: {kind}", []).append(process)
        return Moment({"server": self.pid}, {**backends, "benchmark": mine or []}, {"Postgres": postmaster})


def wait_until_in_step(client: vizinho.Client, token: vizinho.Position | None) -> None:
    while True:
        numbers = client.statistics(COLLECTION)
        reached = token is None or vizinho.LSN.parse(str(numbers["applied_lsn"])) >= token.applied_lsn
        if numbers["follow_state"] == "in step" and reached:
            return
        time.sleep(0.01)


def wait_until_linked(client: vizinho.Client) -> int:
    """Returns the most rows that were seen to wait."""
    most = 0
    while tail := int(client.statistics(COLLECTION)["tail_rows"]):
        most = max(most, tail)
        time.sleep(0.02)
    return most


def percentiles(values: list[float]) -> dict[str, float]:
    """Of seconds, in milliseconds."""
    if not values:
        return {}
    p50, p95, p99 = np.percentile(np.array(values) * 1e3, [50, 95, 99])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "p99": round(float(p99), 3), "count": len(values)}
