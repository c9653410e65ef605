"""Loads passages with their vectors into a Postgres table, by binary COPY.

The table holds id (the row of the array, from 0), title, summary, body and embedding, and what there is to filter by:
kind, language, parts and length. Those follow from the title, as from a Debian package's name, where the texts do not
say them. The table is made anew every time, in one transaction: until the commit everybody sees the old one. A table
that this program did not make is not touched.
"""

import argparse
import gzip
import json
import os
import pathlib
import re
import sys
import time
from collections.abc import Iterator
from typing import Any, LiteralString, NoReturn

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector
from psycopg import sql

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "data" / "debian-10k"
# Says on the table that it came from here, hence may be replaced.
MARK = "Loaded by scripts/load-sample."
# pgvector's own bounds of a column's dimension.
DIMENSION_MAX = {"vector": 16_000, "halfvec": 16_000}

# How Debian's policies name the packages of a language.
LANGUAGES = (
    ("python", r"python3?-.+"),
    ("perl", r"lib.+-perl"),
    ("rust", r"librust-.+"),
    ("go", r"golang-.+"),
    ("haskell", r"libghc-.+|haskell-.+"),
    ("javascript", r"node-.+|libjs-.+"),
    ("ruby", r"ruby-.+"),
    ("r", r"r-(cran|bioc|other)-.+"),
    ("java", r"lib.+-java(-doc)?"),
    ("ocaml", r"lib.+-ocaml(-dev)?"),
    ("php", r"php[0-9.]*-.+"),
    ("lisp", r"elpa-.+|cl-.+"),
)


def fail(message: str) -> NoReturn:
    sys.exit(f"load-sample: {message}")


def read_texts(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def language_of(package: str) -> str | None:
    """The language that a Debian package's name tells, or None."""
    return next((language for language, pattern in LANGUAGES if re.fullmatch(pattern, package)), None)


def kind_of(package: str) -> str:
    """What a Debian package is for, by its name."""
    if package.endswith("-dev"):
        return "development"
    if package.endswith(("-doc", "-docs")):
        return "documentation"
    if package.endswith(("-data", "-common")) or package.startswith("fonts-"):
        return "data"
    return "library" if package.startswith("lib") else "program"


def fields_of(text: dict[str, Any]) -> tuple[str, str, str, str, str | None, list[str], int]:
    """The table's columns between id and embedding, of one line of texts."""
    title, body = text.get("title", ""), text.get("text", text.get("body", ""))
    kind, language = text.get("kind", kind_of(title)), text.get("language", language_of(title))
    parts = text.get("parts", [part for part in re.split(r"[-+.\s]+", title) if part])
    return title, text.get("summary", ""), body, kind, language, parts, len(body)


def read_base(path: pathlib.Path, element_type: str) -> NDArray[Any]:
    """Maps the array; [rows, dimension] of floats."""
    try:
        base: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        fail(f"cannot read {path}: {error}")
    if base.ndim != 2 or base.dtype.kind != "f":
        fail(f"{path} holds {base.dtype} of shape {base.shape}: expected [rows, dimension] of floats")
    if not 1 <= base.shape[1] <= DIMENSION_MAX[element_type]:
        fail(f"{path} has {base.shape[1]} dimensions: a {element_type} column holds 1 to {DIMENSION_MAX[element_type]}")
    return base


def create_table(connection: psycopg.Connection, table: sql.Identifier, element_type: str, dimension: int) -> None:
    """Makes the table anew. Refuses to replace one that did not come from here."""
    name = table.as_string(connection)
    found = connection.execute(
        "SELECT obj_description(oid, 'pg_class'), relkind FROM pg_class WHERE oid = to_regclass(%s)", [name]
    ).fetchone()
    if found is not None:
        if found != (MARK, "r"):
            fail(f"{name} exists and was not made by this script: name another table, or drop it yourself")
        connection.execute(sql.SQL("DROP TABLE {}").format(table))
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} (id bigint PRIMARY KEY, title text NOT NULL, summary text NOT NULL, body text NOT NULL,"
            " kind text NOT NULL, language text, parts text[] NOT NULL, length int NOT NULL, embedding {}({}) NOT NULL)"
        ).format(table, sql.SQL(type_name(element_type)), sql.Literal(dimension))
    )
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(MARK)))


def type_name(element_type: str) -> LiteralString:
    return "halfvec" if element_type == "halfvec" else "vector"


def copy_rows(
    connection: psycopg.Connection,
    table: sql.Identifier,
    element_type: str,
    base: NDArray[Any],
    texts: Iterator[dict[str, Any]],
) -> None:
    """Streams the rows in; fails where the texts do not match the vectors in number."""
    wrap = HalfVector if element_type == "halfvec" else Vector
    shows_progress = sys.stderr.isatty()
    columns = "id, title, summary, body, kind, language, parts, length, embedding"
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, sql.SQL(columns))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int8", "text", "text", "text", "text", "text", "text[]", "int4", element_type])
        row = -1
        for row, text in enumerate(texts):
            if row >= len(base):
                fail(f"there are more texts than the {len(base):,} vectors")
            copy.write_row((row, *fields_of(text), wrap(base[row])))
            if shows_progress and row % 2_000 == 0:
                print(f"\r    {row:,} of {len(base):,} rows", end="", file=sys.stderr, flush=True)
        if shows_progress:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if row + 1 != len(base):
            fail(f"there are {row + 1:,} texts but {len(base):,} vectors")


def load(url: str, table_name: str, element_type: str, base_path: pathlib.Path, texts_path: pathlib.Path) -> str:
    """Loads one set; returns what was done, to be printed."""
    base = read_base(base_path, element_type)
    table = sql.Identifier(*table_name.split(".", 1))
    begun = time.monotonic()
    with psycopg.connect(url, connect_timeout=10) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(connection)
        create_table(connection, table, element_type, base.shape[1])
        copy_rows(connection, table, element_type, base, read_texts(texts_path))
    with psycopg.connect(url, connect_timeout=10, autocommit=True) as connection:
        connection.execute(sql.SQL("ANALYZE {}").format(table))
    seconds = time.monotonic() - begun
    return f"{len(base):,} rows of {element_type}({base.shape[1]}) in table {table_name}, {seconds:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/load-sample", description="Loads passages and their vectors into a Postgres table."
    )
    parser.add_argument("--base", type=pathlib.Path, help="the vectors, .npy (default: the sample's)")
    parser.add_argument("--texts", type=pathlib.Path, help="a JSON line for each vector: title, summary, text")
    parser.add_argument("--table", default="passages", help="[schema.]table, made anew (default: passages)")
    parser.add_argument("--type", choices=sorted(DIMENSION_MAX), default="vector", help="of the column embedding")
    parser.add_argument(
        "--postgres",
        metavar="URL",
        default=os.environ.get("VIZINHO_POSTGRES"),
        help="where (default: $VIZINHO_POSTGRES, else the instance of scripts/postgres)",
    )
    arguments = parser.parse_args()
    if (arguments.base is None) != (arguments.texts is None):
        parser.error("--base and --texts belong together")
    if arguments.postgres is None:
        parser.error("--postgres URL is missing")
    base = arguments.base or pathlib.Path(f"{SAMPLE}.base.npy")
    texts = arguments.texts or pathlib.Path(f"{SAMPLE}.texts.jsonl.gz")
    try:
        print(f"    {load(arguments.postgres, arguments.table, arguments.type, base, texts)}")
    except psycopg.Error as error:
        fail(str(error).strip())
    except (OSError, json.JSONDecodeError) as error:
        fail(f"cannot read {texts}: {error}")


if __name__ == "__main__":
    main()
