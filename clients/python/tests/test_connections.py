"""What both clients do when a connection fails, falls silent or is closed."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from typing import Any

import numpy as np
import pytest

from driving import SHORT, Driver, is_answer_for, one, search_for
from fake_server import (
    CANCEL,
    SEARCH,
    SEARCH_REPLY,
    Asked,
    FakeServer,
    Peer,
    answer_to,
    error_body,
    frame,
    honest,
    read_search,
    welcome_body,
)
from vizinho import (
    ClientClosed,
    ConnectionFailed,
    ConnectionRefused,
    ErrorCode,
    RequestTimeout,
    VizinhoError,
    _session,
)


def welcome_and_hang_up(peer: Peer) -> None:
    peer.welcome()


def hang_up_on_a_request(peer: Peer) -> None:
    peer.welcome()
    peer.read()


def hang_up_within_a_reply(peer: Peer) -> None:
    peer.welcome()
    asked = peer.read()
    peer.write(frame(SEARCH_REPLY, asked.request_id, answer_to(asked))[:50])


def shut_down(peer: Peer) -> None:
    peer.welcome()
    peer.fail(peer.read(), 23, closes=True)


def shut_down_all(peer: Peer) -> None:
    peer.welcome()
    peer.read()
    peer.write(frame(0xFF, 0, error_body(23, "bye", closes=True)))


def refuse(peer: Peer) -> None:
    peer.write(frame(0xFF, 0, error_body(24, "full", closes=True)))
    peer.read()


def read_only(peer: Peer) -> None:
    while True:
        peer.read()


FAILURES = [
    welcome_and_hang_up,
    hang_up_on_a_request,
    hang_up_within_a_reply,
    shut_down,
    shut_down_all,
    refuse,
]


@pytest.mark.parametrize("script", FAILURES)
def test_a_lost_request_is_asked_again(driver: Driver, script: Any) -> None:
    with FakeServer(script, script, honest) as server:
        assert is_answer_for(5, one(driver, server))
        assert len(server.peers) == 3


@pytest.mark.parametrize("script", FAILURES)
def test_retries_end(driver: Driver, script: Any) -> None:
    with FakeServer(script) as server:
        with pytest.raises(ConnectionFailed):
            one(driver, server, retries=2)
        assert len(server.peers) == 3


def test_all_callers_survive_a_lost_connection(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for _ in range(10):
            peer.read()
        peer.answer(peer.read())

    with FakeServer(script, honest) as server:
        client = driver.client(server.address)
        results = driver.run(client, *map(search_for, range(30)))
        assert len(server.peers) == 2
    assert all(is_answer_for(value, result) for value, result in enumerate(results))


def test_nobody_listens(driver: Driver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    client = driver.client(address, retries=1)
    for result in driver.run(client, *map(search_for, range(5))):
        assert isinstance(result, ConnectionFailed)
        assert isinstance(result, ConnectionError)
        assert address in str(result)


def test_a_server_that_never_says_welcome(driver: Driver) -> None:
    with FakeServer(read_only) as server, pytest.raises(ConnectionFailed, match="welcome"):
        one(driver, server, connect_timeout=0.1, retries=1)


def test_a_host_that_is_not_there(driver: Driver) -> None:
    client = driver.client("host.invalid:1", retries=0)
    with pytest.raises(ConnectionFailed, match=r"host\.invalid"):
        driver.call(client, search_for(1))


def test_a_request_times_out_while_connecting(driver: Driver) -> None:
    with FakeServer(read_only) as server, pytest.raises(VizinhoError) as caught:
        one(driver, server, timeout=SHORT)
    assert isinstance(caught.value, RequestTimeout)


# Silence -----------------------------------------------------------------------------------------


def test_no_answer_in_time_and_then_a_late_one(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        late = peer.read()
        cancel = peer.read()
        assert (cancel.kind, cancel.request_id) == (CANCEL, 0)
        assert cancel.body == struct.pack("<I", late.request_id)
        next_one = peer.read()
        peer.answer(late)
        peer.answer(next_one)

    with FakeServer(script) as server:
        client = driver.client(server.address)
        with pytest.raises(RequestTimeout):
            driver.call(client, search_for(1, timeout=SHORT))
        assert is_answer_for(2, driver.call(client, search_for(2)))
        assert len(server.peers) == 1


def test_half_a_reply_and_then_silence(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        asked = peer.read()
        peer.write(frame(SEARCH_REPLY, asked.request_id, answer_to(asked))[:50])
        while True:
            peer.read()

    with FakeServer(script, honest) as server:
        client = driver.client(server.address)
        with pytest.raises(RequestTimeout):
            driver.call(client, search_for(1, timeout=SHORT))
        with pytest.raises(RequestTimeout):
            driver.call(client, search_for(2, timeout=SHORT))
        assert len(server.peers) == 1
        monkeypatch.setattr(_session, "SILENCE_SECONDS_MAX", SHORT)
        time.sleep(SHORT)
        assert is_answer_for(3, driver.call(client, search_for(3)))
        assert len(server.peers) == 2


def test_waiting_for_room_ends_in_time(driver: Driver) -> None:
    all_gave_up = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome(welcome_body(in_flight_max=1))
        first = peer.read()
        assert peer.read().kind == CANCEL
        all_gave_up.wait(20)
        peer.answer(first)
        peer.serve()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        results = driver.run(client, *(search_for(v, timeout=SHORT) for v in range(3)))
        assert [type(result) for result in results] == [RequestTimeout] * 3
        assert len(server.asked(SEARCH)) == 1
        all_gave_up.set()  # and the one that was sent is answered, which frees its place
        assert is_answer_for(4, driver.call(client, search_for(4)))


def test_a_request_that_was_never_sent_leaves_nothing_behind(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome(welcome_body(in_flight_max=2))
        peer.answer(peer.read())
        go_on.wait(20)
        pair: list[Asked] = []
        while len(pair) < 2:
            asked = peer.read()
            if asked.kind == SEARCH and read_search(asked.body).k == 3:
                pair.append(asked)
            else:
                peer.answer(asked)
        for asked in pair:
            peer.answer(asked)
        peer.serve()

    large = np.zeros((390, 10_000), np.float32)
    with FakeServer(script) as server:
        client = driver.client(server.address)
        driver.call(client, search_for(1))
        release = threading.Timer(2 * SHORT, go_on.set)
        release.start()
        sent, unsent = driver.run(
            client, lambda c: c.search("d", large, 1), search_for(2, k=1, timeout=SHORT)
        )
        release.join()
        assert len(sent) == 390
        assert isinstance(unsent, RequestTimeout)
        # A trace of it would be taken for an overdue answer, or for one of two requests in flight.
        monkeypatch.setattr(_session, "SILENCE_SECONDS_MAX", 0.0)
        results = driver.run(client, search_for(3, timeout=5), search_for(4, timeout=5))
        assert is_answer_for(3, results[0])
        assert is_answer_for(4, results[1])
        assert len(server.peers) == 1


def test_a_client_reads_while_it_cannot_write(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        asked = peer.read()
        time.sleep(SHORT)  # until nobody waits for this answer any more
        peer.reply(asked, SEARCH_REPLY, answer_to(asked))  # blocks until the client reads
        peer.serve()

    queries = np.zeros((200, 10_000), np.float32)
    with FakeServer(script) as server:
        client = driver.client(server.address)
        with pytest.raises(RequestTimeout):
            driver.call(client, lambda c: c.search("d", queries, 5_000, timeout=SHORT / 2))
        batch = driver.call(client, lambda c: c.search("d", queries, 1))
        assert len(batch) == 200
        assert len(server.peers) == 1


# The end -----------------------------------------------------------------------------------------


def test_closing_ends_the_calls_under_way(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        while True:
            peer.read()

    def wait_until_asked() -> None:
        while len(server.asked(SEARCH)) < 2:
            time.sleep(0.01)

    def close_when_asked(client: Any) -> Any:
        if driver.kind == "sync":
            wait_until_asked()
            return client.close()

        async def close() -> None:
            await asyncio.to_thread(wait_until_asked)
            await client.close()

        return close()

    with FakeServer(script) as server:
        client = driver.client(server.address)
        results = driver.run(client, search_for(1), search_for(2), close_when_asked)
        assert [type(result) for result in results] == [ClientClosed, ClientClosed, type(None)]
        with pytest.raises(ClientClosed):
            driver.call(client, search_for(3))
        driver.call(client, lambda c: c.close())
        assert len(server.peers) == 1


def test_refusals_of_a_connection_name_their_code(driver: Driver) -> None:
    with FakeServer(refuse) as server, pytest.raises(ConnectionFailed) as caught:
        one(driver, server, retries=0)
    assert isinstance(caught.value, ConnectionRefused)
    assert caught.value.code is ErrorCode.CONNECTION_LIMIT
