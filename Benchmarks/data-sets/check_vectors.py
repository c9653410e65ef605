"""Embeds some texts again and compares with vectors that are known: the model here is the one that made the sample."""

import argparse
import concurrent.futures
import os
import pathlib
import sys

import numpy as np
from embed_texts import DEFAULT_WORD_PIECES, HIDDEN, embed
from files import load_vectors
from neighbours import unit
from texts import read_texts

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "data" / "debian-10k"
COSINE_MIN = 0.999


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="Benchmarks/data-sets/run check", description="Embeds texts again and compares with known vectors."
    )
    parser.add_argument("--texts", type=pathlib.Path, default=f"{SAMPLE}.texts.jsonl.gz")
    parser.add_argument("--vectors", type=pathlib.Path, default=f"{SAMPLE}.base.npy", help="of 384 dimensions")
    parser.add_argument("--field", default="text", help="of the JSON lines (default: text)")
    parser.add_argument("--rows", type=int, default=500, help="how many, drawn at random (default: 500)")
    parser.add_argument("--seed", type=int, default=1)
    got = parser.parse_args()

    import minilm

    texts = list(read_texts(got.texts, got.field))
    stored = load_vectors(got.vectors)
    if stored.shape != (len(texts), HIDDEN):
        sys.exit(f"{got.vectors} is {stored.shape} where {len(texts)} texts × {HIDDEN} were expected")
    chosen = np.sort(np.random.default_rng(got.seed).permutation(len(texts))[: got.rows])
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        made = embed(minilm.MiniLM(1, DEFAULT_WORD_PIECES), [texts[row] for row in chosen], pool)
    cosines = np.einsum("ij,ij->i", made, unit(stored[chosen]))
    print(f"{len(chosen)} texts, cosine with the known vector: least {cosines.min():.5f}, mean {cosines.mean():.5f}")
    if cosines.min() < COSINE_MIN:
        sys.exit(f"row {chosen[cosines.argmin()]} of {got.vectors.name} was made in another way")


if __name__ == "__main__":
    main()
