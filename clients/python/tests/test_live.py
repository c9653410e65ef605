"""Against the real server, when there is one.

VIZINHO_TEST_SERVER is its `host:port`, VIZINHO_TEST_COLLECTION the name of a collection that has at
least 20 rows and does not change meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from driving import Driver
from vizinho import (
    Collection,
    ErrorCode,
    Plan,
    RecordIDKind,
    RequestRejected,
    SearchResult,
    Shortfall,
    UnknownCollection,
    UnknownRecord,
    attribute,
)

ADDRESS = os.environ.get("VIZINHO_TEST_SERVER")
NAME = os.environ.get("VIZINHO_TEST_COLLECTION")

pytestmark = pytest.mark.skipif(
    not (ADDRESS and NAME),
    reason="needs a server: set VIZINHO_TEST_SERVER=host:port and VIZINHO_TEST_COLLECTION=name",
)


@dataclass
class Live:
    driver: Driver
    client: Any
    collection: Collection
    sample: SearchResult

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            return self.driver.call(
                self.client,
                lambda c: getattr(c, method)(self.collection.name, *arguments, **options),
            )

        return call


@pytest.fixture
def live(driver: Driver) -> Live:
    assert ADDRESS is not None
    client = driver.client(ADDRESS)
    found = driver.call(client, lambda c: c.collections())
    (collection,) = [c for c in found if c.name == NAME]
    probe = np.random.default_rng(1).standard_normal(collection.dimension)
    sample = driver.call(client, lambda c: c.search(NAME, probe, 20))
    assert len(sample) == 20
    return Live(driver, client, collection, sample)


def test_the_server_is_there(live: Live) -> None:
    assert live.driver.call(live.client, lambda c: c.ping()) > 0
    info = live.driver.call(live.client, lambda c: c.connect())
    assert info.version == 1
    assert live.collection.rows >= 20
    assert live.statistics()


def test_a_row_is_its_own_nearest_neighbour(live: Live) -> None:
    ids = list(live.sample.ids)
    fetched = live.fetch(ids)
    assert fetched.found.all()
    assert fetched.vectors.shape == (20, live.collection.dimension)
    batch = live.search(fetched.vectors, 20, exact=True)
    by_id = live.search_by_id(ids, 20, exact=True, include_self=True)
    for record_id, result, same in zip(ids, batch, by_id, strict=True):
        assert result.exact
        assert result.distances_computed >= live.collection.rows
        assert list(result.distances) == sorted(result.distances)
        assert record_id in list(result.ids)
        assert record_id in list(same.ids)
        np.testing.assert_allclose(result.distances, same.distances, atol=1e-5)
    for record_id, result in zip(ids, live.search_by_id(ids, 20), strict=True):
        assert record_id not in list(result.ids)


def test_half_precision_finds_nearly_the_same(live: Live) -> None:
    (vector,) = live.fetch([next(iter(live.sample)).id]).vectors
    full = live.search(vector, 10, exact=True)
    half = live.search(vector.astype(np.float16), 10, exact=True)
    assert len(set(full.ids) & set(half.ids)) >= 8


def test_more_than_there_is(live: Live) -> None:
    probe = np.ones(live.collection.dimension)
    k = min(live.collection.rows + 1, 10_000)
    assert len(live.search(probe, k, exact=True)) == min(live.collection.rows, k)


def test_a_recall_is_asked_for(live: Live) -> None:
    (vector,) = live.fetch([next(iter(live.sample)).id]).vectors
    exact = live.search(vector, 10, exact=True)
    found = live.search(vector, 10, recall=0.999)
    assert len(set(found.ids) & set(exact.ids)) >= 8
    statistics = live.statistics()
    assert 0.8 <= statistics["recall_target"] <= 0.999
    assert statistics["calibration"] in ("rows", "queries", "none")


def test_pages_limits_and_variety(live: Live) -> None:
    (vector,) = live.fetch([next(iter(live.sample)).id]).vectors
    nearest = live.search(vector, 20, exact=True)
    page = live.search(vector, 10, exact=True, offset=10)
    np.testing.assert_array_equal(page.distances, nearest.distances[10:])
    limit = float(nearest.distances[4])
    near = live.search(vector, 20, exact=True, distance_max=limit)
    assert near.distances.tolist() == [d for d in nearest.distances.tolist() if d <= limit]
    assert near.shortfall is (Shortfall.THRESHOLD if len(near) < 20 else None)
    alone = live.search(vector, 5, exact=True, mmr=1)
    np.testing.assert_array_equal(alone.distances, nearest.distances[:5])
    assert len(live.search(vector, 5, mmr=0.3, mmr_candidates=20)) == 5


def test_like_rows(live: Live) -> None:
    first, second, third = list(live.sample.ids)[:3]
    like = live.search_like(first, k=5, exact=True)
    by_id = live.search_by_id(first, 5, exact=True)
    np.testing.assert_allclose(like.distances, by_id.distances, atol=1e-5)
    mixed = live.search_like([first, second], third, 5)
    assert len(mixed) == 5
    assert not {first, second, third} & set(mixed.ids)


def test_filters_that_every_collection_has(live: Live) -> None:
    """TRUE and FALSE need no attributes; what needs some is refused by name."""
    (vector,) = live.fetch([next(iter(live.sample)).id]).vectors
    batch = live.search(
        [vector, vector, vector], 5, exact=True, filter=["true", "false", None], explain=True
    )
    everything, nothing, unfiltered = batch
    assert everything.matching_rows == live.collection.rows
    assert list(everything.distances) == list(unfiltered.distances)
    assert (len(nothing), nothing.matching_rows) == (0, 0)
    assert (nothing.plan, nothing.shortfall) == (Plan.NOTHING_MATCHES, Shortfall.FEW_MATCH)
    assert (unfiltered.plan, unfiltered.matching_rows) == (None, None)
    assert "nothing matches" in nothing.explanation
    assert "none" in unfiltered.explanation
    name = "no such attribute"
    assert name not in [a.name for a in live.describe().attributes]
    refused: dict[ErrorCode, Callable[[], Any]] = {
        ErrorCode.UNKNOWN_ATTRIBUTE: lambda: live.search(vector, filter=attribute(name) == 1),
        ErrorCode.INVALID_FILTER: lambda: live.search(vector, filter="true and"),
        ErrorCode.INVALID_OPTION: lambda: live.search(vector, offset=9_999),
    }
    with pytest.raises(RequestRejected, match=name):
        live.search(vector, group_by=name)
    for code, call in refused.items():
        with pytest.raises(RequestRejected) as caught:
            call()
        assert caught.value.code is code


def test_requests_of_many_callers(live: Live) -> None:
    vectors = live.fetch(list(live.sample.ids)).vectors
    one_by_one = live.driver.run(
        live.client,
        *(lambda c, v=v: c.search(live.collection.name, v, 5, exact=True) for v in vectors),
    )
    batch = live.search(vectors, 5, exact=True)
    for result, same in zip(one_by_one, batch, strict=True):
        np.testing.assert_allclose(result.distances, same.distances, atol=1e-5)


def test_what_the_server_refuses(live: Live) -> None:
    dimension = live.collection.dimension
    good = np.ones(dimension, np.float32)
    with pytest.raises(UnknownCollection):
        live.driver.call(live.client, lambda c: c.search("no such collection", good))
    refused: dict[ErrorCode, Callable[[], Any]] = {
        ErrorCode.DIMENSION_MISMATCH: lambda: live.search(np.ones(dimension + 1)),
        ErrorCode.NOT_FINITE: lambda: live.search(np.full(dimension, np.nan)),
        ErrorCode.INVALID_K: lambda: live.search(good, 2**31),
        ErrorCode.INVALID_EFFORT: lambda: live.search(good, 1, ef=2**31),
        ErrorCode.INVALID_COUNT: lambda: (
            live.search(np.ones((5_000, dimension), np.float16), 1)
            if dimension <= 1_000
            else live.search_by_id([1] * 5_000)
        ),
        ErrorCode.RECORD_ID_MISMATCH: lambda: live.search_by_id(
            "text" if live.collection.record_id_kind is not RecordIDKind.TEXT else 1
        ),
    }
    for code, call in refused.items():
        with pytest.raises(RequestRejected) as caught:
            call()
        assert caught.value.code is code


def test_an_id_that_is_not_there(live: Live) -> None:
    if live.collection.record_id_kind is not RecordIDKind.INT64:
        pytest.skip("the collection's ids are no numbers")
    nobody = -(2**63)
    with pytest.raises(UnknownRecord):
        live.search_by_id(nobody)
    assert live.fetch([nobody], vectors=False).found.tolist() == [False]
