"""Everything at once: impatient callers, and a server that is late, shuffles and hangs up."""

from __future__ import annotations

import contextlib
import random
import select
import time
from collections.abc import Iterator
from typing import Any

import pytest

from driving import Call, Driver, ids
from fake_server import (
    SEARCH,
    SEARCH_REPLY,
    Asked,
    FakeServer,
    Peer,
    answer_to,
    frame,
    welcome_body,
)
from vizinho import SearchResult, VizinhoError

CALLERS = 12
CALLS = 20


class Chaos:
    """A script whose every choice comes from the seed and the number of the connection."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._connections = 0

    def __call__(self, peer: Peer) -> None:
        rng = random.Random(self._seed * 1_000 + self._connections)
        self._connections += 1
        peer.welcome(welcome_body(in_flight_max=rng.choice((1, 3, 64))))
        waiting: list[Asked] = []
        for _ in range(rng.randrange(20, 100)):
            while not waiting or select.select([peer.socket], [], [], 0.002)[0]:
                asked = peer.read()
                if asked.kind == SEARCH:
                    waiting.append(asked)
            self._answer(peer, waiting.pop(rng.randrange(len(waiting))), rng)

    def _answer(self, peer: Peer, asked: Asked, rng: random.Random) -> None:
        raw = frame(SEARCH_REPLY, asked.request_id, answer_to(asked))
        fate = rng.random()
        if fate < 0.02:
            time.sleep(0.05)
        if fate < 0.1:
            peer.drip(raw[:500])
            peer.write(raw[500:])
        elif fate < 0.9:
            peer.write(raw)
        else:
            peer.fail(asked, 22)


def plan(seed: int) -> Iterator[tuple[int, float, int]]:
    """First id, timeout and k of the calls of one caller."""
    rng = random.Random(seed)
    for _ in range(CALLS):
        yield rng.randrange(1 << 20), rng.choice((0.001, 0.02, 20)), rng.choice((1, 3, 4_000))


def judge(result: SearchResult, value: int, k: int) -> int:
    assert ids(result) == list(range(value, value + k))
    return 1


def caller(kind: str, seed: int) -> Call:
    """Makes its calls one after the other; returns how many were answered."""

    def call_blocking(client: Any) -> int:
        answers = 0
        for value, timeout, k in plan(seed):
            with contextlib.suppress(VizinhoError):
                answers += judge(client.search("d", [float(value)], k, timeout=timeout), value, k)
        return answers

    async def call_async(client: Any) -> int:
        answers = 0
        for value, timeout, k in plan(seed):
            with contextlib.suppress(VizinhoError):
                result = await client.search("d", [float(value)], k, timeout=timeout)
                answers += judge(result, value, k)
        return answers

    return call_blocking if kind == "sync" else call_async


@pytest.mark.parametrize("seed", range(6))
def test_every_call_ends_with_its_own_answer_or_an_error(driver: Driver, seed: int) -> None:
    with FakeServer(Chaos(seed)) as server:
        client = driver.client(server.address, retries=5)
        callers = (caller(driver.kind, seed * 1_000 + n) for n in range(CALLERS))
        answers = driver.run(client, *callers)
        assert all(isinstance(count, int) for count in answers), answers
        assert sum(answers) > 0
        assert len(server.peers) > 1
