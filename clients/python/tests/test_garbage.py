"""What both clients do with a server that breaks the protocol."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from driving import Driver, is_answer_for, one, search_for
from fake_server import (
    PONG,
    SEARCH,
    SEARCH_REPLY,
    WELCOME,
    FakeServer,
    Peer,
    answer_to,
    frame,
    honest,
    search_body,
    welcome_body,
)
from vizinho import (
    ProtocolError,
    VizinhoError,
)


def test_this_is_another_server(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.read()

    with FakeServer(script) as server:
        with pytest.raises(ProtocolError):
            one(driver, server)
        assert len(server.peers) == 1


def header(length: int, kind: int, request_id: int) -> bytes:
    return struct.pack("<IBBHII", length, kind, 0, 0, request_id, 0)


@pytest.mark.parametrize(
    "breach",
    [
        lambda asked: header(0xFFFFFFFF, SEARCH_REPLY, asked.request_id),
        lambda asked: header((16 << 20) + 1, SEARCH_REPLY, asked.request_id),
        lambda asked: frame(SEARCH_REPLY, asked.request_id + 1, answer_to(asked)),
        lambda asked: frame(SEARCH_REPLY, 0, answer_to(asked)),
        lambda asked: frame(PONG, asked.request_id, b""),
        lambda asked: frame(0x99, asked.request_id, b""),
        lambda asked: frame(SEARCH_REPLY, asked.request_id, b""),
        lambda asked: frame(SEARCH_REPLY, asked.request_id, answer_to(asked) + b"\0"),
        lambda asked: frame(SEARCH_REPLY, asked.request_id, search_body([[1], [2]])),
        lambda asked: frame(0xFF, asked.request_id, b"\x0a"),
        lambda _: random.Random(1).randbytes(4_096),
    ],
    ids=[
        "4 GiB",
        "over the limit",
        "unasked id",
        "id 0",
        "other kind",
        "unknown kind",
        "empty",
        "left over",
        "two answers to one query",
        "unsound error",
        "noise",
    ],
)
def test_a_breach_of_the_protocol_ends_the_connection(driver: Driver, breach: Any) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.write(breach(peer.read()))
        peer.read()

    with FakeServer(script, honest) as server:
        client = driver.client(server.address, timeout=5)
        with pytest.raises(ProtocolError):
            driver.call(client, search_for(1))
        assert is_answer_for(2, driver.call(client, search_for(2)))
        assert len(server.peers) == 2


@pytest.mark.parametrize(
    "welcome",
    [
        welcome_body(version=2),
        welcome_body(in_flight_max=0),
        welcome_body() + bytes(1_024),
        welcome_body()[:-1],
    ],
    ids=["version", "no room", "too long", "cut off"],
)
def test_an_unsound_welcome(driver: Driver, welcome: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.welcome(welcome)
        peer.read()

    with FakeServer(script) as server, pytest.raises(ProtocolError):
        one(driver, server)


def test_a_reply_over_the_clients_own_limit(driver: Driver) -> None:
    with FakeServer(honest) as server:
        client = driver.client(server.address, reply_bytes_max=2_000)
        assert is_answer_for(1, driver.call(client, search_for(1)))
        with pytest.raises(ProtocolError, match="2000"):
            driver.call(client, search_for(1, k=200))


@pytest.mark.parametrize("seed", range(8))
def test_mutated_replies_never_hang_or_crash(driver: Driver, seed: int) -> None:
    rng = random.Random(seed)

    def script(peer: Peer) -> None:
        hello = peer.read()
        raw = bytearray(frame(WELCOME, hello.request_id, welcome_body()))
        if rng.random() < 0.3:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        peer.write(bytes(raw))
        while True:
            asked = peer.read()
            if asked.kind != SEARCH:
                continue
            raw = bytearray(frame(SEARCH_REPLY, asked.request_id, answer_to(asked)))
            for _ in range(rng.choice((0, 1, 2))):
                raw[rng.randrange(len(raw))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
            peer.write(bytes(raw))

    with FakeServer(script) as server:
        client = driver.client(server.address, timeout=0.1, connect_timeout=0.1, retries=1)
        read = 0
        for value in range(25):
            try:
                list(driver.call(client, search_for(value)))
                read += 1
            except VizinhoError:
                pass
        assert read > 0, seed
