"""Searches with filters, on Vizinho and on pgvector in turn, over how many rows match: see Benchmarks/README.md."""

import argparse
import dataclasses
import datetime as dt
import functools
import gzip
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from page import Measured, Series, write
from sides import Engine, Hit, Postgres, exact, fail
from table import NAME, Filter, Floats, Table, below, nearest_cells, of_document, shorter

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))
from machine import machine  # noqa: E402

SAMPLE = REPOSITORY / "data" / "debian-10k"
SHARES = (0.00001, 0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9)
# A region has about a thousandth of the rows: smaller shares cannot be made of whole ones.
CELL_SHARES = tuple(share for share in SHARES if share >= 0.001)
#: Of texts by their words, which come in whole numbers.
TEXT_SHARES = (0.01, 0.1, 0.5)
#: Distances of the engines differ by their rounding; rows that lie closer together count as tied.
TIE = 1e-5
SEED = 1

#: What is told to pgvector, by name. The plan is Postgres's own.
PGVECTOR = {
    "pgvector": {},
    "pgvector, ef 200": {"hnsw.ef_search": "200"},
    "pgvector, iterative": {"hnsw.iterative_scan": "strict_order"},
    "pgvector, iterative, ef 200": {"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": "200"},
}

Search = Callable[[Floats, Filter], list[Hit]]


@dataclasses.dataclass
class Workload:
    """One kind of filter at one size, with the exact answer for every query."""

    kind: str
    share: float
    conditions: list[Filter]
    kth: list[float]
    """Each query's k-th exact distance, or the last one where fewer match."""
    owed: list[int]

    @property
    def matching(self) -> float:
        return statistics.mean(int(condition.rows.sum()) for condition in self.conditions)


def workloads(table: Table, queries: Floats, k: int, reference: Postgres) -> Iterator[Workload]:
    kinds: dict[str, tuple[tuple[float, ...], Callable[[Floats, float], Filter]]] = {
        "anywhere": (SHARES, lambda _, share: below(table, share)),
        "near the query": (CELL_SHARES, lambda query, share: nearest_cells(table, query, share)),
        "far from the query": (CELL_SHARES, lambda query, share: nearest_cells(table, query, share, farthest=True)),
        "in the document of the nearest row": (
            (0.0,),
            lambda query, _: of_document(table, int(np.argmax(table.base @ query))),
        ),
        "where texts are short": (TEXT_SHARES, lambda _, share: shorter(table, share)),
    }
    for kind, (shares, make) in kinds.items():
        for share in shares:
            conditions = [make(query, share) for query in queries]
            answers = [reference.search(query, k, one) for query, one in zip(queries, conditions, strict=True)]
            owed = [min(k, int(condition.rows.sum())) for condition in conditions]
            # The two ways of counting have to agree before either is believed.
            if [len(answer) for answer in answers] != owed:
                fail(f"{kind}, {share}: Postgres's exact answers are not as many as the rows that match")
            kth = [answer[-1][1] if answer else -1.0 for answer in answers]
            yield Workload(kind, share, conditions, kth, owed)


def judge(table: Table, queries: Floats, workload: Workload, answers: list[list[Hit]]) -> tuple[float, int, int]:
    """Recall, how many answers are short, and how many rows lie outside the filter. Distances are computed anew."""
    found = short = outside = 0
    for query, condition, kth, owed, answer in zip(
        queries, workload.conditions, workload.kth, workload.owed, answers, strict=True
    ):
        # A row that came twice is one row.
        rows = np.unique(np.array([row for row, _ in answer], dtype=np.int64))
        inside = condition.rows[rows]
        outside += int((~inside).sum())
        short += len(rows) < owed
        found += int((inside & (1 - table.base[rows] @ query <= kth + TIE)).sum())
    owed_in_all = sum(workload.owed)
    return (min(1.0, found / owed_in_all) if owed_in_all else 1.0), short, outside


def measure(
    table: Table, queries: Floats, load: Workload, searches: dict[str, Search], rounds: int
) -> dict[str, Series]:
    """Lets the engines answer all queries in turn, round by round; the first round's answers are judged."""
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    judged: dict[str, tuple[float, int, int]] = {}
    for round_number in range(rounds + 1):
        for name, search in searches.items():
            begun = time.perf_counter()
            answers = [search(query, condition) for query, condition in zip(queries, load.conditions, strict=True)]
            taken = time.perf_counter() - begun
            if round_number == 0:
                # Caches are cold, and statements are planned anew: this round is not timed.
                judged[name] = judge(table, queries, load, answers)
            else:
                seconds[name].append(taken)
    return {name: Series(*judged[name], qps=len(queries) / statistics.median(seconds[name])) for name in searches}


