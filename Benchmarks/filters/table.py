"""The table that both engines search: vectors, and columns to filter by."""

import dataclasses
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector

NAME = "filtered"
#: The number of regions that the rows are parted into, each row with the nearest of so many rows drawn at random.
CELLS = 1_000
ROWS_AT_ONCE = 1 << 14

Floats = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows in memory: what a filter is checked against."""

    base: Floats
    """[rows, dimension], unit length."""
    share: NDArray[np.float64]
    """[rows], uniform in [0, 1)."""
    cell: NDArray[np.int64]
    """[rows], the row's region."""
    centres: Floats
    """[CELLS, dimension]."""
    tenant: NDArray[np.int64]
    """[rows]; 0 where there are none."""
    title: NDArray[np.str_]
    """[rows]: the document that the row is from; empty where there are no texts."""
    words: NDArray[np.int64]
    """[rows]: how many words its text has."""

    @staticmethod
    def of(
        base: Floats, seed: int, texts: list[tuple[str, str]] | None = None, tenant: NDArray[np.int64] | None = None
    ) -> "Table":
        """Makes the columns; `texts` are each row's title and text."""
        random = np.random.default_rng(seed)
        rows = len(base)
        centres = base[random.choice(rows, size=min(CELLS, rows), replace=False)]
        cell = np.empty(rows, dtype=np.int64)
        for first in range(0, rows, ROWS_AT_ONCE):
            cell[first : first + ROWS_AT_ONCE] = np.argmax(base[first : first + ROWS_AT_ONCE] @ centres.T, axis=1)
        if tenant is None:
            tenant = np.zeros(rows, np.int64)
        if texts is None:
            texts = [("", "")] * rows
        title = np.array([title for title, _ in texts])
        words = np.array([len(text.split()) for _, text in texts], dtype=np.int64)
        return Table(base, random.random(rows), cell, centres, tenant, title, words)

    def load(self, url: str, graph: bool) -> None:
        """Makes the table in Postgres, each column that is filtered by indexed and, if asked for, the vectors."""
        with psycopg.connect(url) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            register_vector(connection)
            connection.execute(f"DROP TABLE IF EXISTS {NAME}")
            connection.execute(
                f"CREATE TABLE {NAME} (id bigint PRIMARY KEY, share float8 NOT NULL, cell bigint NOT NULL,"
                " tenant bigint NOT NULL, title text NOT NULL, words bigint NOT NULL,"
                f" embedding vector({self.base.shape[1]}) NOT NULL)"
            )
            statement = f"COPY {NAME} (id, share, cell, tenant, title, words, embedding) FROM STDIN (FORMAT BINARY)"
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.set_types(["int8", "float8", "int8", "int8", "text", "int8", "vector"])
                columns = (self.share, self.cell, self.tenant, self.title, self.words)
                for row, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
                    copy.write_row((row, *values, Vector(self.base[row])))
            for column in ("share", "cell", "tenant", "title", "words"):
                connection.execute(f"CREATE INDEX ON {NAME} ({column})")
            if graph:
                connection.execute("SET maintenance_work_mem = '2GB'")
                connection.execute(
                    f"CREATE INDEX ON {NAME} USING hnsw (embedding vector_cosine_ops)"
                    " WITH (m = 16, ef_construction = 200)"
                )
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"VACUUM ANALYZE {NAME}")


@dataclasses.dataclass(frozen=True)
class Filter:
    """A condition for one query, in both languages, and the rows that it is TRUE of."""

    text: str
    """As Vizinho reads it."""
    sql: str
    """As a condition for Postgres, with %s for its parameters."""
    parameters: tuple[Any, ...]
    rows: NDArray[np.bool_]


def below(table: Table, share: float) -> Filter:
    """About so large a share of all rows, drawn at random."""
    return Filter(f"share < {share!r}", "share < %s", (share,), table.share < share)


def nearest_cells(table: Table, query: Floats, share: float, *, farthest: bool = False) -> Filter:
    """The regions nearest to a query, or farthest from it, until they have so large a share of the rows."""
    order = np.argsort(table.centres @ query)
    if not farthest:
        order = order[::-1]
    counts = np.bincount(table.cell, minlength=len(table.centres))[order]
    taken = int(np.searchsorted(np.cumsum(counts), share * len(table.base))) + 1
    cells = sorted(order[:taken].tolist())
    rows = np.isin(table.cell, cells)
    return Filter(f"cell in ({', '.join(map(str, cells))})", "cell = ANY(%s)", (cells,), rows)


def of_document(table: Table, row: int) -> Filter:
    """The rows of a row's document."""
    title = str(table.title[row])
    quoted = title.replace("'", "''")
    return Filter(f"title = '{quoted}'", "title = %s", (title,), table.title == title)


def shorter(table: Table, share: float) -> Filter:
    """The rows with the fewest words, about so large a share."""
    words = int(np.quantile(table.words, share))
    return Filter(f"words < {words}", "words < %s", (words,), table.words < words)


def of_tenant(table: Table, tenant: int) -> Filter:
    return Filter(f"tenant = {tenant}", "tenant = %s", (tenant,), table.tenant == tenant)
