"""What both clients do with a server that behaves: it answers, or it says no."""

from __future__ import annotations

import random
import select
import struct
import uuid
from typing import Any

import numpy as np
import pytest

import vizinho
from driving import Call, Driver, ids, is_answer_for, one, search_for
from fake_server import (
    COLLECTIONS,
    FETCH,
    FETCHED,
    LIST,
    SEARCH,
    SEARCH_BY_ID,
    SEARCH_REPLY,
    STATISTICS,
    STATISTICS_REPLY,
    WELCOME,
    FakeServer,
    Peer,
    answer_to,
    frame,
    honest,
    read_search,
    search_body,
    text,
    welcome_body,
)
from vizinho import (
    LSN,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RequestRejected,
    RequestTimeout,
    SearchBatch,
    ServerError,
    UnknownCollection,
    UnknownRecord,
)


def test_one_query_gives_one_result(driver: Driver) -> None:
    with FakeServer(honest) as server:
        result = one(driver, server)
        (asked,) = server.asked(SEARCH)
    assert is_answer_for(5, result)
    assert [(hit.id, hit.distance) for hit in result] == [(5, 0.0), (6, 1.0), (7, 2.0)]
    assert result[1] == (6, 1.0)
    assert result[-1] == (7, 2.0)
    assert result[1:] == [(6, 1.0), (7, 2.0)]
    assert (len(result), result.exact, result.distances_computed) == (3, False, 103)
    assert result.position.system_id == 77
    assert str(result.position.applied_lsn) == "16/B374D848"
    assert result.position.is_known
    search = read_search(asked.body)
    assert (search.k, search.ef, search.options, search.collection) == (3, 0, 0, "documents")


def test_two_dimensions_give_a_batch(driver: Driver) -> None:
    queries = np.array([[1, 0], [20, 0], [300, 0]], np.float32)
    with FakeServer(honest) as server:
        batch = one(driver, server, lambda c: c.search("d", queries, 2, ef=7, exact=True))
        single = one(driver, server, lambda c: c.search("d", queries[:1], 2))
        asked = server.asked(SEARCH)[0]
    assert isinstance(batch, SearchBatch)
    assert isinstance(single, SearchBatch)
    assert [ids(result) for result in batch] == [[1, 2], [20, 21], [300, 301]]
    assert ids(batch[-1]) == [300, 301]
    assert [ids(result) for result in batch[1:]] == [[20, 21], [300, 301]]
    assert list(batch.ids) == [1, 2, 20, 21, 300, 301]
    assert batch.offsets.tolist() == [0, 2, 4, 6]
    with pytest.raises(IndexError):
        batch[3]
    search = read_search(asked.body)
    assert (search.ef, search.options) == (7, 1)
    assert np.array_equal(search.queries, queries)


@pytest.mark.parametrize(
    ("vectors", "dtype"),
    [
        ([1.0, 2.0], np.float32),
        ([[1, 2], [3, 4]], np.float32),
        (np.arange(6, dtype=np.float64).reshape(2, 3), np.float32),
        (np.arange(6, dtype=np.float16).reshape(2, 3), np.float16),
        (np.arange(6, dtype=">f4").reshape(2, 3), np.float32),
        (np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2], np.float32),
        (np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)), np.float32),
        (np.arange(100_000, dtype=np.float32).reshape(50, 2_000), np.float32),
    ],
    ids=["list", "lists", "f64", "f16", "big-endian", "strided", "fortran", "large"],
)
def test_queries_arrive_as_they_are(driver: Driver, vectors: Any, dtype: Any) -> None:
    with FakeServer(honest) as server:
        one(driver, server, lambda c: c.search("d", vectors, 1))
        (asked,) = server.asked(SEARCH)
    queries = read_search(asked.body).queries
    assert queries.dtype == dtype
    assert np.array_equal(queries, np.atleast_2d(np.asarray(vectors)))


