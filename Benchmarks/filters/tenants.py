"""Searches of tenants, thousands in one collection, on Vizinho and on Postgres in turn: see Benchmarks/README.md."""

import argparse
import datetime as dt
import json
import os
import pathlib
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from selectivity import REPOSITORY, SAMPLE, SEED, TIE, unit
from sides import Engine, Hit, exact
from table import NAME, Filter, Floats, Table, of_tenant

sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))
from machine import machine

#: Tenants are told apart by size: the bounds of the rows of the table.
BUCKETS = (10, 30, 100, 300, 1_000, 5_001)


def sizes(tenants: int, rows: int, least: int, most: int, seed: int) -> NDArray[np.int64]:
    """Sizes with a long tail, from `least` to `most`, whose sum is as near to `rows` as a power law comes."""
    random = np.random.default_rng(seed).random(tenants)

    def drawn(exponent: float) -> NDArray[np.int64]:
        # The inverse of the distribution function of x^-exponent between the bounds.
        power = 1 - exponent
        ends = least**power, (most + 1) ** power
        size: NDArray[np.int64] = np.floor((ends[0] + (ends[1] - ends[0]) * random) ** (1 / power)).astype(np.int64)
        return size

    low, high = 1.01, 6.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if drawn(middle).sum() > rows else (low, middle)
    return drawn(high)


def owners(size: NDArray[np.int64], rows: int, seed: int) -> NDArray[np.int64]:
    """[rows]: each row's tenant, in random order, from 1 on; rows that are left over belong to tenant 0."""
    tenant = np.zeros(rows, dtype=np.int64)
    filled = np.repeat(np.arange(1, len(size) + 1), size)[:rows]
    tenant[: len(filled)] = filled
    return np.random.default_rng(seed).permutation(tenant)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Benchmarks/filters/run --tenants", description=__doc__)
    parser.add_argument(
        "--base", type=pathlib.Path, default=pathlib.Path(f"{SAMPLE}.base.npy"), help="[rows, dimension], .npy"
    )
    parser.add_argument("--queries", type=pathlib.Path, default=pathlib.Path(f"{SAMPLE}.query.npy"))
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--least", type=int, default=10, help="rows of a tenant")
    parser.add_argument("--most", type=int, default=5_000)
    parser.add_argument("--searches", type=int, default=5_000, help="by as many tenants, drawn alike (default: 5000)")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--storages", default="int4x16", help="of Vizinho (default: int4x16)")
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "Benchmarks" / "results")
    parser.add_argument("--postgres", required=True, metavar="URL", help="an empty database; `run` names its own")
    return parser.parse_args()


def quantiles(seconds: list[float]) -> dict[str, float]:
    return {"p50": float(np.quantile(seconds, 0.5)) * 1e3, "p99": float(np.quantile(seconds, 0.99)) * 1e3}


def wrong(table: Table, query: Floats, condition: Filter, hits: list[Hit], expected: list[Hit]) -> bool:
    """Whether an answer is short, has another tenant's row, or misses one of the nearest."""
    rows = np.array([row for row, _ in hits], dtype=np.int64)
    if len(set(rows.tolist())) != len(expected) or not condition.rows[rows].all():
        return True
    return bool((1 - table.base[rows] @ query > expected[-1][1] + TIE).any())


def main() -> None:
    arguments = parse()
    base = unit(np.load(arguments.base).astype(np.float32))
    queries = unit(np.load(arguments.queries).astype(np.float32))
    size = sizes(arguments.tenants, len(base), arguments.least, arguments.most, SEED)
    table = Table.of(base, SEED, tenant=owners(size, len(base), SEED))
    counts = np.bincount(table.tenant, minlength=arguments.tenants + 1)
    print(f"loading {len(base):,} rows of {arguments.tenants:,} tenants into Postgres", file=sys.stderr, flush=True)
    table.load(arguments.postgres, graph=False)
    random = np.random.default_rng(SEED)
    times: dict[str, dict[int, list[float]]] = {"Vizinho": {}, "Postgres": {}}
    mistakes = 0
    postgres = exact(arguments.postgres)
    with Engine(arguments.postgres, ("tenant",), arguments.storages) as engine:
        # The first so many are not timed.
        for i in range(-200, arguments.searches):
            tenant = int(random.integers(1, arguments.tenants + 1))
            query = queries[random.integers(len(queries))]
            condition = of_tenant(table, tenant)
            begun = time.perf_counter()
            result = engine.client.search(NAME, query, arguments.k, filter=condition.text)
            between = time.perf_counter()
            expected = postgres.search(query, arguments.k, condition)
            ended = time.perf_counter()
            mistakes += wrong(
                table, query, condition, list(zip(result.ids, result.distances.tolist(), strict=True)), expected
            )
            if i >= 0:
                bucket = int(np.searchsorted(BUCKETS, counts[tenant], side="right")) - 1
                times["Vizinho"].setdefault(bucket, []).append(between - begun)
                times["Postgres"].setdefault(bucket, []).append(ended - between)
    now = dt.datetime.now(dt.UTC)
    found = {
        side: {
            **{
                f"{BUCKETS[b]}-{BUCKETS[b + 1] - 1}": {"searches": len(s), **quantiles(s)}
                for b, s in sorted(of_side.items())
            },
            "all": {"searches": arguments.searches, **quantiles([s for one in of_side.values() for s in one])},
        }
        for side, of_side in times.items()
    }
    about: dict[str, Any] = {
        "measured": f"{now:%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "base": arguments.base.name,
        "rows": len(base),
        "tenants": arguments.tenants,
        "median_size": int(np.median(size)),
        "largest": int(size.max()),
        "k": arguments.k,
        "storage": arguments.storages,
        "wrong_answers": mistakes,
        "milliseconds": found,
    }
    prefix = (
        arguments.output / f"{now:%Y-%m-%d}-{arguments.base.name.removesuffix('.npy').removesuffix('.base')}-tenants"
    )
    prefix.parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(f"{prefix}.json").write_text(json.dumps(about, indent=1) + "\n")
    pathlib.Path(f"{prefix}.md").write_text(page(prefix.name, about))
    print(f"\nwritten to {os.path.relpath(prefix)}.json and .md")


def page(title: str, about: dict[str, Any]) -> str:
    machine = about["machine"]
    lines = [
        f"# {title}",
        "",
        f"{about['rows']:,} rows of {about['tenants']:,} tenants in one collection, median {about['median_size']:,},",
        f"largest {about['largest']:,}; each search has one tenant's filter, k {about['k']}.",
        f"Vizinho {about['storage']} over its wire, Postgres with a B-tree on the tenant and exact distances, in turn.",
        f"Wrong answers of Vizinho: {about['wrong_answers']}.",
        "",
        "| rows of the tenant | searches | Vizinho p50, p99 ms | Postgres p50, p99 ms |",
        "|---|---|---|---|",
    ]
    for bucket, ours in about["milliseconds"]["Vizinho"].items():
        theirs = about["milliseconds"]["Postgres"][bucket]
        cells = [f"{side['p50']:.2f}, {side['p99']:.2f}" for side in (ours, theirs)]
        lines.append(f"| {bucket} | {ours['searches']:,} | {' | '.join(cells)} |")
    lines += [
        "",
        f"- measured {about['measured']} on {machine['cpu']} ({machine['instructions']})",
        f"- {machine['processors']} processors, {machine['memory_gib']} GiB",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
