"""What is under a `Client`: the connection that its threads share, and its renewal.

There is no thread of its own. Of the threads that wait for an answer, one reads the socket for all
(it has the lead); when it has its own answer it passes the lead on. A single thread therefore never
waits for another one to run.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from . import _requests, _wire
from ._options import Options, backoff_seconds
from ._requests import Request
from ._session import Session, deadline_milliseconds, frame_parts
from .errors import (
    ClientClosed,
    ConnectionFailed,
    ProtocolError,
    RequestTimeout,
    ServerError,
    VizinhoError,
    twin,
)
from .results import ServerInfo

T = TypeVar("T")

#: How long a thread that cannot write looks away from whether someone still reads.
_WRITE_WAIT_SECONDS = 0.05


class Link:
    """Keeps one connection to one server, for any number of threads."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()  # held while connecting, so that one thread does it for all
        self._connection: _Connection | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """Ends the connection; calls under way raise `ClientClosed`. May be called twice."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.fail(ClientClosed("the client was closed"))

    def connect(self, timeout: float | None) -> ServerInfo:
        """Connects now rather than at the first request; returns the server's name and limits."""

        def confirm(connection: _Connection, deadline: float) -> ServerInfo:
            connection.exchange(_requests.ping(), deadline)
            return connection.server

        return self._attempt(confirm, timeout)

    def call(self, request: Request[T], timeout: float | None) -> T:
        """Sends a request and waits for its answer; see `Client` for what may be raised."""

        def exchange(connection: _Connection, deadline: float) -> T:
            request.check_fits(connection.server)
            return connection.exchange(request, deadline)

        return self._attempt(exchange, timeout)

    def _attempt(self, action: Callable[[_Connection, float], T], timeout: float | None) -> T:
        """Runs `action` on a connection; again on another one when that fails, within bounds."""
        deadline = self._options.deadline(time.monotonic(), timeout)
        failures = 0
        while True:
            try:
                return action(self._connected(deadline), deadline)
            except ConnectionFailed as error:
                pause = backoff_seconds(failures)
                failures += 1
                if failures > self._options.retries:
                    raise
                if _seconds_left(deadline) <= pause:
                    raise RequestTimeout(f"no answer in time; the last attempt: {error}") from error
                time.sleep(pause)

    def _connected(self, deadline: float) -> _Connection:
        if not self._lock.acquire(timeout=_seconds_left(deadline)):
            raise RequestTimeout("no connection in time")
        try:
            if self._closed.is_set():
                raise ClientClosed("the client is closed")
            connection = self._connection
            if connection is None or not connection.is_usable():
                connection = self._connection = _Connection.open(self._options, deadline)
                # Another thread may have closed the client, and could not see this connection yet.
                if self._closed.is_set():
                    connection.fail(ClientClosed("the client was closed"))
            return connection
        finally:
            self._lock.release()


class _Waiter:
    """A thread in `exchange`. It has a condition only once it has to sleep."""

    __slots__ = ("answer", "condition", "wants_room")

    def __init__(self) -> None:
        self.answer: _wire.Frame | ServerError | None = None
        self.condition: threading.Condition | None = None
        self.wants_room = False

    def wake(self) -> None:
        if self.condition is not None:
            self.condition.notify()


