#!/usr/bin/env python3
"""Cuts the sample in this folder from a larger set of embedded passages.

    data/make-sample.py PREFIX [--output data/debian-10k] [--rows 10000] [--questions 300] [--seed 1]

PREFIX names four files. Row i of an array belongs to line i of its JSON lines:

    PREFIX.base.npy          [rows, dimension] float16, unit length     PREFIX.texts.jsonl.gz    title, summary, text
    PREFIX.query.npy         [questions, dimension] float16             PREFIX.queries.jsonl.gz  text

The questions are drawn first, then every passage that a drawn question is the synopsis of, then other passages at
random until the sample is full. So each question has its answer in the sample, and the rest is a fair draw. The output
is the same bytes for the same input, seed and NumPy version, and the order of the rows is the input's.
"""

import argparse
import gzip
import hashlib
import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_lines(path: pathlib.Path, lines: Iterable[dict[str, Any]]) -> None:
    # No time stamp and no file name inside, so that the same lines are the same bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def choose(
    texts: list[dict[str, Any]], questions: list[dict[str, Any]], rows: int, count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws the rows of the sample and its questions; both ascend."""
    rows_of_synopsis: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        rows_of_synopsis.setdefault(text["summary"], []).append(row)
    answerable = [i for i, question in enumerate(questions) if question["text"] in rows_of_synopsis]

    random = np.random.default_rng(seed)
    chosen_questions = np.sort(random.choice(answerable, size=count, replace=False))
    wanted = {row for i in chosen_questions for row in rows_of_synopsis[questions[i]["text"]]}
    if len(wanted) > rows:
        raise ValueError(f"{count} questions need {len(wanted)} passages, which is more than --rows {rows}")
    others = np.setdiff1d(np.arange(len(texts)), sorted(wanted))
    fill = random.choice(others, size=rows - len(wanted), replace=False)
    chosen_rows = np.sort(np.concatenate([np.array(sorted(wanted), dtype=np.int64), fill]))
    return chosen_rows, chosen_questions


def main() -> None:
    parser = argparse.ArgumentParser(description="Cuts a sample from a larger set of embedded passages.")
    parser.add_argument("prefix", help="path of the larger set, up to .base.npy")
    parser.add_argument("--output", default=str(pathlib.Path(__file__).parent / "debian-10k"), metavar="PREFIX")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    def source(suffix: str) -> pathlib.Path:
        return pathlib.Path(arguments.prefix + suffix)

    def output(suffix: str) -> pathlib.Path:
        return pathlib.Path(arguments.output + suffix)

    texts = read_lines(source(".texts.jsonl.gz"))
    questions = read_lines(source(".queries.jsonl.gz"))
    base = np.load(source(".base.npy"), mmap_mode="r")
    query = np.load(source(".query.npy"), mmap_mode="r")
    if (len(base), len(query)) != (len(texts), len(questions)):
        sys.exit(f"{arguments.prefix}: the arrays and the lines differ in number")
    try:
        rows, chosen = choose(texts, questions, arguments.rows, arguments.questions, arguments.seed)
    except ValueError as error:
        sys.exit(f"cannot cut the sample: {error}")

    rows_of_synopsis: dict[str, list[int]] = {}
    for new_row, row in enumerate(rows):
        rows_of_synopsis.setdefault(texts[row]["summary"], []).append(new_row)

    np.save(output(".base.npy"), base[rows])
    np.save(output(".query.npy"), query[chosen])
    write_lines(output(".texts.jsonl.gz"), (texts[row] for row in rows))
    write_lines(
        output(".queries.jsonl.gz"),
        ({"text": questions[i]["text"], "rows": rows_of_synopsis[questions[i]["text"]]} for i in chosen),
    )
    for suffix in (".base.npy", ".texts.jsonl.gz", ".query.npy", ".queries.jsonl.gz"):
        path = output(suffix)
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
