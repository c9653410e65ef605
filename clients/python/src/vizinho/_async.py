"""`AsyncClient`: the tasks of an event loop share one connection, requests interleave on it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from . import _requests, _wire
from ._options import Options, backoff_seconds
from ._requests import Request
from ._session import Session, deadline_milliseconds, frame_parts
from .errors import (
    ClientClosed,
    ConnectionFailed,
    InvalidRequest,
    ProtocolError,
    RequestTimeout,
    ServerError,
    VizinhoError,
    twin,
)
from .results import Collection, Fetched, RecordID, SearchBatch, SearchResult, ServerInfo

T = TypeVar("T")


class AsyncClient:
    """A client for asyncio. One instance serves any number of tasks of one event loop.

    Requests of all tasks travel over one connection without waiting for each other. It is opened at
    the first request and opened again when it is lost; what had no answer by then is asked again,
    which is safe because the protocol has no writes.

    Args:
        address: `"host:port"`, or `"[ipv6]:port"`.
        timeout: seconds that a request may take, everything included; the server learns of it and
            stops working on what nobody waits for. None: no limit but the server's.
        connect_timeout: seconds for one attempt to connect.
        retries: how often a request is tried again after a failed or lost connection.
        reply_bytes_max: the longest reply that is accepted, whatever the server announces.
        name: who this is, for the server's log.

    Raises (all methods):
        VizinhoError: see `vizinho.errors`.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = 30.0,
        connect_timeout: float = 5.0,
        retries: int = 3,
        reply_bytes_max: int = 64 << 20,
        name: str = "vizinho-python",
    ) -> None:
        self._options = Options(address, timeout, connect_timeout, retries, reply_bytes_max, name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[_Pending] = deque()
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0  # in a row, without an answer in between
        self._server: ServerInfo | None = None
        self._closed = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls under way raise `ClientClosed`. May be called twice."""
        self._closed = True
        for pending in self._queue:
            pending.fail(ClientClosed("the client was closed"))
        self._queue.clear()
        if self._connecting is not None:
            connecting = self._connecting
            connecting.cancel()
            await asyncio.wait([connecting])
        if self._connection is not None:
            connection = self._connection
            connection.fail(ClientClosed("the client was closed"))
            await connection.closed

    async def connect(self, *, timeout: float | None = None) -> ServerInfo:
        """Connects now rather than at the first request; returns the server's name and limits."""
        await self.ping(timeout=timeout)
        if self._server is None:
            raise ConnectionFailed("the connection was lost as soon as it was made")
        return self._server

    # Requests ------------------------------------------------------------------------------------

    @overload
    async def search(
        self,
        collection: str,
        vectors: Sequence[float],
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        timeout: float | None = ...,
    ) -> SearchResult: ...
    @overload
    async def search(
        self,
        collection: str,
        vectors: Sequence[Sequence[float]] | Sequence[npt.NDArray[Any]],
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        timeout: float | None = ...,
    ) -> SearchBatch: ...
    @overload
    async def search(
        self,
        collection: str,
        vectors: npt.ArrayLike,
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        timeout: float | None = ...,
    ) -> Any: ...
    async def search(
        self,
        collection: str,
        vectors: npt.ArrayLike,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Finds the `k` nearest rows of each query.

        Args:
            collection: the collection's name.
            vectors: `[dimension]` or `[queries, dimension]`. A C-contiguous float32 or float16
                array is sent as it is, anything else is converted to float32.
            k: results a query. More than there are rows is no error: all rows come back.
            ef: the size of the candidate list; larger finds more and takes longer. None: the
                collection's default.
            exact: compare every row.
            timeout: seconds, instead of the client's.

        Returns:
            A `SearchResult` for one query, a `SearchBatch` for a 2-D array, however few its rows.
        """
        return await self._call(_requests.search(collection, vectors, k, ef, exact), timeout)

    @overload
    async def search_by_id(  # type: ignore[overload-overlap]  # a str or tuple is one id, not many
        self,
        collection: str,
        ids: RecordID,
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        include_self: bool = ...,
        timeout: float | None = ...,
    ) -> SearchResult: ...
    @overload
    async def search_by_id(
        self,
        collection: str,
        ids: Iterable[RecordID] | npt.NDArray[np.integer[Any]],
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        include_self: bool = ...,
        timeout: float | None = ...,
    ) -> SearchBatch: ...
    async def search_by_id(
        self,
        collection: str,
        ids: _requests.IDs,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        include_self: bool = False,
        timeout: float | None = None,
    ) -> SearchResult | SearchBatch:
        """Finds the neighbours of rows that are in the collection.

        An id that is not there fails the whole request with `UnknownRecord`. `include_self` lets a
        row be among its own results. A tuple is one composite id; several ids come as a list or as
        an integer array. Otherwise as `search`.
        """
        request = _requests.search_by_id(collection, ids, k, ef, exact, include_self)
        return await self._call(request, timeout)

    async def fetch(
        self,
        collection: str,
        ids: _requests.IDs,
        *,
        vectors: bool = True,
        timeout: float | None = None,
    ) -> Fetched:
        """Asks which ids are in the collection, and for their vectors."""
        return await self._call(_requests.fetch(collection, ids, vectors), timeout)

    async def collections(self, *, timeout: float | None = None) -> list[Collection]:
        """Lists the collections of the server."""
        return await self._call(_requests.collections(), timeout)

    async def statistics(
        self, collection: str, *, timeout: float | None = None
    ) -> dict[str, int | float | str]:
        """What the server counts about a collection; the names are in its documentation."""
        return await self._call(_requests.statistics(collection), timeout)

    async def ping(self, *, timeout: float | None = None) -> float:
        """Goes to the server and back; returns the seconds that it took."""
        started = time.perf_counter()
        await self._call(_requests.ping(), timeout)
        return time.perf_counter() - started

    # One request ---------------------------------------------------------------------------------

    async def _call(self, request: Request[T], timeout: float | None) -> T:
        loop = self._running_loop()
        deadline = self._options.deadline(loop.time(), timeout)
        pending = _Pending(request, loop.create_future(), deadline, self._options.retries)
        self._submit(pending)
        timer = None if deadline == math.inf else loop.call_at(deadline, self._expire, pending)
        try:
            frame = await pending.future
        except asyncio.CancelledError:
            self._abandon(pending)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        try:
            return request.answer(frame)
        except ProtocolError as error:
            if pending.connection is not None:
                pending.connection.fail(error)
            raise

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise ClientClosed("the client is closed")
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise InvalidRequest(
                "this AsyncClient belongs to another event loop: make one in each loop"
            )
        return loop

    def _submit(self, pending: _Pending) -> None:
        connection = self._connection
        if connection is not None and connection.session.is_dead(connection.loop.time()):
            connection.fail(ConnectionFailed("the server has fallen silent"))
        self._queue.append(pending)
        self._pump()

    def _expire(self, pending: _Pending) -> None:
        pending.fail(RequestTimeout("no answer in time"))
        self._abandon(pending)

    def _abandon(self, pending: _Pending) -> None:
        if pending.connection is not None:
            pending.connection.abandon(pending.request_id)
        else:
            with contextlib.suppress(ValueError):
                self._queue.remove(pending)

    # The connection ------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Sends what is queued, as far as the connection takes it; sees to it that there is one."""
        while self._queue:
            connection = self._connection
            if connection is None:
                if self._connecting is None and not self._closed:
                    self._connecting = asyncio.ensure_future(self._connect())
                return
            if not connection.takes_requests:
                return
            pending = self._queue.popleft()
            if not pending.future.done():
                connection.send(pending)

    async def _connect(self) -> None:
        """Makes the connection; each attempt in vain costs everything queued one of its retries."""
        try:
            while self._queue:
                await asyncio.sleep(backoff_seconds(self._failures))
                try:
                    self._connection = await self._open()
                    break
                except VizinhoError as error:
                    queued = list(self._queue)
                    self._queue.clear()
                    self._retry(queued, error)
        finally:
            self._connecting = None
            if not self._queue:
                self._failures = 0
        self._pump()

    async def _open(self) -> _Connection:
        connection = _Connection(self)
        where = self._options.address
        seconds = self._options.connect_timeout
        failure: VizinhoError | None
        try:
            await asyncio.wait_for(self._shake_hands(connection), seconds)
            failure = connection.failure
        except VizinhoError as error:
            failure = error
        except (asyncio.TimeoutError, TimeoutError):
            failure = ConnectionFailed(f"no welcome from {where} within {seconds:g} s")
        except Exception as error:  # noqa: BLE001  # callers wait for an outcome
            failure = ConnectionFailed(f"no connection to {where}: {error}")
            failure.__cause__ = error
        except BaseException:
            connection.fail(ClientClosed("the attempt to connect was given up"))
            raise
        if failure is not None:
            connection.fail(failure)
            raise twin(failure)
        return connection

    async def _shake_hands(self, connection: _Connection) -> None:
        loop = connection.loop
        await loop.create_connection(lambda: connection, self._options.host, self._options.port)
        hello = _requests.hello(self._options.name)
        pending = _Pending(hello, loop.create_future(), math.inf, retries_left=0)
        connection.send(pending)
        self._server = connection.open(hello.answer(await pending.future))

    def _answered(self) -> None:
        self._failures = 0

    def _retry(self, requests: list[_Pending], error: VizinhoError) -> None:
        """Requests without an answer of their own go to the head of the queue, or they fail."""
        for pending in reversed(requests):
            pending.connection = None
            if pending.retries_left == 0 or not isinstance(error, ConnectionFailed):
                pending.fail(error)
            elif not pending.future.done():
                pending.retries_left -= 1
                self._queue.appendleft(pending)

    def _lost(self, connection: _Connection, waiting: list[_Pending], error: VizinhoError) -> None:
        if self._connection is connection:
            self._connection = None
        if not connection.has_answered:
            self._failures += 1
        self._retry(waiting, error)
        self._pump()


class _Pending:
    """A request from its call to its answer: queued, or in flight on `connection`."""

    __slots__ = ("connection", "deadline", "future", "request", "request_id", "retries_left")

    def __init__(
        self,
        request: Request[Any],
        future: asyncio.Future[_wire.Frame],
        deadline: float,
        retries_left: int,
    ) -> None:
        self.request = request
        self.future = future
        self.deadline = deadline
        self.retries_left = retries_left
        self.connection: _Connection | None = None
        self.request_id = 0

    def fail(self, error: VizinhoError) -> None:
        if not self.future.done():
            self.future.set_exception(twin(error))


class _Connection(asyncio.BufferedProtocol):
    """The shell around a `Session`: moves bytes, wakes futures, tells the client what it lost."""

    transport: asyncio.Transport

    def __init__(self, client: AsyncClient) -> None:
        self.loop = asyncio.get_running_loop()
        self.session: Session[_Pending] = Session(client._options.reply_bytes_max)
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.has_answered = False
        self._client = client
        self._server: ServerInfo | None = None
        self._connected = False
        self._writable = True
        self.failure: VizinhoError | None = None

    @property
    def takes_requests(self) -> bool:
        return self._writable and self.session.has_room

    def open(self, server: ServerInfo) -> ServerInfo:
        self.session.open(server)
        self._server = server
        return server

    def send(self, pending: _Pending) -> None:
        if self._server is not None:
            try:
                pending.request.check_fits(self._server)
            except InvalidRequest as error:
                pending.fail(error)
                return
        milliseconds = deadline_milliseconds(pending.deadline - self.loop.time())
        pending.connection = self
        pending.request_id = self.session.begin(pending)
        head, tail = frame_parts(pending.request, pending.request_id, milliseconds)
        self.transport.write(head)
        if tail:
            self.transport.write(tail)

    def abandon(self, request_id: int) -> None:
        if self.session.abandon(request_id, self.loop.time()):
            self.transport.write(_wire.cancel_frame(request_id))

    def fail(self, error: VizinhoError) -> None:
        """Ends the connection, once; who waits for an answer is handed back to the client."""
        if self.failure is not None:
            return
        self.failure = error
        if self._connected:
            self.transport.abort()
        self._client._lost(self, self.session.end(), error)

    # What asyncio calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one only in its manners
        self._connected = True
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.failure is not None:
            self.transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the session knows better
        return self.session.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        if self.failure is not None:
            return
        try:
            for pending, answer in self.session.receive(nbytes, self.loop.time()):
                if self._server is not None:
                    self.has_answered = True
                    self._client._answered()
                if isinstance(answer, ServerError):
                    self._client._retry([pending], answer)
                elif not pending.future.done():
                    pending.future.set_result(answer)
        except (ProtocolError, ServerError) as error:
            self.fail(error)
        else:
            if self.session.closed_by is not None:
                self.fail(ConnectionFailed(f"the server hung up: {self.session.closed_by}"))
        self._client._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the server closed the connection" if exc is None else f"connection lost: {exc}"
        self.fail(ConnectionFailed(reason))
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._client._pump()