class _Connection:
    """The shell around a `Session`: moves bytes and decides which thread reads.

    `_lock` guards everything but the socket. `_write_lock` is taken before it, never after it, and
    keeps frames whole. The file descriptor is closed by the last thread that uses it, so that none
    can be left with a number that means another socket by then.
    """

    def __init__(self, sock: socket.socket, reply_bytes_max: int) -> None:
        self._socket = sock
        self._session: Session[_Waiter] = Session(reply_bytes_max)
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._followers: dict[_Waiter, None] = {}  # asleep; in the order in which they came
        self._is_read = False  # a thread has the lead
        self._users = 0
        self._failure: VizinhoError | None = None
        self.server: ServerInfo

    @classmethod
    def open(cls, options: Options, request_deadline: float) -> _Connection:
        """Connects and shakes hands."""
        deadline = min(time.monotonic() + options.connect_timeout, request_deadline)
        try:
            sock = socket.create_connection(
                (options.host, options.port), timeout=max(_seconds_left(deadline), 0.001)
            )
        except (OSError, UnicodeError) as error:
            raise ConnectionFailed(f"no connection to {options.address}: {error}") from error
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = cls(sock, options.reply_bytes_max)
        try:
            connection.server = connection.exchange(_requests.hello(options.name), deadline)
        except RequestTimeout:
            late = ConnectionFailed(f"no welcome from {options.address} in time")
            connection.fail(late)
            raise late from None
        except BaseException:
            connection.fail(ConnectionFailed("the attempt to connect was given up"))
            raise
        connection._session.open(connection.server)
        return connection

    def exchange(self, request: Request[T], deadline: float) -> T:
        """Sends a request and waits for its answer."""
        waiter = _Waiter()
        with self._lock:
            self._users += 1
        try:
            answer = self._ask(request, waiter, deadline)
        finally:
            with self._lock:
                self._users -= 1
                self._close_if_unused()
        if isinstance(answer, ServerError):
            raise answer
        try:
            return request.answer(answer)
        except ProtocolError as error:
            self.fail(error)
            raise

    def is_usable(self) -> bool:
        """Whether a request can be tried here."""
        with self._lock:
            self._users += 1
            now = time.monotonic()
            if self._failure is None and self._session.is_dead(now) and not self._is_read:
                self._read(select.POLLIN, now)  # perhaps it is only that no one has looked
                if self._session.is_dead(now):
                    self._fail(ConnectionFailed("the server has fallen silent"))
                self._pass_the_lead()
            self._users -= 1
            self._close_if_unused()
            return self._failure is None

    def fail(self, error: VizinhoError) -> None:
        """Ends the connection, once; all who wait for it raise `error`."""
        with self._lock:
            self._fail(error)

    # With no lock held ---------------------------------------------------------------------------

    def _ask(
        self, request: Request[Any], waiter: _Waiter, deadline: float
    ) -> _wire.Frame | ServerError:
        with self._lock:
            waiter.wants_room = True
            self._wait(lambda: self._session.has_room, waiter, deadline)
            waiter.wants_room = False
            request_id = self._session.begin(waiter)
        try:
            milliseconds = deadline_milliseconds(deadline - time.monotonic())
            self._write(*frame_parts(request, request_id, milliseconds), deadline)
        except BaseException:
            with self._lock:
                self._session.forget(request_id)
            raise
        try:
            with self._lock:
                self._wait(lambda: waiter.answer is not None, waiter, deadline)
        except BaseException:
            self._abandon(request_id)
            raise
        assert waiter.answer is not None
        return waiter.answer

    def _abandon(self, request_id: int) -> None:
        with self._lock:
            worth_a_cancel = self._session.abandon(request_id, time.monotonic())
        # A courtesy: where it would have to wait, the server's own deadline does the same.
        if worth_a_cancel and self._write_lock.acquire(blocking=False):
            try:
                frame = _wire.cancel_frame(request_id)
                if self._socket.send(frame) < len(frame):
                    self.fail(ConnectionFailed("the connection broke within a frame"))
            except OSError:
                pass
            finally:
                self._write_lock.release()

    def _write(self, head: bytes, tail: memoryview, deadline: float) -> None:
        """Sends all of it. When it raises, nothing was sent, or the connection has ended."""
        if not self._write_lock.acquire(timeout=_seconds_left(deadline)):
            raise RequestTimeout("the request could not be sent in time")
        whole = left = len(head) + len(tail)
        parts = [memoryview(head), tail]
        is_torn = True
        try:
            while left:
                try:
                    sent = self._socket.sendmsg(parts)
                except BlockingIOError:
                    self._wait_writable(deadline)
                    continue
                left -= sent
                while parts and sent >= len(parts[0]):
                    sent -= len(parts.pop(0))
                if parts:
                    parts[0] = parts[0][sent:]
            is_torn = False
        except VizinhoError:
            is_torn = left < whole
            raise
        except OSError as error:
            self.fail(ConnectionFailed(f"connection lost: {error}"))
            raise twin(self._failure or ConnectionFailed("connection lost")) from error
        finally:
            self._write_lock.release()
            if is_torn:
                self.fail(ConnectionFailed("the connection broke within a frame"))

    def _wait_writable(self, deadline: float) -> None:
        """Waits until more can be sent, and reads meanwhile: the server may be waiting for that."""
        with self._lock:
            if self._failure is not None:
                raise twin(self._failure)
            if _seconds_left(deadline) <= 0:
                raise RequestTimeout("the request could not be sent in time")
            if not self._is_read:
                self._read(select.POLLIN | select.POLLOUT, deadline)
                self._pass_the_lead()
                return
        soon = time.monotonic() + _WRITE_WAIT_SECONDS
        _poll(self._socket, select.POLLOUT, min(soon, deadline))

    # With `_lock` held ---------------------------------------------------------------------------

    def _wait(self, is_ready: Callable[[], bool], waiter: _Waiter, deadline: float) -> None:
        """Waits until `is_ready()`; takes the lead whenever nobody has it."""
        try:
            while not is_ready():
                if self._failure is not None:
                    raise twin(self._failure)
                left = _seconds_left(deadline)
                if left <= 0:
                    raise RequestTimeout("no answer in time")
                if self._is_read:
                    self._follow(waiter, left)
                else:
                    self._read(select.POLLIN, deadline)
        finally:
            self._pass_the_lead()

    def _follow(self, waiter: _Waiter, seconds: float) -> None:
        if waiter.condition is None:
            waiter.condition = threading.Condition(self._lock)
        self._followers[waiter] = None
        try:
            waiter.condition.wait(seconds)
        finally:
            del self._followers[waiter]

    def _pass_the_lead(self) -> None:
        """Whoever leaves calls this, so that someone reads as long as someone waits."""
        if not self._is_read:
            for waiter in self._followers:
                waiter.wake()
                return

    def _read(self, events: int, deadline: float) -> None:
        """Takes the lead for one look at the socket. Lets go of the lock meanwhile."""
        count: int | None = None
        failure: VizinhoError | None = None
        self._is_read = True
        self._lock.release()
        try:
            if _poll(self._socket, events, deadline) & ~select.POLLOUT:
                count = self._socket.recv_into(self._session.buffer())
                if count == 0:
                    failure = ConnectionFailed("the server closed the connection")
        except BlockingIOError:
            pass
        except OSError as error:
            failure = ConnectionFailed(f"connection lost: {error}")
        finally:
            self._lock.acquire()
            self._is_read = False
        if failure is None and count is not None:
            failure = self._deliver(count)
        if failure is not None:
            self._fail(failure)

    def _deliver(self, count: int) -> VizinhoError | None:
        """Hands out what `count` new bytes complete; returns what ends the connection."""
        try:
            for waiter, answer in self._session.receive(count, time.monotonic()):
                waiter.answer = answer
                waiter.wake()
        except (ProtocolError, ServerError) as error:
            return error
        if self._session.has_room:
            for waiter in self._followers:
                if waiter.wants_room:
                    waiter.wake()
        if self._session.closed_by is not None:
            return ConnectionFailed(f"the server hung up: {self._session.closed_by}")
        return None

    def _fail(self, error: VizinhoError) -> None:
        if self._failure is not None:
            return
        self._failure = error
        self._session.end()
        for waiter in self._followers:
            waiter.wake()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that has the lead
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._failure is not None and self._users == 0:
            self._socket.close()


def _poll(sock: socket.socket, events: int, deadline: float) -> int:
    """Which of `events` have come; 0 when the time is over."""
    poll = select.poll()
    poll.register(sock, events)
    ready = poll.poll(min(int(_seconds_left(deadline) * 1_000) + 1, 0x7FFFFFFF))
    return ready[0][1] if ready else 0


def _seconds_left(deadline: float) -> float:
    """Never negative, and never more than a lock can wait."""
    return min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