def test_the_other_requests(driver: Driver) -> None:
    position = struct.pack("<QQII", 1, 2, 3, 0)

    def script(peer: Peer) -> None:
        peer.welcome()
        collection = text("documents") + struct.pack("<IBBBBQ", 384, 1, 1, 2, 0, 10) + position
        peer.reply(peer.read(), COLLECTIONS, struct.pack("<I", 1) + collection)
        statistic = text("rows") + b"\x01" + struct.pack("<Q", 10)
        peer.reply(peer.read(), STATISTICS_REPLY, struct.pack("<I", 1) + statistic)
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[4, 5]]))
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[4], [5]]))
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[6]]))
        found = position + struct.pack("<II", 2, 3) + b"\x00\x01" + bytes(6)
        peer.reply(peer.read(), FETCHED, found + struct.pack("<3f", 1, 2, 3))
        peer.reply(peer.read(), FETCHED, position + struct.pack("<II", 1, 0) + b"\x01" + bytes(7))
        peer.serve()

    name = uuid.UUID(int=7)
    with FakeServer(script) as server:
        client = driver.client(server.address)
        (collection,) = driver.call(client, lambda c: c.collections())
        assert collection == (
            "documents",
            384,
            vizinho.Metric.COSINE,
            vizinho.Storage.F32,
            vizinho.RecordIDKind.UUID,
            10,
            vizinho.Position(1, LSN(2), 3),
        )
        assert driver.call(client, lambda c: c.statistics("documents")) == {"rows": 10}
        assert ids(driver.call(client, lambda c: c.search_by_id("documents", name, 2))) == [4, 5]
        batch = driver.call(
            client,
            lambda c: c.search_by_id(
                "documents", ["a", ("b", 1)], 1, ef=9, exact=True, include_self=True
            ),
        )
        assert [ids(result) for result in batch] == [[4], [5]]
        recalled = driver.call(client, lambda c: c.search_by_id("documents", 3, 1, recall=0.99))
        assert ids(recalled) == [6]
        fetched = driver.call(client, lambda c: c.fetch("documents", np.array([8, 9])))
        assert fetched.found.tolist() == [False, True]
        assert fetched.vectors.tolist() == [[1, 2, 3]]
        assert fetched.vector(0) is None
        assert fetched.vector(1).tolist() == [1, 2, 3]
        there = driver.call(client, lambda c: c.fetch("documents", 8, vectors=False))
        assert (there.found.tolist(), there.vectors, there.vector(0)) == ([True], None, None)
        assert 0 < driver.call(client, lambda c: c.ping()) < 60
        info = driver.call(client, lambda c: c.connect())
        assert (info.version, info.frame_bytes_max, info.server) == (1, 16 << 20, "fake/1")
        assert server.asked(LIST)[0].body == b""
        assert server.asked(STATISTICS)[0].body == text("documents")
        one_id, two_ids, with_recall = server.asked(SEARCH_BY_ID)
        fixed = struct.pack("<IIBBHI", 1, 0, 0, 0, 9_900, 1)
        raw = b"\x01" + struct.pack("<q", 3)
        assert with_recall.body == fixed + text("documents") + raw
        fixed = struct.pack("<IIBBHI", 2, 0, 0, 0, 0, 1)
        assert one_id.body == fixed + text("documents") + b"\x02" + name.bytes
        raw = b"\x03\x01\x00a" + b"\x04\x02\x03\x01\x00b\x01" + struct.pack("<q", 1)
        fixed = struct.pack("<IIBBHI", 1, 9, 3, 0, 0, 2)
        assert two_ids.body == fixed + text("documents") + raw
        with_vectors, without = server.asked(FETCH)
        raw = b"\x01" + struct.pack("<q", 8) + b"\x01" + struct.pack("<q", 9)
        assert with_vectors.body == struct.pack("<BBHI", 1, 0, 0, 2) + text("documents") + raw
        assert without.body == struct.pack("<BBHI", 0, 0, 0, 1) + text("documents") + raw[:9]


