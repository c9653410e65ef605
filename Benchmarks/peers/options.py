"""The options that comparing and inserting have in common, and the task that they make."""

import argparse
import os
import pathlib

from summary import OURS
from task import METRICS, REPOSITORY, Task, names


def task_parser(prog: str, description: str, *, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=description)
    sample = REPOSITORY / "data" / "debian-10k"
    about_files = "[rows, dimension], .npy, .fvecs or .fbin"
    parser.add_argument("--base", type=pathlib.Path, default=f"{sample}.base.npy", help=about_files)
    parser.add_argument("--queries", type=pathlib.Path, default=f"{sample}.query.npy", help=about_files)
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--storages", type=names, default=(), help=f"of {OURS}, as f32,int8 (default: the program's)")
    parser.add_argument("--m", type=int, default=16, help="links of a node (default: 16)")
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "Benchmarks" / "results", help="a folder")
    return parser


def check(parser: argparse.ArgumentParser, got: argparse.Namespace) -> None:
    """Ends the program where a number makes no sense; needs `--threads` besides."""
    if min(got.k, got.rounds, got.m, got.ef_construction) < 1:
        parser.error("--k, --m, --ef-construction and --rounds: 1 or more")
    cores = os.cpu_count() or 1
    if list(got.threads) != sorted(set(got.threads)) or max(got.threads) > cores:
        parser.error(f"--threads: each count once, in ascending order, up to the {cores} processors of this machine")


def task_of(got: argparse.Namespace, efforts: tuple[int, ...], truth: str) -> Task:
    """- truth: the folder of the exact answers."""
    return Task(
        base=got.base.resolve(),
        queries=got.queries.resolve(),
        metric=got.metric,
        k=got.k,
        efforts=efforts,
        links=got.m,
        build_effort=got.ef_construction,
        threads=got.threads,
        truth=pathlib.Path(truth),
    )
