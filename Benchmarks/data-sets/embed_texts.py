"""Embeds the texts of two files, a base and queries, with all-MiniLM-L6-v2, in 384 dimensions or a multiple.

384 are the model's own vector: the mean of the last layer's states over the tokens, of unit length. 1,536 are those of
the last four layers side by side, each of unit length before, the whole after: real vectors of real texts, as wide as
those of larger models. The model's own vector is the last quarter of them, times two.

An interrupted run is taken up by the same command. Memory is bounded by `WINDOW_ROWS` texts, not by the file.
"""

import argparse
import concurrent.futures
import importlib.metadata
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from files import GrowingArray, digest, origin, sibling, write_note
from neighbours import unit
from numpy.typing import NDArray
from progress import Progress
from texts import read_texts

HIDDEN = 384
LAYERS = 6
DEFAULT_WORD_PIECES = 128
# Texts that are tokenised and sorted by length together; what an interruption loses at most.
WINDOW_ROWS = 4_096
# Tokens a batch. 512 and 1,024 were the fastest of 256 to 8,192, which was a third slower: it falls out of the caches.
BATCH_TOKENS = 512


class Model(Protocol):
    """What is asked of a model: see `minilm.MiniLM`."""

    def tokens(self, texts: Sequence[str]) -> list[list[int]]: ...

    def means(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]: ...