def test_requests_are_pipelined_and_may_be_answered_in_any_order(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for asked in reversed([peer.read() for _ in range(20)]):
            peer.answer(asked)
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        results = driver.run(client, *map(search_for, range(20)))
        assert len(server.peers) == 1
    assert all(is_answer_for(value, result) for value, result in enumerate(results))


@pytest.mark.parametrize("seed", range(3))
def test_many_callers_share_one_connection(driver: Driver, seed: int) -> None:
    values = [random.Random(seed).randrange(1 << 20) for _ in range(400)]

    def script(peer: Peer) -> None:
        rng = random.Random(seed)
        peer.welcome(welcome_body(in_flight_max=16))
        waiting = [peer.read()]
        answered = 0
        while answered < len(values):
            # With as many requests in flight as are allowed, nothing more will come.
            left = len(values) - answered - len(waiting)
            if left and len(waiting) < 16 and rng.random() < 0.7:
                if select.select([peer.socket], [], [], 0.02)[0]:
                    waiting.append(peer.read())
            else:
                peer.answer(waiting.pop(rng.randrange(len(waiting))))
                answered += 1
                if not waiting and answered < len(values):
                    waiting.append(peer.read())
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        results: list[Any] = []
        for i in range(0, len(values), 100):
            results += driver.run(client, *map(search_for, values[i : i + 100]))
    assert all(is_answer_for(v, result) for v, result in zip(values, results, strict=True))


def test_no_more_requests_are_in_flight_than_the_server_takes(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome(welcome_body(in_flight_max=2))
        for _ in range(5):
            two = [peer.read(), peer.read()]
            peer.socket.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.socket.recv(1)
            peer.socket.settimeout(None)
            for asked in two:
                peer.answer(asked)
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        results = driver.run(client, *map(search_for, range(10)))
    assert all(is_answer_for(value, result) for value, result in enumerate(results))


def test_a_reply_may_drip(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        hello = peer.read()
        peer.drip(frame(WELCOME, hello.request_id, welcome_body()))
        for _ in range(2):
            asked = peer.read()
            peer.drip(frame(SEARCH_REPLY, asked.request_id, answer_to(asked)))

    with FakeServer(script) as server:
        client = driver.client(server.address)
        for value in (1, 2):
            assert is_answer_for(value, driver.call(client, search_for(value)))


def test_a_large_request_and_a_large_reply(driver: Driver) -> None:
    queries = np.zeros((1_000, 2_000), np.float32)
    queries[:, 0] = np.arange(1_000)
    with FakeServer(honest) as server:
        batch = one(driver, server, lambda c: c.search("d", queries, 100))
    expected = np.arange(1_000)[:, None] + np.arange(100)
    assert np.array_equal(np.asarray(batch.ids).reshape(1_000, 100), expected)
    assert np.array_equal(batch.distances.reshape(1_000, 100)[7], np.arange(100))


def test_the_deadline_travels_with_the_request(driver: Driver) -> None:
    with FakeServer(honest) as server:
        client = driver.client(server.address, timeout=None)
        driver.call(client, search_for(1))
        driver.call(client, search_for(1, timeout=20))
        driver.call(client, search_for(1, timeout=1e9))
        none, some, huge = [asked.deadline for asked in server.asked(SEARCH)]
    assert none == 0
    assert 0 < some <= 20_000
    assert huge == 0xFFFFFFFF


# A server that says no ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, ServerError),
        (10, UnknownCollection),
        (11, UnknownRecord),
        (12, RequestRejected),
        (20, DeadlineExceeded),
        (22, Overloaded),
        (27, RequestRejected),
        (28, RequestRejected),
        (30, ServerError),
        (999, ServerError),
    ],
)
def test_errors_have_types_and_are_not_asked_again(
    driver: Driver, code: int, expected: type[ServerError]
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.fail(peer.read(), code, "because")
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        with pytest.raises(expected, match="because") as caught:
            driver.call(client, search_for(1))
        assert type(caught.value) is expected
        assert caught.value.code == code
        assert is_answer_for(2, driver.call(client, search_for(2)))
        assert len(server.peers) == 1


def test_both_sides_refusals_are_one_type(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.fail(peer.read(), 12)
        peer.fail(peer.read(), 20)
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        with pytest.raises(InvalidRequest):
            driver.call(client, search_for(1))
        with pytest.raises(RequestTimeout):
            driver.call(client, search_for(1))
        with pytest.raises(InvalidRequest):
            driver.call(client, search_for(1, k=0))


@pytest.mark.parametrize(
    "call",
    [
        search_for(1, k=0),
        search_for(1, k=2**32),
        search_for(1, k=1.5),
        search_for(1, ef=0),
        search_for(1, recall=0.7999),
        search_for(1, recall=0.9991),
        search_for(1, recall=1),
        search_for(1, recall=95),
        search_for(1, recall=float("nan")),
        search_for(1, recall="most"),
        search_for(1, recall=0.95, ef=100),
        search_for(1, recall=0.95, exact=True),
        lambda c: c.search_by_id("d", 1, recall=0.5),
        lambda c: c.search_by_id("d", 1, recall=0.95, ef=100),
        lambda c: c.search_by_id("d", 1, recall=0.95, exact=True),
        search_for(1, timeout=0),
        search_for(1, timeout=float("nan")),
        lambda c: c.search("d", 1.0),
        lambda c: c.search("d", []),
        lambda c: c.search("d", [[[1.0]]]),
        lambda c: c.search("d", [[1.0], [1.0, 2.0]]),
        lambda c: c.search("d", ["a", "b"]),
        lambda c: c.search("d", [1j]),
        lambda c: c.search("x" * 70_000, [1.0]),
        lambda c: c.search("\ud800", [1.0]),
        lambda c: c.search_by_id("d", []),
        lambda c: c.search_by_id("d", None),
        lambda c: c.search_by_id("d", b"raw"),
        lambda c: c.fetch("d", [1, None]),
        lambda c: c.fetch("d", np.array([1.5])),
        lambda c: c.fetch("d", np.array([2**63], np.uint64)),
        lambda c: c.fetch("d", np.array([[1]])),
    ],
)
def test_what_cannot_be_valid_is_refused_before_it_is_sent(driver: Driver, call: Call) -> None:
    with FakeServer(honest) as server:
        with pytest.raises(InvalidRequest):
            one(driver, server, call)
        assert not server.peers


@pytest.mark.parametrize(
    ("recall", "travels"),
    [
        (0.8, 8_000),
        (0.95, 9_500),
        (np.float32(0.95), 9_500),
        (0.98764, 9_876),
        (np.float32(0.999), 9_990),
    ],
)
def test_a_recall_travels_in_steps(driver: Driver, recall: Any, travels: int) -> None:
    with FakeServer(honest) as server:
        assert is_answer_for(5, one(driver, server, search_for(5, recall=recall)))
        (asked,) = server.asked(SEARCH)
    search = read_search(asked.body)
    assert (search.ef, search.recall_target) == (0, travels)


def test_a_recall_beside_an_effort_is_refused_in_words(driver: Driver) -> None:
    client = driver.client("localhost:1")
    with pytest.raises(InvalidRequest, match=r"recall is 0\.95 and ef is 100.*give one"):
        driver.call(client, search_for(1, recall=0.95, ef=100))
    with pytest.raises(InvalidRequest, match=r"recall is 0\.95 for an exact search.*give one"):
        driver.call(client, search_for(1, recall=0.95, exact=True))
    with pytest.raises(InvalidRequest, match=r"0\.5.*0\.8 to 0\.999"):
        driver.call(client, search_for(1, recall=0.5))


@pytest.mark.parametrize(
    "options",
    [
        {"address": "localhost"},
        {"address": ":80"},
        {"address": "localhost:0"},
        {"address": "localhost:65536"},
        {"address": "::1:80"},
        {"timeout": 0},
        {"connect_timeout": -1},
        {"retries": -1},
        {"reply_bytes_max": 0},
    ],
    ids=str,
)
def test_bad_options_are_refused(driver: Driver, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        driver.client(**{"address": "localhost:1"} | options)


def test_a_frame_that_is_too_long_stays_here(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome(welcome_body(frame_bytes_max=2_000))
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        with pytest.raises(InvalidRequest, match="2000"):
            driver.call(client, lambda c: c.search("d", np.zeros((300, 2))))
        assert is_answer_for(1, driver.call(client, search_for(1)))
        assert len(server.peers) == 1


def test_no_version_in_common(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.fail(peer.read(), 3, "only version 2", closes=True)

    with FakeServer(script) as server:
        with pytest.raises(ServerError, match="only version 2"):
            one(driver, server)
        assert len(server.peers) == 1
