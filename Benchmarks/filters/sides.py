"""The two sides: pgvector as Postgres plans it, and Vizinho over its wire. One connection each, one query at a time."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import NoReturn

import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import sql
from table import NAME, Filter, Floats
from vizinho import Client, ConnectionFailed

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / ".build" / "release" / "vizinho"
#: An engine that has not answered after so many seconds will not.
READY_SECONDS_MAX = 120

Hit = tuple[int, float]


def fail(message: str) -> NoReturn:
    sys.exit(f"filters: {message}")


class Postgres:
    """One connection. What plan a query gets is Postgres's business, but for the settings given."""

    def __init__(self, url: str, settings: dict[str, str]) -> None:
        self._connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
        register_vector(self._connection)
        # The library's settings exist when it is loaded.
        self._connection.execute("LOAD 'vector'")
        for name, value in settings.items():
            self._connection.execute(
                sql.SQL("SELECT set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
            )

    def search(self, query: Floats, k: int, condition: Filter) -> list[Hit]:
        text = f"SELECT id, embedding <=> %s AS distance FROM {NAME} WHERE {condition.sql} ORDER BY distance LIMIT %s"
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(text, (Vector(query), *condition.parameters, k), prepare=True).fetchall()

    def close(self) -> None:
        self._connection.close()


def exact(url: str) -> Postgres:
    """Without an index on vectors: every row that matches is compared."""
    return Postgres(url, {"enable_indexscan": "off"})


class Engine:
    """A Vizinho that is rebuilt from the table and serves it. A context manager that leaves nothing running."""

    def __init__(self, url: str, attributes: tuple[str, ...], storage: str) -> None:
        if not PROGRAM.is_file():
            fail(f"{PROGRAM} is missing: swift build -c release --product vizinho")
        self._folder = tempfile.TemporaryDirectory()
        begun = time.perf_counter()
        flags = ("--attributes", ",".join(attributes))
        source = ("--collection", NAME, "--table", NAME, "--metric", "cosine")
        subprocess.run(
            [PROGRAM, "rebuild", "--data-dir", self._folder.name, *source, "--storage", storage, *flags],
            env={**os.environ, "VIZINHO_POSTGRES": url},
            check=True,
        )
        self.rebuild_seconds = time.perf_counter() - begun
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [
                PROGRAM,
                "serve",
                "--data-dir",
                self._folder.name,
                "--listen",
                f"127.0.0.1:{port}",
                "--log-level",
                "warning",
            ]
        )
        self.client = Client(f"127.0.0.1:{port}")

    def __enter__(self) -> "Engine":
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            try:
                self.client.ping(timeout=2)
                return self
            except ConnectionFailed:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__(None, None, None)
                    fail("the engine did not start")
            time.sleep(0.1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self._folder.cleanup()
