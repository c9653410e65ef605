"""What is under an `AsyncClient`: a queue of requests, the connection they go to, and its renewal.

A request is queued, sent, and answered; when its connection ends first it is queued again. All of
it runs in callbacks of the event loop: a call costs one future and no task.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections import deque
from typing import Any, TypeVar, cast

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
from .results import ServerInfo

T = TypeVar("T")


class Link:
    """Keeps one connection to one server, for all tasks of one event loop.

    Attributes:
        server: what the last welcome said; None before the first.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.server: ServerInfo | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[_Pending] = deque()
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0  # in a row, without an answer in between
        self._closed = False

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

    async def call(self, request: Request[T], timeout: float | None) -> T:
        """Sends a request and waits for its answer; see `AsyncClient` for what may be raised."""
        loop = self._running_loop()
        deadline = self.options.deadline(loop.time(), timeout)
        pending = _Pending(request, loop.create_future(), deadline, self.options.retries)
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
        self.pump()

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

    def pump(self) -> None:
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
                    self.retry(queued, error)
        finally:
            self._connecting = None
            if not self._queue:
                self._failures = 0
        self.pump()

    async def _open(self) -> _Connection:
        connection = _Connection(self)
        where = self.options.address
        seconds = self.options.connect_timeout
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
        await loop.create_connection(lambda: connection, self.options.host, self.options.port)
        if connection.failure is not None:  # the server spoke first, and not well
            raise twin(connection.failure)
        hello = _requests.hello(self.options.name)
        pending = _Pending(hello, loop.create_future(), math.inf, retries_left=0)
        connection.send(pending)
        self.server = connection.open(hello.answer(await pending.future))

    # What a connection calls ---------------------------------------------------------------------

    def answered(self) -> None:
        """The connection is good."""
        self._failures = 0

    def retry(self, requests: list[_Pending], error: VizinhoError) -> None:
        """Requests without an answer of their own go to the head of the queue, or they fail."""
        for pending in reversed(requests):
            pending.connection = None
            if pending.retries_left == 0 or not isinstance(error, ConnectionFailed):
                pending.fail(error)
            elif not pending.future.done():
                pending.retries_left -= 1
                self._queue.appendleft(pending)

    def lost(self, connection: _Connection, waiting: list[_Pending], error: VizinhoError) -> None:
        """A connection has ended; `waiting` had no answer on it."""
        if self._connection is connection:
            self._connection = None
        if not connection.has_answered:
            self._failures += 1
        self.retry(waiting, error)
        self.pump()


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
    """The shell around a `Session`: moves bytes, wakes futures, tells the link what it lost."""

    transport: asyncio.Transport

    def __init__(self, link: Link) -> None:
        self.loop = asyncio.get_running_loop()
        self.session: Session[_Pending] = Session(link.options.reply_bytes_max)
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.has_answered = False
        self._link = link
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
        """Ends the connection, once; who waits for an answer is handed back to the link."""
        if self.failure is not None:
            return
        self.failure = error
        if self._connected:
            self.transport.abort()
        self._link.lost(self, self.session.end(), error)

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
                    self._link.answered()
                if isinstance(answer, ServerError):
                    self._link.retry([pending], answer)
                elif not pending.future.done():
                    pending.future.set_result(answer)
        except (ProtocolError, ServerError) as error:
            self.fail(error)
        else:
            if self.session.closed_by is not None:
                self.fail(ConnectionFailed(f"the server hung up: {self.session.closed_by}"))
        self._link.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the server closed the connection" if exc is None else f"connection lost: {exc}"
        self.fail(ConnectionFailed(reason))
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._link.pump()