def search_engine(engine: Engine, k: int, recall: float, query: Floats, condition: Filter) -> list[Hit]:
    result = engine.client.search(NAME, query, k, recall=recall, filter=condition.text)
    return list(zip(result.ids, result.distances.tolist(), strict=True))


def search_postgres(connection: Postgres, k: int, query: Floats, condition: Filter) -> list[Hit]:
    return connection.search(query, k, condition)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Benchmarks/filters/run", description=__doc__)
    parser.add_argument(
        "--base", type=pathlib.Path, default=pathlib.Path(f"{SAMPLE}.base.npy"), help="[rows, dimension], .npy"
    )
    parser.add_argument("--queries", type=pathlib.Path, default=pathlib.Path(f"{SAMPLE}.query.npy"))
    parser.add_argument(
        "--texts",
        type=pathlib.Path,
        default=pathlib.Path(f"{SAMPLE}.texts.jsonl.gz"),
        help="title and text of each row",
    )
    parser.add_argument("--queries-max", type=int, default=100, help="as many of them, evenly drawn (default: 100)")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--storages", default="int4x16", help="of Vizinho (default: int4x16)")
    parser.add_argument("--recalls", default="0.95,0.99", help="that Vizinho is asked for (default: 0.95,0.99)")
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "Benchmarks" / "results")
    parser.add_argument("--postgres", required=True, metavar="URL", help="an empty database; `run` names its own")
    return parser.parse_args()


def read_texts(path: pathlib.Path) -> list[tuple[str, str]]:
    """Title and text of each row, a JSON line each."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [(str(row.get("title", "")), str(row["text"])) for row in map(json.loads, lines)]


def unit(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def main() -> None:
    arguments = parse()
    base = unit(np.load(arguments.base).astype(np.float32))
    queries = unit(np.load(arguments.queries).astype(np.float32))
    if len(queries) > arguments.queries_max:
        queries = queries[np.linspace(0, len(queries) - 1, arguments.queries_max).astype(int)]
    table = Table.of(base, SEED, read_texts(arguments.texts))
    if len(table.title) != len(base):
        fail(f"{arguments.texts} has {len(table.title):,} texts and {arguments.base} has {len(base):,} rows")
    print(f"loading {len(base):,} rows into Postgres, with pgvector's index", file=sys.stderr, flush=True)
    table.load(arguments.postgres, graph=True)
    reference = exact(arguments.postgres)
    with Engine(arguments.postgres, ("share", "cell", "title", "words"), arguments.storages) as engine:
        searches: dict[str, Search] = {
            f"Vizinho, recall {recall}": functools.partial(search_engine, engine, arguments.k, float(recall))
            for recall in arguments.recalls.split(",")
        }
        for name, settings in PGVECTOR.items():
            connection = Postgres(arguments.postgres, settings)
            searches[name] = functools.partial(search_postgres, connection, arguments.k)
        measured = []
        for load in workloads(table, queries, arguments.k, reference):
            print(f"{load.kind}, {load.share:.3%}: {load.matching:,.0f} rows match", file=sys.stderr, flush=True)
            measured.append(
                Measured(
                    load.kind, load.share, load.matching, measure(table, queries, load, searches, arguments.rounds)
                )
            )
    now = dt.datetime.now(dt.UTC)
    prefix = (
        arguments.output / f"{now:%Y-%m-%d}-{arguments.base.name.removesuffix('.npy').removesuffix('.base')}-filters"
    )
    about = {
        "measured": f"{now:%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "base": arguments.base.name,
        "rows": len(base),
        "dimension": base.shape[1],
        "queries": len(queries),
        "k": arguments.k,
        "rounds": arguments.rounds,
        "storage": arguments.storages,
        "seed": SEED,
    }
    write(prefix, about, measured)
    print(f"\nwritten to {os.path.relpath(prefix)}.json, .md and .svg")


if __name__ == "__main__":
    main()
