"""What can go wrong, as types. Every exception of this package is a `VizinhoError`.

    VizinhoError
    ├── ConnectionFailed   (also ConnectionError)  no connection, or it was lost, after the retries
    ├── ProtocolError      bytes that the protocol does not allow
    ├── ClientClosed       the client was closed before or during the call
    ├── RequestTimeout     (also TimeoutError)  no answer in time
    ├── InvalidRequest     (also ValueError)  refused by this client before it was sent
    └── ServerError        the server's own answer; has a `code`
        ├── UnknownCollection, UnknownRecord
        ├── RequestRejected    (also InvalidRequest)  refused by the server
        ├── DeadlineExceeded   (also RequestTimeout)  the server gave up in time
        ├── ConnectionRefused  (also ConnectionFailed)  the server wants no connection now
        ├── NotFresh           the collection is not as new as the request asked for
        └── RequestCancelled, Overloaded

So `except InvalidRequest`, `except RequestTimeout` and `except ConnectionFailed` catch the verdicts
of both sides. A `ConnectionFailed` of either side is what the clients retry by themselves.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """The stable numbers of the protocol's errors.

    A number from a newer server becomes a member of its own, named `UNKNOWN_<number>`.
    """

    MALFORMED_FRAME = 1
    FRAME_TOO_LARGE = 2
    UNSUPPORTED_VERSION = 3
    HELLO_EXPECTED = 4
    UNKNOWN_KIND = 5
    DUPLICATE_REQUEST_ID = 6
    UNKNOWN_COLLECTION = 10
    UNKNOWN_RECORD = 11
    DIMENSION_MISMATCH = 12
    NOT_FINITE = 13
    ZERO_VECTOR = 14
    INVALID_K = 15
    INVALID_EFFORT = 16
    INVALID_COUNT = 17
    UNSUPPORTED_OPTION = 18
    RECORD_ID_MISMATCH = 19
    DEADLINE_EXCEEDED = 20
    CANCELLED = 21
    OVERLOADED = 22
    SHUTTING_DOWN = 23
    CONNECTION_LIMIT = 24
    HANDSHAKE_TIMEOUT = 25
    STALLED = 26
    REPLY_TOO_LARGE = 27
    INVALID_RECALL_TARGET = 28
    INTERNAL = 30
    UNKNOWN_ATTRIBUTE = 31
    FILTER_TYPE_MISMATCH = 32
    ORDER_REFUSED = 33
    INVALID_FILTER = 34
    INVALID_OPTION = 35
    TENANT_REQUIRED = 36
    POSITION_NOT_REACHED = 37
    POSITION_FOREIGN = 38
    STRONG_UNAVAILABLE = 39

    @classmethod
    def _missing_(cls, value: object) -> ErrorCode | None:
        if not isinstance(value, int) or not 0 <= value < 2**32:
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}"
        unknown._value_ = value
        return unknown


class VizinhoError(Exception):
    """The base of all exceptions of this package."""


class ConnectionFailed(VizinhoError, ConnectionError):
    """No connection could be made, or it was lost, and the retries are used up."""


class ProtocolError(VizinhoError):
    """The server sent bytes that the protocol does not allow. The connection has been dropped."""


class ClientClosed(VizinhoError):
    """The client was closed before or during the call."""


class RequestTimeout(VizinhoError, TimeoutError):
    """No answer within the request's timeout."""


class InvalidRequest(VizinhoError, ValueError):
    """The arguments cannot make a valid request."""


class ServerError(VizinhoError):
    """The server answered with an error.

    Attributes:
        code: the protocol's number for it.
        message: what was wrong and what to do next, in the server's words.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code.name.lower()}, code {self.code.value})"


class UnknownCollection(ServerError):
    """The server has no collection of this name."""


class UnknownRecord(ServerError):
    """An id of a `search_by_id` or a `search_like` is not in the collection."""


class RequestRejected(ServerError, InvalidRequest):
    """The server refused an argument: `code` says which."""


class DeadlineExceeded(ServerError, RequestTimeout):
    """The server could not answer in time."""


class NotFresh(ServerError):
    """The collection did not get as new as `after` or `strong` asked for, or nobody can tell.

    Ask without them, ask again, or ask Postgres. A position of another Postgres, or of one that has
    been restored or has failed over since, is a `RequestRejected`: take a new one.
    """


class RequestCancelled(ServerError):
    """The request was cancelled."""


class Overloaded(ServerError):
    """The server has too much to do: try again later, or elsewhere."""


class ConnectionRefused(ServerError, ConnectionFailed):
    """The server goes away, has too many connections, or gave this one up: see `code`."""


_CLASSES: dict[ErrorCode, type[ServerError]] = {
    ErrorCode.UNKNOWN_COLLECTION: UnknownCollection,
    ErrorCode.UNKNOWN_RECORD: UnknownRecord,
    ErrorCode.DIMENSION_MISMATCH: RequestRejected,
    ErrorCode.NOT_FINITE: RequestRejected,
    ErrorCode.ZERO_VECTOR: RequestRejected,
    ErrorCode.INVALID_K: RequestRejected,
    ErrorCode.INVALID_EFFORT: RequestRejected,
    ErrorCode.INVALID_RECALL_TARGET: RequestRejected,
    ErrorCode.INVALID_COUNT: RequestRejected,
    ErrorCode.UNKNOWN_ATTRIBUTE: RequestRejected,
    ErrorCode.FILTER_TYPE_MISMATCH: RequestRejected,
    ErrorCode.ORDER_REFUSED: RequestRejected,
    ErrorCode.INVALID_FILTER: RequestRejected,
    ErrorCode.INVALID_OPTION: RequestRejected,
    ErrorCode.TENANT_REQUIRED: RequestRejected,
    ErrorCode.POSITION_FOREIGN: RequestRejected,
    ErrorCode.POSITION_NOT_REACHED: NotFresh,
    ErrorCode.STRONG_UNAVAILABLE: NotFresh,
    ErrorCode.UNSUPPORTED_OPTION: RequestRejected,
    ErrorCode.RECORD_ID_MISMATCH: RequestRejected,
    ErrorCode.REPLY_TOO_LARGE: RequestRejected,
    ErrorCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    ErrorCode.CANCELLED: RequestCancelled,
    ErrorCode.OVERLOADED: Overloaded,
    ErrorCode.SHUTTING_DOWN: ConnectionRefused,
    ErrorCode.CONNECTION_LIMIT: ConnectionRefused,
    ErrorCode.HANDSHAKE_TIMEOUT: ConnectionRefused,
    ErrorCode.STALLED: ConnectionRefused,
}


def server_error(code: int, message: str) -> ServerError:
    """The exception for an error code, `ServerError` itself where it has no class of its own."""
    known = ErrorCode(code)
    return _CLASSES.get(known, ServerError)(known, message)


def twin(error: VizinhoError) -> VizinhoError:
    """The same failure for one more caller: an exception raised twice grows two tracebacks."""
    other = type(error)(*error.args)
    other.__cause__ = error.__cause__
    return other
