"""Asks a running engine questions of the sample, beside pgvector, and looks for a passage that was just written."""

import argparse
import functools
import gzip
import json
import os
import pathlib
import shutil
import statistics
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any, LiteralString, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from pgvector_exact import ExactSearch, agreeing
from vizinho import Client, ConnectionFailed, VizinhoError, position_of

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "data" / "debian-10k"
TABLE = COLLECTION = "passages"
# Three of the 300 that a person can judge: mail files, a compiler, monitoring.
QUESTIONS = (8, 29, 7)
# Asked once more for the first of them, in words that both engines read.
CONDITION: LiteralString = "kind = 'library' AND language = 'perl'"
K = 5
# Each engine answers so often; what is shown is the median.
REPETITIONS = 15

Answer = TypeVar("Answer")


def wait_until_ready(client: Client, seconds: float, engine_pid: int | None) -> None:
    """Returns when the engine has the collection; ends the program when it died or takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if any(one.name == COLLECTION for one in client.collections(timeout=2)):
                return
            last = "it is still loading"
        except ConnectionFailed as error:
            last = str(error)
        if engine_pid is not None and not is_alive(engine_pid):
            sys.exit("ask: the engine has ended")
        if time.monotonic() > deadline:
            sys.exit(f"ask: no answer within {seconds:g} seconds: {last}")
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def timed(ask: Callable[[], Answer]) -> tuple[Answer, float]:
    """The answer, and the median of the seconds that it took."""
    answer = ask()
    seconds = []
    for _ in range(REPETITIONS):
        begun = time.perf_counter()
        answer = ask()
        seconds.append(time.perf_counter() - begun)
    return answer, statistics.median(seconds)


def show(question: str, answers: list[list[tuple[int, float]]], seconds: list[float], exact: ExactSearch) -> None:
    """Prints the two answers side by side, and the passage that came out on top."""
    ids = [row for answer in answers for row, _ in answer]
    passages = exact.passages(TABLE, ids)
    width = min(max(shutil.get_terminal_size((110, 24)).columns, 80), 140)
    half = (width - 11) // 2
    bold, dim, plain = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colours() else ("", "", "")

    print(f"\n    {bold}{question}{plain}")
    headings = [f"Vizinho, {seconds[0] * 1e3:.2f} ms", f"pgvector exact, {seconds[1] * 1e3:.2f} ms"]
    print(f"       {dim}{headings[0]:<{half}}{headings[1]}{plain}")
    for rank in range(max(map(len, answers))):
        cells = []
        for answer in answers:
            cell = ""
            if rank < len(answer):
                row, distance = answer[rank]
                title, summary, _ = passages.get(row, (f"row {row}", "no longer in the table", ""))
                cell = f"{distance:.4f}  {title}: {summary}"
            cells.append(textwrap.shorten(cell, half - 2, placeholder="…"))
        print(f"    {rank + 1}  {cells[0]:<{half}}{cells[1]}")
    if answers[0]:
        body = passages.get(answers[0][0][0], ("", "", ""))[2]
        excerpt = textwrap.shorten(body, 2 * (width - 10), placeholder=" …")
        print(textwrap.indent(textwrap.fill(excerpt, width - 8), f"       {dim}") + plain)


def colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def read_questions() -> tuple[list[str], NDArray[Any]]:
    with gzip.open(f"{SAMPLE}.queries.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file], np.load(f"{SAMPLE}.query.npy")


def ask(client: Client, exact: ExactSearch, chosen: list[int]) -> None:
    texts, vectors = read_questions()
    found = wanted = 0
    asked: list[tuple[int, LiteralString | None]] = [(i, None) for i in chosen]
    for i, condition in [*asked, (chosen[0], CONDITION)]:
        query = vectors[i].astype(np.float32)
        hits, engine_seconds = timed(functools.partial(client.search, COLLECTION, query, K, filter=condition))
        expected, exact_seconds = timed(functools.partial(exact.search, query, K, condition or "TRUE"))
        answer = list(zip(np.asarray(hits.ids).tolist(), hits.distances.tolist(), strict=True))
        question = texts[i] if condition is None else f"{texts[i]}  WHERE {condition}: {hits.matching_rows} rows match"
        show(question, [answer, expected], [engine_seconds, exact_seconds], exact)
        found += agreeing(answer, expected)
        wanted += len(expected)
    print(f"\n    {found} of {wanted} passages are among the exact answer's (as near, where several are as near).")
    print(f"    Times: median of {REPETITIONS}, with the client and its connection, one question at a time.")


def write_and_find(client: Client, url: str) -> None:
    """Commits a passage and looks for it at once; then takes it away again."""
    _, vectors = read_questions()
    query = vectors[QUESTIONS[0]].astype(np.float32)
    key = -1
    with psycopg.connect(url, autocommit=True) as connection:
        register_vector(connection)
        connection.execute(
            "INSERT INTO passages (id, title, summary, body, kind, parts, length, embedding)"
            " VALUES (%s, 'fresh', 'just written', 'A passage that was committed a moment ago.', 'note', '{}', 42, %s)",
            (key, Vector(query)),
        )
        committed = time.perf_counter()
        result = client.search(COLLECTION, query, 1, after=position_of(connection), wait=10)
        seconds = time.perf_counter() - committed
        if result[0].id != key:
            sys.exit("ask: a committed passage was not found")
        connection.execute("DELETE FROM passages WHERE id = %s", (key,))
        gone = client.search(COLLECTION, query, 1, after=position_of(connection), wait=10)
        if gone[0].id == key:
            sys.exit("ask: a deleted passage was found")
    print(f"\n    A passage was found {seconds * 1e3:.1f} ms after its commit, and not any more after its deletion.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Asks a running engine questions of the sample.")
    parser.add_argument("--port", type=int, default=7733, help="the engine's, on 127.0.0.1 (default: 7733)")
    parser.add_argument("--postgres", metavar="URL", required=True, help="where the table passages is")
    parser.add_argument("--wait", type=float, default=60, metavar="SECONDS", help="for the engine (default: 60)")
    parser.add_argument("--engine-pid", type=int, metavar="PID", help="stop waiting when this process has ended")
    parser.add_argument("--question", type=int, action="append", metavar="N", help="0 to 299, may be repeated")
    arguments = parser.parse_args()
    chosen = arguments.question or list(QUESTIONS)
    if not all(0 <= i < 300 for i in chosen):
        parser.error("--question: 0 to 299")
    try:
        exact = ExactSearch(arguments.postgres, TABLE)
        with Client(f"127.0.0.1:{arguments.port}", retries=0) as client:
            wait_until_ready(client, arguments.wait, arguments.engine_pid)
            ask(client, exact, chosen)
            write_and_find(client, arguments.postgres)
        exact.close()
    except (VizinhoError, psycopg.Error) as error:
        sys.exit(f"ask: {str(error).strip()}")


if __name__ == "__main__":
    main()
