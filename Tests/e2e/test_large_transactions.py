"""One transaction of very many rows, with parts of it taken back: it arrives, and the engine's memory stays bounded.

VIZINHO_TEST_TRANSACTION_ROWS is how many rows it has (100,000).
"""

import os
import pathlib
from typing import LiteralString

import psycopg
from engine import Engine
from following import followed_table
from psycopg import sql

ROWS = int(os.environ.get("VIZINHO_TEST_TRANSACTION_ROWS", "100000"))
COLUMNS: LiteralString = "id bigint PRIMARY KEY, n bigint, embedding vector(8)"
VECTOR: LiteralString = (
    "ARRAY[sin(i), cos(i), sin(i * 0.3), cos(i * 0.3), sin(i * 0.07), cos(i * 0.07), sin(i * 0.011), 1]::vector"
)
PARTS = 10
# What is gathered of a transaction before it is applied (64 MiB), the journal's buffers, and what an allocator keeps.
BYTES_MAX = 256 << 20


def memory(engine: Engine, what: str) -> int:
    """VmRSS, or the highest that it was (VmHWM), in bytes."""
    lines = pathlib.Path(f"/proc/{engine.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(what))


def forget_peak(engine: Engine) -> None:
    pathlib.Path(f"/proc/{engine.process.pid}/clear_refs").write_text("5")


def test_a_transaction_of_very_many_rows(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, "--attributes", "n") as followed:
        table = sql.Identifier(followed.table)

        def execute(connection: "psycopg.Connection[object]", statement: LiteralString, *values: int) -> None:
            connection.execute(sql.SQL(statement).format(table), values)

        with followed.connect() as connection:
            execute(connection, f"INSERT INTO {{}} SELECT i, i, {VECTOR} FROM generate_series(-1000, -1) AS i")
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            before = memory(engine, "VmRSS")
            with followed.connect(autocommit=False) as connection:
                for part in range(PARTS):
                    first, last = part * ROWS // PARTS, (part + 1) * ROWS // PARTS - 1
                    connection.execute("SAVEPOINT part")
                    execute(
                        connection,
                        f"INSERT INTO {{}} SELECT i, i, {VECTOR} FROM generate_series(%s::bigint, %s::bigint) AS i",
                        first,
                        last,
                    )
                    connection.execute("SAVEPOINT mistake")
                    execute(connection, "UPDATE {} SET n = -5 WHERE id BETWEEN %s AND %s", first, last)
                    execute(connection, "DELETE FROM {} WHERE id %% 3 = 0 AND id BETWEEN %s AND %s", first, last)
                    connection.execute("ROLLBACK TO SAVEPOINT mistake")
                    if part % 3 == 2:
                        # All of this part, and what came before stays.
                        connection.execute("ROLLBACK TO SAVEPOINT part")
                    else:
                        connection.execute("RELEASE SAVEPOINT part")
                execute(connection, "DELETE FROM {} WHERE id %% 10 = 4")
                assert followed.statistics(engine)["rows"] == 1_000, "nothing is seen of what is not committed"
            followed.wait_until_in_step(engine)
            followed.check()
            grown = memory(engine, "VmHWM") - before
            statistics = followed.statistics(engine)
            rows = statistics["rows"]
            index = sum(int(statistics[part]) for part in ("vector_bytes", "link_bytes", "id_bytes"))
            print(f"{rows} rows: from {before >> 20} MiB up to {grown >> 20} more, the index has {index >> 20}")
            assert grown < index + BYTES_MAX

            # The same rows again, none of which takes a new place: what is more is the transaction's.
            forget_peak(engine)
            before = memory(engine, "VmRSS")
            with followed.connect() as connection:
                execute(connection, "UPDATE {} SET n = n + 1")
            followed.wait_until_in_step(engine)
            followed.check()
            grown = memory(engine, "VmHWM") - before
            print(f"{rows} rows changed in one transaction: from {before >> 20} MiB up to {grown >> 20} more")
            assert grown < BYTES_MAX
