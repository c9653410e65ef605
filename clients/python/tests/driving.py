"""One face for both clients, so that a behaviour is tested of both or it is not tested."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fake_server import FakeServer
from vizinho import AsyncClient, Client, SearchResult

Call = Callable[[Any], Any]

#: Long enough for this machine to answer, short enough to wait for its end.
SHORT = 0.5


class Driver:
    """Makes clients of one kind and calls them; a call that hangs fails the test."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._clients: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        if kind == "async":
            self._loop = asyncio.new_event_loop()
        elif kind == "uvloop":
            reason = "needs uvloop, which the extra `dev` brings"
            self._loop = pytest.importorskip("uvloop", reason=reason).new_event_loop()
        self._loop_errors: list[dict[str, Any]] = []
        if self._loop is not None:
            self._loop.set_exception_handler(lambda _, context: self._loop_errors.append(context))

    def client(self, address: str, **options: Any) -> Any:
        made = (Client if self.kind == "sync" else AsyncClient)(address, **options)
        self._clients.append(made)
        return made

    def run(self, client: Any, *calls: Call) -> list[Any]:
        """Makes all calls at the same time; exceptions are returned."""
        if self._loop is None:
            with ThreadPoolExecutor(len(calls)) as threads:
                futures = [threads.submit(call, client) for call in calls]
                return [f.exception(60) or f.result() for f in futures]

        async def gather() -> list[Any]:
            return await asyncio.gather(*(call(client) for call in calls), return_exceptions=True)

        return self._loop.run_until_complete(asyncio.wait_for(gather(), 60))

    def call(self, client: Any, call: Call) -> Any:
        (result,) = self.run(client, call)
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        for client in self._clients:
            self.call(client, lambda c: c.close())
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            left = asyncio.all_tasks(self._loop)
            self._loop.close()
            assert not left, "a client left a task behind"
            assert not self._loop_errors, "the event loop saw an exception that nobody caught"


def search_for(value: int, **options: Any) -> Call:
    return lambda client: client.search("documents", [float(value), 0.0], **{"k": 3} | options)


def ids(result: Any) -> list[int]:
    assert isinstance(result, SearchResult), result
    return list(result.ids)


def is_answer_for(value: int, result: Any) -> bool:
    return ids(result) == [value, value + 1, value + 2]


def one(driver: Driver, server: FakeServer, call: Call | None = None, **options: Any) -> Any:
    client = driver.client(server.address, **options)
    return driver.call(client, call or search_for(5))
