"""The state of one connection, without its socket: which requests are in flight, whose reply came.

Both clients feed it bytes and the time, and act on what it returns. Not thread-safe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from . import _replies, _wire
from ._requests import Request
from .errors import ProtocolError, ServerError
from .results import ServerInfo

W = TypeVar("W")

#: Requests smaller than this are copied into one write; a larger tail is written from where it is.
COPY_BYTES_MAX = 32_768
#: An answer is overdue and nothing at all has come for so long: the connection is dead, although
#: no one said so. The server answers at the deadline, so that this is not a busy server's silence.
SILENCE_SECONDS_MAX = 5.0


class Session(Generic[W]):
    """Requests in flight on one connection. `W` is what the shell wakes when a reply is there.

    An id stays taken until its reply has come, even when nobody waits for that any more: the server
    answers each request exactly once, and counts it until then.
    """

    def __init__(self, reply_bytes_max: int) -> None:
        self._reply_bytes_max = reply_bytes_max
        self._reader = _wire.FrameReader(_wire.HANDSHAKE_BYTES_MAX)
        self._waiting: dict[int, W] = {}
        self._abandoned: dict[int, float] = {}
        self._last_id = 0
        self._received_at = 0.0
        self._in_flight_max = 1
        self.buffer = self._reader.buffer
        #: Set when the server has announced that it closes the connection.
        self.closed_by: ServerError | None = None

    def open(self, server: ServerInfo) -> None:
        """Takes over the limits of the welcome."""
        self._reader.body_bytes_max = min(server.frame_bytes_max, self._reply_bytes_max)
        self._in_flight_max = server.requests_in_flight_max

    @property
    def has_room(self) -> bool:
        """Whether the server would take one more request now."""
        return len(self._waiting) + len(self._abandoned) < self._in_flight_max

    def is_dead(self, now: float) -> bool:
        """Whether an answer is overdue and the server silent since."""
        if not self._abandoned:
            return False
        since = max(self._received_at, next(iter(self._abandoned.values())))
        return now - since > SILENCE_SECONDS_MAX

    def begin(self, waiter: W) -> int:
        """Enters a request; returns its id. The caller has seen that there is room."""
        request_id = self._last_id
        while True:
            request_id = request_id % 0xFFFFFFFF + 1
            if request_id not in self._waiting and request_id not in self._abandoned:
                break
        self._last_id = request_id
        self._waiting[request_id] = waiter
        return request_id

    def abandon(self, request_id: int, now: float) -> bool:
        """Nobody waits for this request any more. Returns whether a Cancel is worth sending."""
        if self._waiting.pop(request_id, None) is None:
            return False
        self._abandoned[request_id] = now
        return True

    def forget(self, request_id: int) -> None:
        """This request was never sent, so that no reply will come."""
        self._waiting.pop(request_id, None)

    def receive(self, count: int, now: float) -> Iterator[tuple[W, _wire.Frame | ServerError]]:
        """Takes note of `count` bytes that were put into `buffer()`; yields who got which answer.

        Raises:
            ProtocolError: the stream is of no use any more.
            ServerError: an error that concerns the connection, not one request.
        """
        self._received_at = now
        for frame in self._reader.advance(count):
            answer: _wire.Frame | ServerError = frame
            closes = False
            if frame.kind == _wire.Kind.ERROR:
                answer, closes = _replies.error(frame.body)
                if frame.request_id == 0:
                    raise answer
            waiter = self._waiting.pop(frame.request_id, None)
            if waiter is not None:
                yield waiter, answer
            elif self._abandoned.pop(frame.request_id, None) is None:
                raise ProtocolError(f"an answer to request {frame.request_id}, which was not asked")
            if closes and isinstance(answer, ServerError):
                self.closed_by = answer

    def end(self) -> list[W]:
        """The connection is gone. Returns who still waits."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._abandoned.clear()
        return waiting


def frame_parts(
    request: Request[Any], request_id: int, deadline_milliseconds: int
) -> tuple[bytes, memoryview]:
    """What to write: the first part, and the tail where it is worth not copying, else nothing."""
    header = _wire.header(request.kind, request.body_length, request_id, deadline_milliseconds)
    if len(request.tail) <= COPY_BYTES_MAX:
        return b"".join((header, request.head, request.tail)), request.tail[:0]
    return header + request.head, request.tail


def deadline_milliseconds(seconds_left: float) -> int:
    """The header's deadline; 0 leaves it to the server."""
    if seconds_left == math.inf:
        return 0
    return max(int(min(seconds_left * 1_000, 0xFFFFFFFF)), 1)
