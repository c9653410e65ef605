"""From what a caller passes to a `Request`: checks, conversions, and how its reply is read.

Both clients send what this file builds, so that they cannot differ. Checked here is only what no
server could accept; the limits of a particular server are that server's to enforce.
"""

from __future__ import annotations

import operator
import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from . import _replies, _wire
from ._freshness import Freshness
from ._modifiers import Modifiers, fetch_modifiers
from .errors import InvalidRequest, ProtocolError
from .results import (
    Collection,
    Description,
    Fetched,
    RecordID,
    RecordIDs,
    SearchBatch,
    SearchResult,
    ServerInfo,
)

T_co = TypeVar("T_co", covariant=True)

#: One id or several, as callers write them.
IDs: TypeAlias = RecordID | Iterable[RecordID] | npt.NDArray[Any]

_NO_TAIL = memoryview(b"")
_NO_MODIFIERS = Modifiers()
_AS_IT_IS = Freshness()
_F32 = np.dtype("<f4")
_F16 = np.dtype("<f2")

#: The recalls that can be asked for.
_RECALL_MIN, _RECALL_MAX = 0.8, 0.999


@dataclass(frozen=True)
class Request(Generic[T_co]):
    """One request without its header, and how to read the answer.

    The body is `head` and then `tail`; the tail is the caller's own memory where that was possible.
    """

    kind: _wire.Kind
    head: bytes
    tail: memoryview
    reply_kind: _wire.Kind
    read: Callable[[_wire.Frame], T_co]

    @property
    def body_length(self) -> int:
        """Bytes after the header."""
        return len(self.head) + len(self.tail)

    def check_fits(self, server: ServerInfo) -> None:
        """Refuses a frame at which the server would have to hang up on everyone who shares it."""
        if self.body_length > server.frame_bytes_max:
            raise InvalidRequest(
                f"the request has {self.body_length} bytes, the server takes "
                f"{server.frame_bytes_max}: send fewer queries or ids at a time"
            )

    def answer(self, frame: _wire.Frame) -> T_co:
        """Reads the reply.

        Raises:
            ProtocolError: it is not what this request is answered with.
        """
        if frame.kind != self.reply_kind:
            raise ProtocolError(f"a {self.kind.name} was answered with kind {frame.kind:#04x}")
        return self.read(frame)


def hello(client: str) -> Request[ServerInfo]:
    """The first request of a connection."""
    body = _wire.hello(client)
    read = _body_reader(_replies.welcome)
    return Request(_wire.Kind.HELLO, body, _NO_TAIL, _wire.Kind.WELCOME, read)


def ping() -> Request[None]:
    """A ping whose reply must repeat it."""
    token = os.urandom(8)

    def read(frame: _wire.Frame) -> None:
        if frame.body != token:
            raise ProtocolError("a pong does not repeat its ping")

    return Request(_wire.Kind.PING, token, _NO_TAIL, _wire.Kind.PONG, read)


def collections() -> Request[list[Collection]]:
    """All collections of the server."""
    kinds = _wire.Kind.LIST_COLLECTIONS, _wire.Kind.COLLECTIONS
    return Request(kinds[0], b"", _NO_TAIL, kinds[1], _body_reader(_replies.collections))


def statistics(collection: str) -> Request[dict[str, int | float | str]]:
    """What the server counts about a collection."""
    body = _wire.encode_string(collection)
    read = _body_reader(_replies.statistics)
    return Request(_wire.Kind.STATISTICS, body, _NO_TAIL, _wire.Kind.STATISTICS_REPLY, read)


