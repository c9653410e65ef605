"""What only `AsyncClient` has: cancellation, one loop, and a loop that stays free."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

from fake_server import CANCEL, PING, SEARCH, FakeServer, Peer, honest, welcome_body
from vizinho import AsyncClient, InvalidRequest, RequestTimeout

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        return await asyncio.wait_for(main, 60)

    return asyncio.run(bounded())


def test_a_cancelled_request_is_cancelled_on_the_server() -> None:
    asked = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        search = peer.read()
        asked.set()
        cancel = peer.read()
        assert (cancel.kind, cancel.request_id) == (CANCEL, 0)
        assert cancel.body == struct.pack("<I", search.request_id)
        peer.fail(search, 21)
        peer.serve()

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            task = asyncio.create_task(client.search("d", [1.0]))
            await asyncio.to_thread(asked.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.search("d", [2.0], 1))[0].id == 2

    with FakeServer(script) as server:
        run(main(server.address))
        assert len(server.peers) == 1


def test_a_request_that_is_cancelled_before_it_is_sent_is_never_sent() -> None:
    release = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome(welcome_body(in_flight_max=1))
        first = peer.read()
        release.wait(20)
        peer.answer(first)
        peer.serve()

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            tasks = [asyncio.create_task(client.search("d", [float(v)], 1)) for v in range(3)]
            await asyncio.sleep(0.1)
            tasks[1].cancel()
            release.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(results[1], asyncio.CancelledError)

    with FakeServer(script) as server:
        run(main(server.address))
        assert len(server.asked(SEARCH)) == 2
        assert not server.asked(CANCEL)


def test_cancelling_all_while_there_is_no_connection() -> None:
    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            tasks = [asyncio.create_task(client.ping()) for _ in range(10)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)

    def silent(peer: Peer) -> None:
        while True:
            peer.read()

    with FakeServer(silent) as server:
        run(main(server.address))


def test_wait_for_and_the_clients_own_timeout_agree() -> None:
    cancelled_twice = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        peer.answer(peer.read())
        assert [peer.read().kind for _ in range(4)] == [PING, CANCEL, PING, CANCEL]
        cancelled_twice.set()
        peer.serve()

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            await client.connect()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.ping(), 0.1)
            with pytest.raises(RequestTimeout) as caught:
                await client.ping(timeout=0.1)
            assert isinstance(caught.value, TimeoutError)
            assert await asyncio.to_thread(cancelled_twice.wait, 20)

    with FakeServer(script) as server:
        run(main(server.address))


def test_large_requests_wait_for_each_other_rather_than_for_memory() -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        peer.answer(peer.read())
        go_on.wait(20)
        peer.serve()

    queries = np.zeros((100, 10_000), np.float32)

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            await client.connect()
            tasks = [asyncio.create_task(client.search("d", queries, 1)) for _ in range(20)]
            await asyncio.sleep(0)
            assert client._link._connection is not None
            unsent = client._link._connection.transport.get_write_buffer_size()
            assert unsent <= 2 * queries.nbytes
            assert len(client._link._queue) >= 15
            go_on.set()
            batches = await asyncio.gather(*tasks)
            assert all(len(batch) == 100 for batch in batches)

    with FakeServer(script) as server:
        run(main(server.address))
        assert len(server.peers) == 1


def test_a_client_belongs_to_one_loop() -> None:
    with FakeServer(honest) as server:
        client = AsyncClient(server.address)

        async def use() -> None:
            await client.ping()

        async def use_elsewhere() -> None:
            with pytest.raises(InvalidRequest, match="event loop"):
                await client.ping()

        async def use_and_visit() -> None:
            await use()
            await asyncio.to_thread(asyncio.run, use_elsewhere())
            await client.close()

        run(use_and_visit())


def test_connect_tells_who_is_there() -> None:
    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            info = await client.connect()
            assert (info.server, info.requests_in_flight_max) == ("fake/1", 256)

    with FakeServer(honest) as server:
        run(main(server.address))
