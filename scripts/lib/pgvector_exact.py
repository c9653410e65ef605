"""pgvector's exact answer: every row is compared, no index is used. What other answers are held against."""

from typing import Any, LiteralString

import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import sql

# The two engines add up in another order. Passages whose distances differ by less than this count as tied.
TIE = 1e-5


class ExactSearch:
    """Asks one table for nearest rows by cosine distance. Keeps its connection, and prepares the query on it."""

    def __init__(self, url: str, table: str, column: str = "embedding") -> None:
        self._connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
        register_vector(self._connection)
        self._connection.execute("SET enable_indexscan = off")
        self._column, self._table = sql.Identifier(column), sql.Identifier(*table.split(".", 1))

    def search(self, vector: NDArray[Any], k: int, where: LiteralString = "TRUE") -> list[tuple[int, float]]:
        """The k nearest rows that meet a condition as (id, cosine distance), nearest first."""
        query = sql.SQL("SELECT id, {} <=> %s AS distance FROM {} WHERE {} ORDER BY distance LIMIT %s").format(
            self._column, self._table, sql.SQL(where)
        )
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(query, (Vector(vector), k), prepare=True).fetchall()

    def passages(self, table: str, ids: list[int]) -> dict[int, tuple[str, str, str]]:
        """Title, summary and body of rows, by id."""
        rows = self._connection.execute(
            sql.SQL("SELECT id, title, summary, body FROM {} WHERE id = ANY(%s)").format(
                sql.Identifier(*table.split(".", 1))
            ),
            [ids],
        )
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def close(self) -> None:
        self._connection.close()


def agreeing(answer: list[tuple[int, float]], exact: list[tuple[int, float]]) -> int:
    """How many of the answer's distances belong to an exact answer of that length. Ties count, and order does not.

    The ids of an answer are distinct, so what lies within the k-th exact distance is one of the k nearest, or tied.
    """
    if not exact:
        return 0
    farthest = exact[-1][1] + TIE
    return sum(distance <= farthest for _, distance in answer[: len(exact)])
