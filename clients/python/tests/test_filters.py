"""Filters from Python values, and what else chooses among rows: what travels, what is refused."""

from __future__ import annotations

import functools
import operator
import random
import struct
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from driving import Call, Driver, ids, one, search_for
from fake_server import (
    DESCRIBE,
    DESCRIBED,
    LIKE,
    SEARCH,
    SEARCH_BY_ID,
    SEARCH_REPLY,
    FakeServer,
    Peer,
    honest,
    read_modifiers,
    read_search,
    search_body,
    text,
)
from vizinho import (
    AttributeInfo,
    AttributeType,
    Filter,
    InvalidRequest,
    Plan,
    Shortfall,
    attribute,
)
from vizinho.filters import DEPTH_MAX, LIST_VALUES_MAX, NODES_MAX, TEXT_BYTES_MAX, encode_filter

#: Any: what is tested here is also what a type checker would not let through.
col: Any = attribute("a")
NAME = b"\x01\x00a"


# Trees -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "travels"),
    [
        (col == 7, b"\x02\x01" + NAME + b"\x02" + struct.pack("<q", 7)),
        (col != -1, b"\x02\x02" + NAME + b"\x02" + struct.pack("<q", -1)),
        (col < 0.5, b"\x02\x03" + NAME + b"\x03" + struct.pack("<d", 0.5)),
        (col <= np.float32(0.5), b"\x02\x04" + NAME + b"\x03" + struct.pack("<d", 0.5)),
        (col > np.int16(3), b"\x02\x05" + NAME + b"\x02" + struct.pack("<q", 3)),
        (col >= "é", b"\x02\x06" + NAME + b"\x06\x02\x00\xc3\xa9"),
        (col == True, b"\x02\x01" + NAME + b"\x01\x01"),  # noqa: E712  # it makes a filter
        (col == np.bool_(False), b"\x02\x01" + NAME + b"\x01\x00"),
        (col == uuid.UUID(int=7), b"\x02\x01" + NAME + b"\x05" + bytes(15) + b"\x07"),
        (col.isin([1]), b"\x03" + NAME + b"\x01\0\0\0\x02" + struct.pack("<q", 1)),
        (col.isin(np.array([1])), b"\x03" + NAME + b"\x01\0\0\0\x02" + struct.pack("<q", 1)),
        (col.between("b", "c"), b"\x04" + NAME + b"\x06\x01\x00b\x06\x01\x00c"),
        (col.is_null(), b"\x05" + NAME),
        (col.contains([]), b"\x06" + NAME + bytes(4)),
        (col.overlaps({"x"}), b"\x07" + NAME + b"\x01\0\0\0\x06\x01\x00x"),
        (col.has_element("x"), b"\x08" + NAME + b"\x06\x01\x00x"),
        (col.startswith("x"), b"\x09" + NAME + b"\x01\x00x"),
        (~col.is_null(), b"\x0c\x05" + NAME),
        (col.is_null() & col.is_null(), b"\x0a\x02\0" + b"\x05" + NAME + b"\x05" + NAME),
        (col.is_null() | col.is_null(), b"\x0b\x02\0" + b"\x05" + NAME + b"\x05" + NAME),
    ],
    ids=repr,
)
def test_conditions_travel_as_the_protocol_has_them(made: Filter, travels: bytes) -> None:
    assert encode_filter(made) == b"\x01" + travels


@pytest.mark.parametrize(
    ("moment", "microseconds"),
    [
        (datetime(2000, 1, 1, tzinfo=timezone.utc), 0),
        (datetime(2000, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc), 757_382_400_000_001),
        (datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc), -1),
        (datetime.max.replace(tzinfo=timezone.utc), 252_455_615_999_999_999),
        (datetime.min.replace(tzinfo=timezone.utc), -63_082_281_600_000_000),
    ],
)
def test_an_aware_datetime_travels_to_the_microsecond(moment: datetime, microseconds: int) -> None:
    raw = encode_filter(col == moment)
    assert raw == b"\x01\x02\x01" + NAME + b"\x04" + struct.pack("<q", microseconds)


def test_chains_are_flat() -> None:
    """Depth is limited, and a & b & c says nothing that needs some."""
    parts = [attribute(f"a{i}") == i for i in range(200)]
    for join, code in ((operator.and_, 10), (operator.or_, 11)):
        chained = functools.reduce(join, parts)
        nested = join(functools.reduce(join, parts[:100]), functools.reduce(join, parts[100:]))
        assert encode_filter(chained) == encode_filter(nested)
        assert encode_filter(chained)[1:4] == bytes((code,)) + struct.pack("<H", 200)
    mixed = (parts[0] | parts[1]) & (parts[2] | parts[3])
    assert encode_filter(mixed)[1:5] == b"\x0a\x02\0\x0b"


