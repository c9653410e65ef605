"""A random workload with random kills: whatever happens, the engine ends up with exactly what the table has.

    python soak.py --rounds 200 --seed 1 --postgres-name soak

A round is some transactions of every kind, from several sessions at once, while one thing goes wrong: the engine is
killed (and started again), Postgres is killed, the connection is cut, stalls or trickles. It ends with the proof of
equality. The seed decides the workload and the faults; when exactly they meet is chance.
"""

import argparse
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np
import psycopg
from engine import REPOSITORY, Engine
from following import Followed, clean_up, unique_name
from pgvector import Vector
from pgvector.psycopg import register_vector
from proxy import Proxy
from psycopg import sql

DIMENSION = 600  # long enough that vectors lie outside of their rows
KEYS = 400
FAULTS = (
    "none",
    "kill engine",
    "kill engine twice",
    "stop engine",
    "kill postgres",
    "cut",
    "stall",
    "trickle",
    "refuse",
)


class Cluster:
    """A throw-away Postgres that may be killed."""

    def __init__(self, name: str) -> None:
        self._environment = {**os.environ, "VIZINHO_PG_NAME": name}
        self.url = self._run("url") if self._is_running() else ""

    def _is_running(self) -> bool:
        script = REPOSITORY / "scripts" / "postgres"
        done = subprocess.run([script, "status"], env=self._environment, capture_output=True, check=False)
        return done.returncode == 0

    def _run(self, command: str) -> str:
        script = REPOSITORY / "scripts" / "postgres"
        done = subprocess.run(
            [script, command],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.strip()

    def start(self) -> None:
        self._run("start")
        self.url = self._run("url")

    def kill(self) -> None:
        """SIGKILL to the postmaster; its children notice."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        os.kill(int(row[0].split()[0]), signal.SIGKILL)
        time.sleep(0.5)

    def stop(self) -> None:
        self._run("stop")

    def destroy(self) -> None:
        self._run("destroy")


class Writer:
    """One session of the workload."""

    def __init__(self, followed: Followed, seed: int) -> None:
        self._followed = followed
        self._random = random.Random(seed)
        self._vectors = np.random.default_rng(seed)

    def run(self, transactions: int) -> None:
        """Does so many transactions; one that fails (a deadlock, a Postgres that was killed) is left out."""
        connection: psycopg.Connection[Any] | None = None
        for _ in range(transactions):
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self._followed.url)
                    register_vector(connection)
                self._transaction(connection)
            except (psycopg.OperationalError, psycopg.errors.IntegrityError, psycopg.ProgrammingError):
                with contextlib.suppress(psycopg.Error):
                    if connection is not None:
                        connection.rollback()
                        connection.close()
                connection = None
                time.sleep(0.05)
        if connection is not None:
            connection.close()

    def _vector(self) -> Vector | None:
        roll = self._random.random()
        if roll < 0.05:
            return None
        if roll < 0.08:
            return Vector(np.zeros(DIMENSION))
        return Vector(self._vectors.standard_normal(DIMENSION).astype(np.float32))

    def _text(self) -> str | None:
        roll = self._random.random()
        if roll < 0.1:
            return None
        return self._vectors.bytes(self._random.choice([3, 900, 3000]) // 2).hex()

    def _transaction(self, connection: "psycopg.Connection[Any]") -> None:
        for _ in range(self._random.choice([1, 1, 1, 2, 5, 20])):
            savepoint = self._random.random() < 0.1
            if savepoint:
                connection.execute("SAVEPOINT s")
            self._change(connection)
            if savepoint and self._random.random() < 0.5:
                connection.execute("ROLLBACK TO SAVEPOINT s")
        if self._random.random() < 0.1:
            connection.rollback()
        else:
            connection.commit()

    def _change(self, connection: "psycopg.Connection[Any]") -> None:
        table = sql.Identifier(self._followed.table)
        key = self._random.randrange(KEYS)
        choice = self._random.random()
        if choice < 0.40:
            connection.execute(
                sql.SQL(
                    "INSERT INTO {} VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET n = excluded.n,"
                    " body = excluded.body, embedding = excluded.embedding"
                ).format(table),
                (key, self._random.randrange(100), self._text(), self._vector()),
            )
        elif choice < 0.60:
            connection.execute(
                sql.SQL("UPDATE {} SET n = %s WHERE id = %s").format(table), (self._random.randrange(100), key)
            )
        elif choice < 0.68:
            connection.execute(sql.SQL("UPDATE {} SET body = %s WHERE id = %s").format(table), (self._text(), key))
        elif choice < 0.76:
            connection.execute(
                sql.SQL("UPDATE {} SET embedding = %s WHERE id = %s").format(table), (self._vector(), key)
            )
        elif choice < 0.84:
            connection.execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(table), (key,))
        elif choice < 0.92:
            other = self._random.randrange(KEYS)
            connection.execute(
                sql.SQL("UPDATE {0} SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM {0} WHERE id = %s)").format(
                    table
                ),
                (other, key, other),
            )
        elif choice < 0.995:
            connection.execute(
                sql.SQL("UPDATE {} SET n = n + 1 WHERE id BETWEEN %s AND %s").format(table), (key, key + 20)
            )
        else:
            connection.execute(sql.SQL("TRUNCATE {}").format(table))


def soak(
    cluster: Cluster,
    rounds: int,
    seed: int,
    directory: pathlib.Path,
    faults: tuple[str, ...] = FAULTS,
    outbox: bool = False,
) -> None:
    """Runs rounds until one fails, which raises."""
    choices = random.Random(seed)
    name = unique_name("soak")
    columns = sql.SQL("id bigint PRIMARY KEY, n bigint, body text, embedding vector({})").format(sql.Literal(DIMENSION))
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), columns))
    followed = Followed(cluster.url, directory, name, name, ("--attributes", "n", "--payload", "body"), outbox)
    with tempfile.TemporaryDirectory() as sockets, Proxy(cluster.url, pathlib.Path(sockets)) as proxy:
        through = Followed(
            proxy.url, directory, name, name, (*followed.options, "--snapshot-after-bytes", "400000"), outbox
        )
        followed.prepare()
        engine = through.engine()
        engine.__enter__()
        try:
            followed.wait_until_in_step(engine)
            for number in range(rounds):
                fault = choices.choice(faults)
                sys.stderr.write(f"round {number + 1} of {rounds}, seed {seed}: {fault}\n")
                engine = _round(followed, through, engine, cluster, proxy, fault, choices)
                try:
                    followed.wait_until_in_step(engine)
                    followed.check()
                except BaseException:
                    sys.stderr.write(engine.log[-20_000:])
                    raise
        finally:
            engine.__exit__(None, None, None)
            clean_up(cluster.url, name)


def _round(
    followed: Followed,
    through: Followed,
    engine: Engine,
    cluster: Cluster,
    proxy: Proxy,
    fault: str,
    choices: random.Random,
) -> Engine:
    writers = [Writer(followed, choices.randrange(1 << 30)) for _ in range(2)]
    threads = [threading.Thread(target=writer.run, args=(choices.randrange(10, 60),)) for writer in writers]
    for thread in threads:
        thread.start()
    time.sleep(choices.random() * 0.5)
    if "engine" in fault:
        engine = _end_engine(through, engine, fault, choices)
    elif fault == "kill postgres":
        cluster.kill()
        cluster.start()
    elif fault != "none":
        _disturb(proxy, fault, choices)
    for thread in threads:
        thread.join()
    return engine


def _end_engine(through: Followed, engine: Engine, fault: str, choices: random.Random) -> Engine:
    for again in range(2 if fault == "kill engine twice" else 1):
        engine.end(by=signal.SIGTERM if fault == "stop engine" else signal.SIGKILL)
        engine.__exit__(None, None, None)
        engine = through.engine()
        engine.__enter__()
        if again == 0:
            time.sleep(choices.random() * 0.3)
    return engine


def _disturb(proxy: Proxy, fault: str, choices: random.Random) -> None:
    if fault == "cut":
        for _ in range(choices.randrange(1, 4)):
            proxy.cut()
            time.sleep(choices.random() * 0.3)
        return
    proxy.mode = fault
    if fault == "refuse":
        proxy.cut()
    time.sleep(choices.random() * 2)
    if choices.random() < 0.5:
        proxy.cut()
    proxy.mode = "pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outbox", action="store_true", help="follow by the outbox, not by a slot")
    parser.add_argument("--postgres-name", default="soak", help="of scripts/postgres; destroyed in the end")
    options = parser.parse_args()
    cluster = Cluster(options.postgres_name)
    cluster.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            soak(cluster, options.rounds, options.seed, pathlib.Path(directory), outbox=options.outbox)
    finally:
        cluster.destroy()
    print(f"{options.rounds} rounds, seed {options.seed}: equal after each")


if __name__ == "__main__":
    main()