def side_by_side(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """[layers, texts, width] as [texts, layers × width]: each layer's part of unit length, then the whole."""
    parts = [unit(layer) for layer in means]
    joined: NDArray[np.float32] = np.concatenate(parts, axis=1)
    joined /= np.float32(np.sqrt(len(parts)))
    return joined


def batches(tokens: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
    """Texts of equal length together; the longest first, so that all threads come to an end at about the same time.

    Yields the texts' places and their tokens, [texts, tokens], of at most `BATCH_TOKENS` unless one text is longer.
    """
    places = sorted(range(len(tokens)), key=lambda place: -len(tokens[place]))
    for length, group in itertools.groupby(places, key=lambda place: len(tokens[place])):
        same = list(group)
        step = max(1, BATCH_TOKENS // max(length, 1))
        for begin in range(0, len(same), step):
            chosen = same[begin : begin + step]
            yield chosen, np.array([tokens[place] for place in chosen], dtype=np.int64)


def embed(
    model: Model, texts: Sequence[str], pool: concurrent.futures.Executor, progress: Progress | None = None
) -> NDArray[np.float32]:
    """The vectors of the texts, in their order, computed by the pool's threads."""
    found: NDArray[np.float32] | None = None
    work = {pool.submit(model.means, tokens): places for places, tokens in batches(model.tokens(texts))}
    try:
        for done in concurrent.futures.as_completed(work):
            vectors = side_by_side(done.result())
            if found is None:
                found = np.empty((len(texts), vectors.shape[1]), dtype=np.float32)
            found[work[done]] = vectors
            if progress:
                progress.add(len(vectors))
    except BaseException:
        for future in work:
            future.cancel()
        raise
    if found is None:
        raise ValueError("there is no text")
    return found


def embed_file(
    model: Model,
    source: pathlib.Path,
    output: pathlib.Path,
    field: str,
    rows: int,
    dimension: int,
    settings: dict[str, Any],
    threads: int,
) -> None:
    """Embeds the first `rows` texts of `source`; row i is text i.

    Goes on with what an earlier run has left if that had the same `settings`, which must tell everything that the
    vectors depend on. As many rows as OUTPUT.state says are on disk before it says so.
    """
    state = sibling(output, ".state")
    done = 0
    if state.exists():
        left = json.loads(state.read_text(encoding="utf-8"))
        if left["settings"] == settings:
            done = int(left["done"])
        else:
            print(f"{state.name} is of other settings or texts: beginning anew", file=sys.stderr)
    # Without a number to trust, or without the rows that it speaks of, a run begins at the first text.
    resume = done > 0 and sibling(output, ".part").exists()
    array = GrowingArray(output, rows, dimension, resume)
    if not resume:
        done = 0

    progress = Progress(f"embedding {source.name}", rows, done)
    texts = itertools.islice(read_texts(source, field, rows), done, None)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        while window := list(itertools.islice(texts, WINDOW_ROWS)):
            array.vectors[done : done + len(window)] = embed(model, window, pool, progress)
            done += len(window)
            array.flush()
            write_note(state, {"settings": settings, "done": done})
    array.publish()
    state.unlink()
    progress.finish()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="Benchmarks/data-sets/run embed", description="Embeds texts with all-MiniLM-L6-v2."
    )
    files = ".jsonl, .jsonl.gz, or a text a line"
    parser.add_argument("--base", type=pathlib.Path, required=True, help=f"the texts to search in: {files}")
    parser.add_argument("--queries", type=pathlib.Path, required=True, help="the texts to search for, likewise")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="PREFIX")
    parser.add_argument("--field", default="text", help="of the JSON lines (default: text)")
    parser.add_argument("--rows", type=int, help="of the base, from the first on (default: all)")
    parser.add_argument(
        "--dimension",
        type=int,
        default=HIDDEN,
        choices=[HIDDEN * count for count in range(1, LAYERS + 1)],
        help=f"{HIDDEN} for each of the last layers (default: {HIDDEN}, the model's own vector)",
    )
    parser.add_argument(
        "--word-pieces",
        type=int,
        default=DEFAULT_WORD_PIECES,
        metavar="COUNT",
        help=f"how much of a text is read (default: {DEFAULT_WORD_PIECES}, about 90 words)",
    )
    got = parser.parse_args(arguments)
    if got.rows is not None and got.rows < 1:
        parser.error("--rows: 1 or more")
    if not 3 <= got.word_pieces <= 512:
        parser.error("--word-pieces: 3 to 512")
    return got


def make(got: argparse.Namespace) -> dict[str, Any]:
    """Writes the set and its note; returns the note."""
    # Here, so that everything else can be tested without the model.
    import minilm

    queries = list(read_texts(got.queries, got.field))
    wanted = set(queries)
    rows = shared = 0
    for text in read_texts(got.base, got.field, got.rows):
        rows += 1
        shared += text in wanted
    if rows == 0 or not queries:
        raise ValueError("there is no text in the base, or none in the queries")
    if shared:
        print(f"{shared} texts of the base are queries too: such queries are too easy", file=sys.stderr)

    model = minilm.MiniLM(got.dimension // HIDDEN, got.word_pieces)
    settings = {
        "model": "all-MiniLM-L6-v2",
        "model_package": f"{minilm.PACKAGE} {importlib.metadata.version(minilm.PACKAGE)}",
        "model_sha256": digest(model.weights_path),
        "layers": model.layers,
        "word_pieces_max": got.word_pieces,
        "field": got.field,
        "dimension": got.dimension,
    }
    got.output.parent.mkdir(parents=True, exist_ok=True)
    threads = len(os.sched_getaffinity(0))
    sources = {"base": (got.base, rows), "query": (got.queries, len(queries))}
    made = {}
    for kind, (source, count) in sources.items():
        output = sibling(got.output, f".{kind}.npy")
        of_this = {**settings, "from": origin(source), "rows": count}
        embed_file(model, source, output, got.field, count, got.dimension, of_this, threads)
        made[kind] = origin(output)
    note = {
        "made_by": "Benchmarks/data-sets/run embed",
        "synthetic": False,
        **made,
        "from_base": origin(got.base),
        "from_query": origin(got.queries),
        "rows": rows,
        "queries": len(queries),
        "base_texts_among_queries": shared,
        **settings,
        # Nothing is drawn at random.
        "seed": None,
        "onnxruntime": importlib.metadata.version("onnxruntime"),
    }
    write_note(sibling(got.output, ".json"), note)
    return note


def main() -> None:
    got = parse()
    try:
        note = make(got)
    except (ValueError, OSError) as error:
        sys.exit(f"cannot embed the texts: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted: the same command goes on from here")
    print(f"{note['rows']:,} and {note['queries']:,} × {note['dimension']}")


if __name__ == "__main__":
    main()