def test_a_filter_reads_as_python_writes_it() -> None:
    made = (attribute("tenant") == 7) & ~attribute("lang").isin(["pt"]) | attribute("x").is_null()
    assert eval(repr(made), {"attribute": attribute})._encode() == made._encode()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: col == None, "is_null"),  # noqa: E711  # what is refused
        (lambda: col.isin([1, None]), "is_null"),
        (lambda: col > datetime(2024, 1, 1), "time zone"),  # noqa: DTZ001
        (lambda: col > date(2024, 1, 1), "datetime"),
        (lambda: col == Decimal(1), "Decimal"),
        (lambda: col == b"x", "bytes"),
        (lambda: col == [1], "list"),
        (lambda: col == 2**63, "64 bits"),
        (lambda: col == "\ud800", "UTF-8"),
        (lambda: col == "x" * 65_536, "65535"),
        (lambda: col.isin([]), "no row"),
        (lambda: col.isin("pt"), "list"),
        (lambda: col.contains(1), "list"),
        (lambda: col.startswith(1), "str"),
        (lambda: attribute(col), "str"),
        (lambda: col.isin(range(LIST_VALUES_MAX + 1)), "10000 values"),
        (lambda: col.isin(range(9_000)) | col.contains(range(1_001)), "10000 values"),
        (lambda: functools.reduce(lambda f, _: ~f, range(DEPTH_MAX), col.is_null()), "levels"),
        (lambda: functools.reduce(operator.or_, [col.is_null()] * NODES_MAX), "256 conditions"),
        (lambda: (col == 1) & (col), "brackets"),
        (lambda: col.is_null() & True, "brackets"),
        (lambda: encode_filter("x" * (TEXT_BYTES_MAX + 1)), "65536"),
        (lambda: encode_filter(col.isin(str(n) * 60 for n in range(5_000))), "bytes of a filter"),
    ],
)
def test_what_cannot_be_a_filter_is_refused_in_words(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        make()


def test_a_filter_is_neither_true_nor_false() -> None:
    for wrong in (
        lambda: (col == 1) and (col == 2),
        lambda: not col.is_null(),
        lambda: 1 < col < 3,
        lambda: col in [1, 2],
    ):
        with pytest.raises(TypeError, match="between"):
            wrong()


@pytest.mark.parametrize("seed", range(10))
def test_random_trees_have_the_size_that_they_say(seed: int) -> None:
    rng = random.Random(seed)

    def grow(depth: int) -> Filter:
        kind = rng.randrange(5 if depth < 6 else 2)
        if kind < 2:
            leaf: Filter = col.isin(range(rng.randrange(1, 4))) if kind else col == rng.random()
            return leaf
        return ~grow(depth + 1) if kind == 2 else _join(rng, grow(depth + 1), grow(depth + 1))

    made = grow(1)
    assert count(encode_filter(made)[1:]) == (made._nodes, made._values, made._depth), seed


def _join(rng: random.Random, a: Filter, b: Filter) -> Filter:
    return a & b if rng.random() < 0.5 else a | b


def count(raw: bytes) -> tuple[int, int, int]:
    """Nodes, values of lists and levels, read back by hand."""
    position = 0

    def node() -> tuple[int, int, int]:
        nonlocal position
        code = raw[position]
        position += 1
        if code in (10, 11):
            (parts,) = struct.unpack_from("<H", raw, position)
            position += 2
            found = [node() for _ in range(parts)]
        elif code == 12:
            found = [node()]
        elif code == 2:
            position += 1 + 3 + 9
            return 1, 0, 1
        else:
            (values,) = struct.unpack_from("<I", raw, position + 3)
            position += 7 + 9 * values
            return 1, values, 1
        nodes, values, depths = zip(*found, strict=True)
        return 1 + sum(nodes), sum(values), 1 + max(depths)

    result = node()
    assert position == len(raw)
    return result


# Requests ----------------------------------------------------------------------------------------


def test_modifiers_travel(driver: Driver) -> None:
    with FakeServer(honest) as server:
        client = driver.client(server.address)
        for options in (
            {},
            {"filter": "tenant = 7"},
            {"filter": col == 7, "distance_max": 0.5, "offset": 20, "explain": True},
            {"group_by": "größe", "mmr": 0.25},
            {"group_by": "doc", "per_group": 3, "mmr": 1, "mmr_candidates": 90},
            {"distance_max": -1e300, "offset": np.int64(1)},
        ):
            driver.call(client, search_for(1, **options))
        sent = [read_search(asked.body) for asked in server.asked(SEARCH)]
    assert [search.options for search in sent] == [0, 4, 4, 4, 4, 4]
    size = "größe".encode()
    assert [search.modifiers for search in sent] == [
        {},
        {1: b"\x02tenant = 7"},
        {
            1: encode_filter(col == 7),
            3: struct.pack("<f", 0.5),
            4: struct.pack("<I", 20),
            7: b"",
        },
        {5: struct.pack("<IH", 1, len(size)) + size, 6: struct.pack("<fI", 0.25, 0)},
        {5: struct.pack("<IH", 3, 3) + b"doc", 6: struct.pack("<fI", 1, 90)},
        {3: struct.pack("<f", float("-inf")), 4: struct.pack("<I", 1)},
    ]


def test_each_query_may_have_its_filter(driver: Driver) -> None:
    queries = [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    with FakeServer(honest) as server:
        filters = ["a = 1", None, col.is_null()]
        batch = one(driver, server, lambda c: c.search("d", queries, 1, filter=filters))
        (asked,) = server.asked(SEARCH)
    assert [ids(result) for result in batch] == [[1], [2], [3]]
    tree = encode_filter(col.is_null())
    sent = struct.pack("<III", 6, 0, len(tree)) + b"\x02a = 1" + tree
    assert read_search(asked.body).modifiers == {2: sent}


def test_the_other_searches_have_modifiers_too(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for _ in range(4):
            peer.reply(peer.read(), SEARCH_REPLY, search_body([[6]]))

    with FakeServer(script) as server:
        client = driver.client(server.address)
        calls: list[Call] = [
            lambda c: c.search_by_id("d", 3, 2, filter="x", offset=1),
            lambda c: c.search_like("d", 3, k=2, filter="x", explain=True),
            lambda c: c.search_like("d", [1, 2], "a", ef=9, exact=True, include_self=True),
            lambda c: c.search_like("d", np.array([1]), [("b", 1)], recall=0.9),
        ]
        for call in calls:
            assert ids(driver.call(client, call)) == [6]
        (by_id,) = server.asked(SEARCH_BY_ID)
        plain, both, mixed = [asked.body for asked in server.asked(LIKE)]
    one_id = b"\x01" + struct.pack("<q", 1)
    three = b"\x01" + struct.pack("<q", 3)
    assert by_id.body[:19] == struct.pack("<IIBBHI", 2, 0, 4, 0, 0, 1) + text("d")
    assert read_modifiers(by_id.body[19:]) == ({1: b"\x02x", 4: struct.pack("<I", 1)}, three)
    assert plain[:23] == struct.pack("<IIBBHII", 2, 0, 4, 0, 0, 1, 0) + text("d")
    assert read_modifiers(plain[23:]) == ({1: b"\x02x", 7: b""}, three)
    two = b"\x01" + struct.pack("<q", 2)
    assert both == (
        struct.pack("<IIBBHII", 10, 9, 3, 0, 0, 2, 1) + text("d") + one_id + two + b"\x03\x01\x00a"
    )
    assert mixed == (
        struct.pack("<IIBBHII", 10, 0, 0, 0, 9_000, 1, 1)
        + text("d")
        + one_id
        + b"\x04\x02\x03\x01\x00b"
        + one_id
    )


@pytest.mark.parametrize(
    "call",
    [
        search_for(1, filter=7),
        search_for(1, filter=["a = 1"]),
        search_for(1, filter={"a": 1}),
        search_for(1, distance_max=float("nan")),
        search_for(1, distance_max="far"),
        search_for(1, offset=-1),
        search_for(1, offset=2**32),
        search_for(1, offset=1.5),
        search_for(1, per_group=2),
        search_for(1, group_by="a", per_group=0),
        search_for(1, group_by=col),
        search_for(1, group_by="x" * 70_000),
        search_for(1, mmr=1.01),
        search_for(1, mmr=float("nan")),
        search_for(1, mmr="some"),
        search_for(1, mmr_candidates=100),
        search_for(1, mmr=0.5, mmr_candidates=0),
        lambda c: c.search("d", [[1.0], [2.0]], filter=["a = 1"]),
        lambda c: c.search("d", [[1.0]], filter=[7]),
        lambda c: c.search_by_id("d", 1, filter=["a = 1"]),
        lambda c: c.search_by_id("d", [1, 2], filter=["a = 1"]),
        lambda c: c.search_like("d", [1], filter=["a = 1"]),
        lambda c: c.search_like("d", []),
        lambda c: c.search_like("d", [], [1]),
        lambda c: c.search_like("d", 1, recall=0.9, ef=9),
        lambda c: c.describe("\ud800"),
        search_for(1, payload="title"),
        search_for(1, payload=7),
        search_for(1, payload=[7]),
        search_for(1, payload=["x" * 70_000]),
        search_for(1, payload=[str(n) for n in range(65)]),
    ],
)
def test_modifiers_that_cannot_be_valid_stay_here(driver: Driver, call: Call) -> None:
    with FakeServer(honest) as server:
        with pytest.raises(InvalidRequest):
            one(driver, server, call)
        assert not server.peers


# Answers -----------------------------------------------------------------------------------------


def test_the_receipt_of_a_filter(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        replies = [
            search_body([[4, 5]], receipt=(3, 2, 1, 2)),
            search_body([[4, 5], []], receipt=(0, 0, 2, 0)),
            search_body([[4, 5]]),
        ]
        for reply in replies:
            peer.reply(peer.read(), SEARCH_REPLY, reply)

    with FakeServer(script) as server:
        client = driver.client(server.address)
        result = driver.call(client, search_for(1))
        batch = driver.call(client, lambda c: c.search("d", [[1.0], [2.0]]))
        plain = driver.call(client, search_for(1))
    assert (result.exact, result.plan, result.matching_rows) == (True, Plan.EXACT_SCAN, 2)
    assert result.shortfall is Shortfall.FEW_MATCH
    assert [(r.plan, r.matching_rows, r.shortfall) for r in batch] == [
        (None, None, Shortfall.THRESHOLD)
    ] * 2
    assert (plain.plan, plain.matching_rows, plain.shortfall) == (None, None, None)
    assert (plain.groups, plain.explanation) == (None, None)
    assert plain.by_group() == [[(4, 0.0)], [(5, 1.0)]]


def test_groups_and_explanations(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        reply = search_body([[4, 5, 6], [7]], groups=[[0, 0, 1], [0]], explanations=["plan: é", ""])
        peer.reply(peer.read(), SEARCH_REPLY, reply)

    with FakeServer(script) as server:
        batch = one(driver, server, lambda c: c.search("d", [[1.0], [2.0]], group_by="a"))
    assert [result.groups.tolist() for result in batch] == [[0, 0, 1], [0]]
    assert batch.groups.tolist() == [0, 0, 1, 0]
    assert batch[0].by_group() == [[(4, 0.0), (5, 1.0)], [(6, 2.0)]]
    assert [result.explanation for result in batch] == ["plan: é", ""]


def test_hits_bring_their_payload(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        texts = {"title": ["a", None, "é"], "größe": ["1", "2", None]}
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[4, 5], [6]], payload=texts))
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[4]], payload={}))
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[4]]))

    with FakeServer(script) as server:
        client = driver.client(server.address)
        batch = driver.call(
            client, lambda c: c.search("d", [[1.0], [2.0]], payload=["title", "größe"])
        )
        empty = driver.call(client, search_for(1, payload=True))
        plain = driver.call(client, search_for(1, payload=[]))
        asked = [search.body for search in server.asked(SEARCH)]
    rows = [[{"title": "a", "größe": "1"}, {"title": None, "größe": "2"}]]
    rows.append([{"title": "é", "größe": None}])
    assert [result.payload for result in batch] == rows
    assert [[hit.payload for hit in result] for result in batch] == rows
    assert batch[0][1].payload == batch[0][-1:][0].payload == rows[0][1]
    # A hit is the pair that it always was.
    assert [hit for result in batch for hit in result] == [(4, 0.0), (5, 1.0), (6, 0.0)]
    assert (empty.payload, plain.payload, plain[0].payload) == ([{}], None, None)
    modifier = struct.pack("<BBHI", 8, 0, 0, 2 + 7 + 9)
    assert modifier + struct.pack("<H", 2) + text("title") + text("größe") in asked[0]
    assert struct.pack("<IBBHIH", 10, 8, 0, 0, 2, 0) in asked[1]
    assert b"\x08\0\0\0" not in asked[2]


def test_attributes_are_described(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        attributes = text("tenant") + struct.pack("<BBH", 2, 2, 0)
        attributes += text("größe") + struct.pack("<BBH", 6, 7, 0)
        payload = struct.pack("<H", 1) + text("body")
        peer.reply(peer.read(), DESCRIBED, struct.pack("<I", 2) + attributes + payload)

    with FakeServer(script) as server:
        found = one(driver, server, lambda c: c.describe("documents"))
        assert server.asked(DESCRIBE)[0].body == text("documents")
    assert found.payload == ["body"]
    assert found.attributes == [
        AttributeInfo("tenant", AttributeType.INT64, False, True),
        AttributeInfo("größe", AttributeType.KEYWORD, True, True, True),
    ]
