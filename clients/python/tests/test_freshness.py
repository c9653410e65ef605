"""Reading one's own writes: what travels, what comes back, and what a position is made of."""

from __future__ import annotations

import http.cookies
import struct
import urllib.parse
from typing import Any

import numpy as np
import pytest

from driving import Driver, one, search_for
from fake_server import (
    FETCH,
    FETCHED,
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
)
from vizinho import (
    LSN,
    ErrorCode,
    InvalidRequest,
    NotFresh,
    Position,
    RequestRejected,
    ServerError,
)

HERE = Position(7_412_233_445_566_778_899, LSN.parse("16/B374D848"), 3)
FETCHED_ONE = struct.pack("<QQII", 77, 5, 1, 0) + struct.pack("<II", 1, 0) + b"\x01" + bytes(7)


def content(position: Position, milliseconds: int) -> bytes:
    return struct.pack("<QQIII", *position[:2], position.timeline, 0, milliseconds)


# Requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"after": HERE}, {9: content(HERE, 1_000)}),
        ({"after": str(HERE), "wait": 0}, {9: content(HERE, 0)}),
        ({"after": HERE, "wait": 60}, {9: content(HERE, 60_000)}),
        ({"after": HERE, "wait": 0.0001}, {9: content(HERE, 1)}),
        ({"after": HERE, "wait": np.float32(2.5)}, {9: content(HERE, 2_500)}),
        (
            {"after": "16/B374D848", "explain": True},
            {7: b"", 9: content(Position(0, HERE.applied_lsn, 0), 1_000)},
        ),
        ({"strong": True}, {10: struct.pack("<I", 1_000)}),
        ({"strong": True, "wait": 0.25}, {10: struct.pack("<I", 250)}),
        ({"after": None, "strong": False}, {}),
    ],
    ids=str,
)
def test_what_travels(driver: Driver, arguments: Any, expected: dict[int, bytes]) -> None:
    with FakeServer(honest) as server:
        one(driver, server, search_for(5, **arguments))
        (asked,) = server.asked(SEARCH)
    assert read_search(asked.body).modifiers == expected


def test_every_search_and_a_fetch_can_ask_for_it(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for kind, body in ((SEARCH_REPLY, search_body([[4]])),) * 2 + ((FETCHED, FETCHED_ONE),):
            peer.reply(peer.read(), kind, body)

    with FakeServer(script) as server:
        client = driver.client(server.address)
        driver.call(client, lambda c: c.search_by_id("d", 4, after=HERE, wait=2))
        driver.call(client, lambda c: c.search_like("d", 4, strong=True))
        driver.call(client, lambda c: c.fetch("d", 4, vectors=False, after=HERE))
        (by_id,), (like,), (fetch,) = map(server.asked, (SEARCH_BY_ID, LIKE, FETCH))
    name = 2 + len("d")
    assert read_modifiers(by_id.body[16 + name :])[0] == {9: content(HERE, 2_000)}
    assert read_modifiers(like.body[20 + name :])[0] == {10: struct.pack("<I", 1_000)}
    assert fetch.body[:4] == b"\x00\x04\x00\x00"
    modifiers, ids = read_modifiers(fetch.body[8 + name :])
    assert modifiers == {9: content(HERE, 1_000)}
    assert ids == b"\x01" + struct.pack("<q", 4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"wait": 1},
        {"after": HERE, "strong": True},
        {"after": HERE, "wait": -0.001},
        {"after": HERE, "wait": 60.001},
        {"after": HERE, "wait": float("nan")},
        {"after": HERE, "wait": "soon"},
        {"strong": True, "wait": 0},
        {"strong": True, "wait": float("inf")},
        {"after": "yesterday"},
        {"after": 5},
        {"after": LSN(5)},
        {"after": Position(-1, LSN(5), 0)},
        {"after": Position(0, LSN(2**64), 0)},
        {"after": Position(0, LSN(5), 2**32)},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_not_sent(driver: Driver, arguments: Any) -> None:
    with FakeServer(honest) as server:
        client = driver.client(server.address)
        for call in (
            search_for(5, **arguments),
            lambda c: c.fetch("d", 4, **arguments),
            lambda c: c.search_like("d", 4, **arguments),
        ):
            (outcome,) = driver.run(client, call)
            assert isinstance(outcome, InvalidRequest)
    assert not server.peers or not server.asked(SEARCH) + server.asked(FETCH) + server.asked(LIKE)


# Replies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ErrorCode.POSITION_NOT_REACHED, NotFresh),
        (ErrorCode.STRONG_UNAVAILABLE, NotFresh),
        (ErrorCode.POSITION_FOREIGN, RequestRejected),
    ],
)
def test_refusals(driver: Driver, code: ErrorCode, expected: type[ServerError]) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.fail(peer.read(), code, "the collection is at 0/5, and 0/9 was asked for")

    with FakeServer(script) as server:
        client = driver.client(server.address)
        (outcome,) = driver.run(client, search_for(5, after=HERE))
        assert len(server.asked(SEARCH)) == 1
    assert type(outcome) is expected
    assert outcome.code == code
    assert "0/9" in str(outcome)