def search(
    collection: str,
    vectors: npt.ArrayLike,
    k: int,
    recall: float | None,
    ef: int | None,
    exact: bool,
    modifiers: Modifiers = _NO_MODIFIERS,
) -> Request[SearchResult | SearchBatch]:
    """The neighbours of one query (1-D) or of several (2-D)."""
    effort, recall_target = _effort_or_recall(ef, recall, exact)
    queries = _query_array(vectors)
    single = queries.ndim == 1
    count = 1 if single else queries.shape[0]
    head = _wire.search(
        k=_u32("k", k, 1),
        ef=effort,
        recall_target=recall_target,
        element_type=_wire.ELEMENT_F16 if queries.dtype == _F16 else _wire.ELEMENT_F32,
        options=_wire.EXACT if exact else 0,
        dimension=queries.shape[-1],
        count=count,
        collection=collection,
        modifiers=modifiers.encode(count, single=single),
    )
    return _search_request(_wire.Kind.SEARCH, head, queries.data.cast("B"), count, single)


def search_by_id(
    collection: str,
    ids: IDs,
    k: int,
    recall: float | None,
    ef: int | None,
    exact: bool,
    include_self: bool,
    modifiers: Modifiers = _NO_MODIFIERS,
) -> Request[SearchResult | SearchBatch]:
    """The neighbours of one row or of several."""
    effort, recall_target = _effort_or_recall(ef, recall, exact)
    single = isinstance(ids, (int, np.integer, uuid.UUID, str, tuple))
    listed = _id_list(ids)
    head = _wire.search_by_id(
        k=_u32("k", k, 1),
        ef=effort,
        recall_target=recall_target,
        options=(_wire.EXACT if exact else 0) | (_wire.INCLUDE_SELF if include_self else 0),
        count=len(listed),
        collection=collection,
        record_ids=_wire.encode_record_ids(listed),
        modifiers=modifiers.encode(len(listed), single=single),
    )
    return _search_request(_wire.Kind.SEARCH_BY_ID, head, _NO_TAIL, len(listed), single)


def search_like(
    collection: str,
    positive: IDs,
    negative: IDs,
    k: int,
    recall: float | None,
    ef: int | None,
    exact: bool,
    include_self: bool,
    modifiers: Modifiers = _NO_MODIFIERS,
) -> Request[SearchResult]:
    """The rows near what some rows have in common, away from what others have."""
    effort, recall_target = _effort_or_recall(ef, recall, exact)
    positives = _id_list(positive)
    is_none = isinstance(negative, (list, tuple)) and not negative
    negatives: RecordIDs = [] if is_none else _id_list(negative)
    head = _wire.search_like(
        k=_u32("k", k, 1),
        ef=effort,
        recall_target=recall_target,
        options=(_wire.EXACT if exact else 0) | (_wire.INCLUDE_SELF if include_self else 0),
        positives=len(positives),
        negatives=len(negatives),
        collection=collection,
        record_ids=_wire.encode_record_ids(positives) + _wire.encode_record_ids(negatives),
        modifiers=modifiers.encode(1, single=True),
    )

    def read(frame: _wire.Frame) -> SearchResult:
        return _search_reply(frame, 1)[0]

    return Request(_wire.Kind.SEARCH_LIKE, head, _NO_TAIL, _wire.Kind.SEARCH_REPLY, read)


def describe(collection: str) -> Request[Description]:
    """The attributes and the payload of a collection."""
    body = _wire.encode_string(collection)
    read = _body_reader(_replies.described)
    return Request(_wire.Kind.DESCRIBE, body, _NO_TAIL, _wire.Kind.DESCRIBED, read)


def fetch(
    collection: str, ids: IDs, vectors: bool, freshness: Freshness = _AS_IT_IS
) -> Request[Fetched]:
    """Which ids are there, and their vectors."""
    listed = _id_list(ids)
    head = _wire.fetch(
        element_type=_wire.ELEMENT_F32 if vectors else 0,
        count=len(listed),
        collection=collection,
        record_ids=_wire.encode_record_ids(listed),
        modifiers=fetch_modifiers(freshness),
    )

    def read(frame: _wire.Frame) -> Fetched:
        return _replies.fetched(frame.body, listed, vectors, stale=_is_stale(frame))

    return Request(_wire.Kind.FETCH, head, _NO_TAIL, _wire.Kind.FETCHED, read)


