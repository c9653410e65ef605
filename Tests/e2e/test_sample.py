"""Rows in Postgres, then an index, a snapshot, a server, a Python program: the right passages come back."""

import pathlib
import signal

import numpy as np
import pytest
from engine import Engine, vizinho
from numpy.typing import NDArray
from pgvector_exact import TIE, ExactSearch, agreeing
from vizinho import Metric, SearchResult, UnknownCollection

K = 10


def pairs(result: SearchResult) -> list[tuple[int, float]]:
    return list(zip(np.asarray(result.ids).tolist(), result.distances.tolist(), strict=True))


def test_the_collection_is_what_the_table_is(sample_engine: Engine) -> None:
    with sample_engine.client() as client:
        (collection,) = client.collections()
    assert (collection.name, collection.rows, collection.dimension) == ("passages", 10_000, 384)
    assert collection.metric == Metric.COSINE
    assert collection.position.system_id != 0


def test_exact_answers_are_pgvectors(
    sample_engine: Engine, exact: ExactSearch, base: NDArray[np.float32], questions: NDArray[np.float32]
) -> None:
    unit = base.astype(np.float64) / np.linalg.norm(base.astype(np.float64), axis=1, keepdims=True)
    with sample_engine.client() as client:
        batch = client.search("passages", questions, K, exact=True)
    for question, result in zip(questions, batch, strict=True):
        answer, expected = pairs(result), exact.search(question, K)
        assert result.exact
        np.testing.assert_allclose([d for _, d in answer], [d for _, d in expected], rtol=0, atol=TIE)
        # Where passages tie, the two may choose differently; each must be at the distance that is claimed for it.
        ids = [i for i, _ in answer]
        true = 1 - unit[ids] @ (question.astype(np.float64) / np.linalg.norm(question.astype(np.float64)))
        np.testing.assert_allclose([d for _, d in answer], true, rtol=0, atol=TIE)
        assert len(set(ids)) == K


def test_approximate_answers_find_nearly_all_of_them(
    sample_engine: Engine, exact: ExactSearch, questions: NDArray[np.float32], question_rows: list[list[int]]
) -> None:
    with sample_engine.client() as client:
        results = [client.search("passages", question, K) for question in questions]
        wide = client.search("passages", questions, K, ef=400)
    expected = [exact.search(question, K) for question in questions]
    recall = np.mean([agreeing(pairs(r), e) for r, e in zip(results, expected, strict=True)]) / K
    recall_wide = np.mean([agreeing(pairs(r), e) for r, e in zip(wide, expected, strict=True)]) / K
    assert recall >= 0.9, "recall@10 with the collection's own recall target"
    assert recall_wide >= 0.99, "recall@10 with ef 400"
    # The approximation may cost no more than a few of the questions the passage that they were made from.
    known = sum(not set(rows).isdisjoint(i for i, _ in e) for rows, e in zip(question_rows, expected, strict=True))
    found = sum(not set(rows).isdisjoint(r.ids) for rows, r in zip(question_rows, wide, strict=True))
    assert found >= 0.98 * known


def test_one_question_is_answered_as_in_a_batch(sample_engine: Engine, questions: NDArray[np.float32]) -> None:
    with sample_engine.client() as client:
        batch = client.search("passages", questions[:20], K)
        half = client.search("passages", questions[:20].astype(np.float16), K)
        alone = [client.search("passages", question, K) for question in questions[:20]]
    # A batch may be summed up in another order. The sample's questions lose nothing when they travel in half precision.
    for one, in_batch, as_half in zip(alone, batch, half, strict=True):
        np.testing.assert_allclose(in_batch.distances, one.distances, rtol=0, atol=TIE)
        np.testing.assert_allclose(as_half.distances, one.distances, rtol=0, atol=TIE)


def test_fetched_vectors_are_the_tables(sample_engine: Engine, base: NDArray[np.float32]) -> None:
    with sample_engine.client() as client:
        fetched = client.fetch("passages", [0, 10_000, 9_999, 17])
        by_id = client.search_by_id("passages", 17, K, exact=True)
        by_vector = client.search("passages", base[17], K + 1, exact=True)
    assert fetched.found.tolist() == [True, False, True, True]
    assert fetched.vectors is not None
    # The sample's components are halves, so the storage that `auto` chooses for it keeps them bit for bit.
    np.testing.assert_array_equal(fetched.vectors, base[[0, 9_999, 17]])
    assert 17 not in by_id.ids
    np.testing.assert_allclose(by_id.distances, by_vector.distances[1:], rtol=0, atol=TIE)


def test_an_unknown_collection_is_named(sample_engine: Engine, questions: NDArray[np.float32]) -> None:
    with sample_engine.client() as client, pytest.raises(UnknownCollection, match="passagens"):
        client.search("passagens", questions[0], K)


def test_killed_and_started_again_it_serves_the_same(
    sample_index: pathlib.Path, questions: NDArray[np.float32]
) -> None:
    answers = []
    for by in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        with Engine(sample_index) as engine:
            with engine.client() as client:
                batch = client.search("passages", questions, K)
                answers.append((np.asarray(batch.ids).tolist(), batch.distances.tolist()))
            engine.end(by)
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_ends_it_with_success(sample_index: pathlib.Path, by: signal.Signals) -> None:
    with Engine(sample_index) as engine, engine.client() as client:
        client.ping()
        assert engine.end(by) == 0, engine.log


def test_a_data_directory_is_for_one_process(sample_engine: Engine, sample_database: str) -> None:
    """The second server, and a rebuild underneath a server, are refused and say which directory is taken."""
    directory = sample_engine.data_directory
    source = ("--postgres", sample_database, "--table", "passages", "--collection", "passages", "--metric", "cosine")
    for arguments in (
        ("serve", "--data-dir", directory, "--listen", "127.0.0.1:0"),
        ("rebuild", "--data-dir", directory, *source),
    ):
        refused = vizinho(*arguments)
        assert refused.returncode > 0
        assert str(directory) in refused.stderr
    with sample_engine.client() as client:
        client.ping()
