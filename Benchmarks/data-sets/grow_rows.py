"""Grows a set of real vectors to any number of rows by noisy copies. The result is synthetic; its name must say so.

The real rows come first, as they are. Row r after them is a copy of row r mod n of the n real ones: the row, plus noise
of `--noise` times its length, scaled back to the length of the row.

The noise is drawn from a normal distribution with the covariance of the real rows, not from one that is the same in all
directions. Real embeddings spread over far fewer directions than they have dimensions, and noise in the others leads
away from all rows and queries alike. Benchmarks/README.md says how the default level was chosen.
"""

import argparse
import pathlib
import shutil
import sys
from typing import Any

import numpy as np
from files import GrowingArray, load_vectors, origin, sibling, write_note
from neighbours import Nearest, nearest
from numpy.typing import NDArray
from progress import Progress

DEFAULT_NOISE = 0.5
NEIGHBOURS = 10
# Rows a step. Each step has a generator of its own, so this number belongs to the result, like the seed.
STEP_ROWS = 16_384


def covariance_factor(base: NDArray[np.floating]) -> NDArray[np.float32]:
    """A matrix F, [dimension, dimension], for which F g has the covariance of `base`'s rows, scaled so that the mean of
    |F g|² is 1, where g is standard normal. Zeros for a set whose rows are all equal.
    """
    dimension = base.shape[1]
    mean = np.zeros(dimension)
    squares = np.zeros((dimension, dimension))
    for begin in range(0, len(base), STEP_ROWS):
        part = np.asarray(base[begin : begin + STEP_ROWS], dtype=np.float64)
        mean += part.sum(axis=0)
        squares += part.T @ part
    mean /= len(base)
    values, vectors = np.linalg.eigh(squares / len(base) - np.outer(mean, mean))
    # Rounding may leave a direction of no spread a little below zero.
    values = np.maximum(values, 0)
    total = values.sum()
    factor: NDArray[np.float32] = (vectors * np.sqrt(values / (total if total > 0 else 1))).astype(np.float32)
    return factor