def _search_request(
    kind: _wire.Kind, head: bytes, tail: memoryview, count: int, single: bool
) -> Request[SearchResult | SearchBatch]:
    def read_one(frame: _wire.Frame) -> SearchResult:
        return _search_reply(frame, 1)[0]

    def read_all(frame: _wire.Frame) -> SearchBatch:
        return _search_reply(frame, count)

    if single:
        return Request(kind, head, tail, _wire.Kind.SEARCH_REPLY, read_one)
    return Request(kind, head, tail, _wire.Kind.SEARCH_REPLY, read_all)


def _search_reply(frame: _wire.Frame, count: int) -> SearchBatch:
    return _replies.search_reply(frame.body, count, stale=_is_stale(frame))


def _is_stale(frame: _wire.Frame) -> bool:
    return bool(frame.flags & _wire.STALE)


def _body_reader(read: Callable[[memoryview], T_co]) -> Callable[[_wire.Frame], T_co]:
    """For replies that say nothing in their header."""
    return lambda frame: read(frame.body)


def _effort_or_recall(ef: int | None, recall: float | None, exact: bool) -> tuple[int, int]:
    """The two fields of which at most one is not 0."""
    effort = 0 if ef is None else _u32("ef", ef, 1)
    if recall is None:
        return effort, 0
    try:
        share = float(recall)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(f"recall is {recall!r}: expected a number") from None
    # Rounded before it is compared, so that a float32's rounding does no harm. NaN is not below 1.
    steps = round(share * _wire.RECALL_STEPS) if 0 < share < 1 else 0
    if not _RECALL_MIN * _wire.RECALL_STEPS <= steps <= _RECALL_MAX * _wire.RECALL_STEPS:
        raise InvalidRequest(
            f"recall is {share}: expected {_RECALL_MIN} to {_RECALL_MAX}; an exact search finds all"
        )
    if ef is not None:
        raise InvalidRequest(
            f"recall is {share} and ef is {effort}: the one decides the other, so give one of them"
        )
    if exact:
        raise InvalidRequest(
            f"recall is {share} for an exact search, which finds all: give one of them"
        )
    return 0, steps


def _query_array(vectors: npt.ArrayLike) -> npt.NDArray[Any]:
    """`[dimension]` or `[queries, dimension]`, C-contiguous little-endian f32 or f16.

    No copy when it is that already.
    """
    try:
        given: npt.NDArray[Any] = np.asarray(vectors)
    except ValueError as error:
        raise InvalidRequest(f"the queries make no array: {error}") from None
    if given.dtype.kind not in "fiu":
        raise InvalidRequest(f"the queries hold {given.dtype}: expected real numbers")
    if given.ndim not in (1, 2) or 0 in given.shape:
        raise InvalidRequest(
            f"the queries have the shape {given.shape}: expected [dimension] or "
            "[queries, dimension], neither of them 0"
        )
    if given.flags.c_contiguous and given.dtype in (_F32, _F16):
        return given
    wanted = _F16 if given.dtype == np.float16 else _F32
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and the server refuses it
        return np.ascontiguousarray(given, wanted)


def _id_list(ids: IDs) -> RecordIDs:
    if isinstance(ids, (int, np.integer, uuid.UUID, str, tuple)):
        return [ids]
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise InvalidRequest(
                f"an id array of shape {ids.shape} and {ids.dtype}: expected one dimension of "
                "integers; other kinds of ids come as a list"
            )
        if ids.dtype.kind == "u" and ids.max(initial=0) > np.iinfo(np.int64).max:
            raise InvalidRequest("a record id does not fit a signed 64-bit integer")
        listed: RecordIDs = ids.astype(np.int64)
    elif isinstance(ids, Iterable) and not isinstance(ids, (bytes, bytearray)):
        listed = list(ids)
    else:
        raise InvalidRequest(f"{ids!r} is no record id and no list of them")
    if not len(listed):
        raise InvalidRequest("no ids: at least one is needed")
    return listed


def _u32(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidRequest(f"{name} is {value!r}: expected an integer") from None
    if not least <= number < 2**32:
        raise InvalidRequest(f"{name} is {number}: expected {least} or more, below 2^32")
    return number