#: Bits that are not known are passed over.
@pytest.mark.parametrize(
    ("flags", "stale"), [(0, False), (1, True), (0x80000002, False), (0xFFFFFFFF, True)]
)
def test_stale_replies(driver: Driver, flags: int, stale: bool) -> None:
    large = search_body([list(range(20_000))])

    def script(peer: Peer) -> None:
        peer.welcome()
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[1]]), flags)
        peer.reply(peer.read(), SEARCH_REPLY, search_body([[1], [2]]), flags)
        peer.reply(peer.read(), SEARCH_REPLY, large, flags)
        peer.reply(peer.read(), FETCHED, FETCHED_ONE, flags)
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        assert driver.call(client, search_for(5)).stale is stale
        batch = driver.call(client, lambda c: c.search("d", [[1.0], [2.0]]))
        assert batch.stale is stale
        assert [result.stale for result in batch] == [stale, stale]
        assert driver.call(client, search_for(5)).stale is stale
        assert driver.call(client, lambda c: c.fetch("d", 4, vectors=False)).stale is stale


# Tokens ------------------------------------------------------------------------------------------

POSITIONS = [
    HERE,
    Position(0, LSN(0), 0),
    Position(2**64 - 1, LSN(2**64 - 1), 2**32 - 1),
    Position(1, LSN(0x1_00000000), 2),
]


@pytest.mark.parametrize("position", POSITIONS, ids=str)
def test_tokens_travel(position: Position) -> None:
    token = str(position)
    assert Position.parse(token) == position
    assert urllib.parse.quote(token, safe="") == token
    cookie = http.cookies.SimpleCookie()
    cookie["after"] = token
    assert cookie["after"].coded_value == token
    assert isinstance(Position.parse(token).applied_lsn, LSN)


def test_tokens_are_those_of_all_clients() -> None:
    assert str(HERE) == "7412233445566778899-3-16.B374D848"
    assert Position.parse("16/b374d848") == Position(0, HERE.applied_lsn, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "--",
        "1-1-1",
        "1-1-1.",
        "1-1-.1",
        "1-1-1.1-1",
        " 1-1-1.1",
        "1-1-1.1\n",
        "+1-1-1.1",
        "1--1-1.1",
        "1-1-+1.1",
        "1-1-1.123456789",
        "1-1-g.1",
        "1-4294967296-1.1",
        "18446744073709551616-1-1.1",
        "\u0661-1-1.1",
        "1/",
        "/1",
        "1/2/3",
        "0x1/2",
        "123456789/1",
        "1" * 10_000,
    ],
    ids=repr,
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        Position.parse(text)