def noisy_copies(
    rows: NDArray[np.floating], factor: NDArray[np.float32], noise: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """A noisy copy of each row, of the row's own length. A row of zeros stays one."""
    wide = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    moved = wide + np.float32(noise) * lengths * (random.standard_normal(wide.shape, dtype=np.float32) @ factor.T)
    moved_lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    copies: NDArray[np.float32] = moved * (lengths / np.where(moved_lengths > 0, moved_lengths, np.float32(1)))
    return copies


def grow(
    base: NDArray[np.floating], grown: NDArray[np.float16], noise: float, seed: int, progress: Progress | None = None
) -> None:
    """Fills `grown`: all of `base`, then noisy copies. Both may be memory maps.

    The result depends on the arguments alone, up to the rounding of the matrix products at hand.
    """
    real = len(base)
    if len(grown) < real:
        raise ValueError(f"{len(grown)} rows are fewer than the {real} that there are")
    factor = covariance_factor(base)
    for begin in range(0, len(grown), STEP_ROWS):
        rows = np.arange(begin, min(begin + STEP_ROWS, len(grown)))
        kept, copied = rows[rows < real], rows[rows >= real]
        grown[kept] = base[kept]
        if len(copied):
            random = np.random.default_rng([seed, begin // STEP_ROWS])
            grown[copied] = noisy_copies(base[copied % real], factor, noise, random)
        if progress:
            progress.add(len(rows))


def sampled(base: NDArray[np.floating], rows: int, seed: int) -> NDArray[np.floating]:
    """So many rows of `base`, drawn at random, in their order."""
    return base[np.sort(np.random.default_rng(seed).permutation(len(base))[:rows])]


def nearness(found: Nearest, real: int) -> dict[str, float]:
    """What a note says of the queries' neighbours; `real` is how many of the rows are real."""
    originals = [len(set(rows % real)) for rows in found.rows]
    return {
        "mean_top_1_distance": round(found.mean_distance(1), 4),
        f"mean_top_{NEIGHBOURS}_distance": round(found.mean_distance(NEIGHBOURS), 4),
        f"synthetic_share_of_top_{NEIGHBOURS}": round(float((found.rows >= real).mean()), 4),
        f"originals_in_top_{NEIGHBOURS}": round(float(np.mean(originals)), 2),
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="Benchmarks/data-sets/run grow", description="Grows a set to any number of rows by noisy copies."
    )
    parser.add_argument("--base", type=pathlib.Path, required=True, help="[rows, dimension] .npy, the real rows")
    parser.add_argument("--queries", type=pathlib.Path, required=True, help="[queries, dimension] .npy; copied as is")
    parser.add_argument(
        "--output", type=pathlib.Path, required=True, metavar="PREFIX", help='a path with "synthetic" in its name'
    )
    parser.add_argument("--rows", type=int, required=True, help="real and synthetic together")
    parser.add_argument(
        "--noise",
        type=float,
        default=DEFAULT_NOISE,
        help=f"length of the noise, relative to the row's (default: {DEFAULT_NOISE})",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--sample", type=int, metavar="ROWS", help="grow from so many rows, drawn at random: to judge a noise level"
    )
    got = parser.parse_args(arguments)
    if "synthetic" not in got.output.name:
        parser.error('--output: the name must have "synthetic" in it, so that every result says what was measured')
    if got.noise <= 0:
        parser.error("--noise: more than 0")
    if got.seed < 0:
        parser.error("--seed: 0 or more")
    return got


def main() -> None:
    got = parse()
    try:
        note = make(got)
    except ValueError as error:
        sys.exit(f"cannot grow the set: {error}")
    print(f"{note['rows']:,} × {note['dimension']}, {note['synthetic_rows']:,} of the rows synthetic")
    for state in ("before", "after"):
        print(f"{state}: {', '.join(f'{key} {value}' for key, value in note[state].items())}")


def make(got: argparse.Namespace) -> dict[str, Any]:
    """Writes the set and its note; returns the note."""
    base, queries = load_vectors(got.base), load_vectors(got.queries)
    if base.shape[1] != queries.shape[1]:
        raise ValueError(f"the base has {base.shape[1]} dimensions and the queries have {queries.shape[1]}")
    if got.sample is not None:
        if not NEIGHBOURS <= got.sample <= len(base):
            raise ValueError(f"--sample {got.sample} of {len(base)} rows; at least {NEIGHBOURS} are needed")
        base = sampled(base, got.sample, got.seed)
    if got.rows < len(base):
        raise ValueError(f"--rows {got.rows} is fewer than the {len(base)} that there are")

    got.output.parent.mkdir(parents=True, exist_ok=True)
    array = GrowingArray(sibling(got.output, ".base.npy"), got.rows, base.shape[1])
    try:
        progress = Progress("growing", got.rows)
        grow(base, array.vectors, got.noise, got.seed, progress)
        progress.finish()
        progress = Progress("measuring", len(base) + got.rows)
        before = nearness(nearest(base, queries, NEIGHBOURS, progress.add), len(base))
        after = nearness(nearest(array.vectors, queries, NEIGHBOURS, progress.add), len(base))
        progress.finish()
    except BaseException:
        array.part.unlink()
        raise
    array.publish()
    shutil.copyfile(got.queries, sibling(got.output, ".query.npy"))
    note = {
        "made_by": "Benchmarks/data-sets/run grow",
        "synthetic": True,
        "base": origin(array.path),
        "query": origin(sibling(got.output, ".query.npy")),
        "from_base": origin(got.base),
        "from_query": origin(got.queries),
        "rows": got.rows,
        "real_rows": len(base),
        "synthetic_rows": got.rows - len(base),
        "sampled_rows": got.sample,
        "queries": len(queries),
        "dimension": base.shape[1],
        "noise": got.noise,
        "noise_covariance": "of the real rows",
        "seed": got.seed,
        "numpy": np.__version__,
        "before": before,
        "after": after,
    }
    write_note(sibling(got.output, ".json"), note)
    return note


if __name__ == "__main__":
    main()
