"""The replies of the wire protocol, version 1: bytes to values. Frames are in `_wire.py`.

Pure, as that. A reply is bytes from outside: every length in it is compared with what is really
there before it is believed, and whatever the protocol does not allow is a `ProtocolError`.
"""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np

from ._wire import (
    ATTRIBUTE_NAME_BYTES_MAX,
    ATTRIBUTES_MAX,
    COMPOSITE_COLUMNS_MAX,
    EXPLANATION_BYTES_MAX,
    EXPLANATIONS,
    GROUPS,
    PAYLOAD,
    PAYLOAD_COLUMNS_MAX,
    PAYLOAD_NULL,
    RECORD_ID_BYTES_MAX,
    VERSION,
)
from .errors import ProtocolError, ServerError, server_error
from .kinds import AttributeType, Metric, Plan, RecordIDKind, Shortfall, Storage
from .position import LSN, Position
from .results import (
    AttributeInfo,
    Collection,
    Description,
    Fetched,
    IDBlock,
    Payload,
    Receipt,
    RecordID,
    RecordIDs,
    SearchBatch,
    ServerInfo,
)

#: What may say whose a row is.
_TENANT_TYPES: Final = (AttributeType.INT64, AttributeType.UUID, AttributeType.KEYWORD)

_T = TypeVar("_T")

_INT64 = struct.Struct("<q")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_POSITION = struct.Struct("<QQII")
_WELCOME = struct.Struct("<HHIIIII")
_COLLECTION = struct.Struct("<IBBBBQ")
_STATISTIC_VALUES: Final = {1: struct.Struct("<Q"), 2: struct.Struct("<d")}
_SEARCH_REPLY = struct.Struct("<IIBBHI")
_FETCHED = struct.Struct("<II")
_ERROR = struct.Struct("<IBBH")
_RECEIPT = struct.Struct("<IIIBBHQ")
_ATTRIBUTE = struct.Struct("<BBH")
_COLLECTION_BYTES_MIN: Final = 42
_STATISTIC_BYTES_MIN: Final = 5


class _Body:
    """A cursor over a reply's body that never leaves it."""

    __slots__ = ("bytes", "offset", "size")

    def __init__(self, body: memoryview) -> None:
        self.bytes = body
        self.offset = 0
        self.size = len(body)

    @property
    def left(self) -> int:
        return self.size - self.offset

    def skip(self, count: int) -> int:
        """Moves over `count` bytes, if they are there; returns the offset of the first."""
        start = self.offset
        if count > self.size - start:
            raise ProtocolError(
                f"a reply ends too early: {count} bytes expected at offset {start}, "
                f"{self.left} are left"
            )
        self.offset = start + count
        return start

    def take(self, count: int) -> memoryview:
        start = self.skip(count)
        return self.bytes[start : self.offset]

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack_from(self.bytes, self.skip(layout.size))

    def string(self, bytes_max: int = 0xFFFF) -> str:
        (length,) = self.unpack(_U16)
        if length > bytes_max:
            raise ProtocolError(f"a reply holds a text of {length} bytes where {bytes_max} fit")
        try:
            return str(self.take(length), "utf-8")
        except UnicodeDecodeError:
            raise ProtocolError("a reply holds a text that is not UTF-8") from None

    def position(self) -> Position:
        system_id, lsn, timeline, zero = self.unpack(_POSITION)
        _expect_zero(zero)
        return Position(system_id, LSN(lsn), timeline)

    def pad(self) -> None:
        if count := -self.offset % 8:
            _expect_zero(*self.take(count))

    def end(self) -> None:
        if self.left:
            raise ProtocolError(f"{self.left} bytes are left over at the end of a reply")


def _expect_zero(*fields: int) -> None:
    if any(fields):
        raise ProtocolError("a reply's reserved bytes are not zero")


def _expect_bounded(count: int, bytes_each: int, body: _Body) -> None:
    """Before a loop or an allocation: can `count` things be in what is left of the body?"""
    if count * bytes_each > body.left:
        raise ProtocolError(f"a reply announces {count} items, more than its bytes can hold")


def _member(convert: Callable[[int], _T], value: int) -> _T:
    try:
        return convert(value)
    except ValueError:
        raise ProtocolError(f"{value} is not in this version of the protocol") from None


def welcome(body: memoryview) -> ServerInfo:
    """Welcome."""
    reader = _Body(body)
    version, zero, frame, queries, k, ef, in_flight = reader.unpack(_WELCOME)
    server = reader.string()
    reader.end()
    _expect_zero(zero)
    if version != VERSION:
        raise ProtocolError(f"the server chose version {version}, which this client did not offer")
    if not all((frame, queries, k, ef, in_flight)):
        raise ProtocolError("the server's welcome has a limit of zero")
    return ServerInfo(version, frame, queries, k, ef, in_flight, server)


def error(body: memoryview) -> tuple[ServerError, bool]:
    """Error: the exception, and whether the server closes the connection after it."""
    reader = _Body(body)
    code, closes, zero_byte, zero = reader.unpack(_ERROR)
    message = reader.string()
    reader.end()
    _expect_zero(zero_byte, zero, closes >> 1)
    return server_error(code, message), bool(closes)


def collections(body: memoryview) -> list[Collection]:
    """Collections."""
    reader = _Body(body)
    (count,) = reader.unpack(_U32)
    _expect_bounded(count, _COLLECTION_BYTES_MIN, reader)
    found = []
    for _ in range(count):
        name = reader.string()
        dimension, metric, storage, kind, zero, rows = reader.unpack(_COLLECTION)
        _expect_zero(zero)
        found.append(
            Collection(
                name,
                dimension,
                _member(Metric, metric),
                _member(Storage, storage),
                _member(RecordIDKind, kind),
                rows,
                reader.position(),
            )
        )
    reader.end()
    return found


def statistics(body: memoryview) -> dict[str, int | float | str]:
    """StatisticsReply."""
    reader = _Body(body)
    (count,) = reader.unpack(_U32)
    _expect_bounded(count, _STATISTIC_BYTES_MIN, reader)
    values: dict[str, int | float | str] = {}
    for _ in range(count):
        name = reader.string()
        (value_type,) = reader.take(1)
        if value_type == 3:
            values[name] = reader.string()
        elif value_type in _STATISTIC_VALUES:
            (values[name],) = reader.unpack(_STATISTIC_VALUES[value_type])
        else:
            raise ProtocolError(f"statistic {name!r} has the unknown type {value_type}")
    reader.end()
    return values


def search_reply(body: memoryview, query_count: int, *, stale: bool = False) -> SearchBatch:
    """SearchReply to `query_count` queries; `stale` is what its header says.

    Numbers stay views on the body. UUIDs are decoded when they are looked at; texts and composites
    at once, because nothing but reading them tells whether they are sound.
    """
    reader = _Body(body)
    position = reader.position()
    replied, result_count, kind, parts, *zeros = reader.unpack(_SEARCH_REPLY)
    _expect_zero(*zeros, parts & ~(GROUPS | EXPLANATIONS | PAYLOAD))
    if replied != query_count:
        raise ProtocolError(f"{query_count} queries were asked, {replied} were answered")
    receipts: list[Receipt] = list(_RECEIPT.iter_unpack(reader.take(_RECEIPT.size * query_count)))
    for receipt in receipts:
        # Most have no filter and nothing short.
        _, _, flags, plan, shortfall, zero, matching = receipt
        if flags > 1 or plan or shortfall or zero or matching:
            _check_receipt(receipt)
    offsets = list(itertools.accumulate((receipt[0] for receipt in receipts), initial=0))
    if offsets[-1] != result_count:
        raise ProtocolError(
            f"the queries have {offsets[-1]} results, the reply announces {result_count}"
        )
    block = _id_block(reader, _member(RecordIDKind, kind), result_count)
    reader.pad()
    distances = np.frombuffer(reader.take(4 * result_count), "<f4")
    groups = np.frombuffer(reader.take(4 * result_count), "<u4") if parts & GROUPS else None
    explanations = None
    if parts & EXPLANATIONS:
        explanations = [reader.string(EXPLANATION_BYTES_MAX) for _ in range(query_count)]
    payload = None
    if parts & PAYLOAD:
        columns = _names(reader)
        _expect_bounded(result_count * len(columns), 4, reader)
        values = [_payload_text(reader) for _ in range(result_count * len(columns))]
        payload = Payload(columns, values)
    reader.end()
    return SearchBatch(
        block, distances, offsets, receipts, position, groups, explanations, payload, stale=stale
    )


def _names(reader: _Body) -> list[str]:
    """The columns of payload."""
    (count,) = reader.unpack(_U16)
    if count > PAYLOAD_COLUMNS_MAX:
        raise ProtocolError(f"{count} columns of payload, more than there can be")
    return [reader.string(ATTRIBUTE_NAME_BYTES_MAX) for _ in range(count)]


def _payload_text(reader: _Body) -> str | None:
    (length,) = reader.unpack(_U32)
    if length == PAYLOAD_NULL:
        return None
    try:
        return str(reader.take(length), "utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("a reply holds a text that is not UTF-8") from None


def _check_receipt(receipt: Receipt) -> None:
    _, _, flags, plan, shortfall, zero, matching = receipt
    _expect_zero(zero, flags >> 2)
    if flags & 2:
        _member(Plan, plan)
    else:
        _expect_zero(plan, matching)
    if shortfall:
        _member(Shortfall, shortfall)


def described(body: memoryview) -> Description:
    """Described."""
    reader = _Body(body)
    (count,) = reader.unpack(_U32)
    if count > ATTRIBUTES_MAX:
        raise ProtocolError(f"{count} attributes are described, more than there can be")
    found = []
    for _ in range(count):
        name = reader.string(ATTRIBUTE_NAME_BYTES_MAX)
        kind, flags, zero = reader.unpack(_ATTRIBUTE)
        _expect_zero(zero, flags >> 3)
        if not name:
            raise ProtocolError("an attribute without a name is described")
        found.append(
            AttributeInfo(
                name,
                _member(AttributeType, kind),
                orders_bytewise=bool(flags & 1),
                indexed=bool(flags & 2),
                tenant=bool(flags & 4),
            )
        )
    tenants = [info for info in found if info.tenant]
    if len(tenants) > 1 or any(t.type not in _TENANT_TYPES or not t.indexed for t in tenants):
        raise ProtocolError("the tenant that is described is none that a collection can have")
    payload = _names(reader)
    reader.end()
    if not all(payload):
        raise ProtocolError("a column of payload without a name is described")
    if len(set(payload)) < len(payload):
        raise ProtocolError("a column of payload is described twice")
    return Description(found, payload)


def _id_block(reader: _Body, kind: RecordIDKind, count: int) -> IDBlock:
    if kind is RecordIDKind.INT64:
        return IDBlock(np.frombuffer(reader.take(8 * count), "<i8"))
    if kind is RecordIDKind.UUID:
        return IDBlock(None, reader.take(16 * count))
    _expect_bounded(count, 2, reader)
    return IDBlock([_record_id(reader, kind) for _ in range(count)])


def _record_id(reader: _Body, expected: RecordIDKind) -> RecordID:
    start = reader.offset
    (kind,) = reader.take(1)
    if kind != expected:
        raise ProtocolError(f"a record id of kind {kind} among ids of kind {expected.value}")
    value: RecordID
    if kind == RecordIDKind.COMPOSITE:
        (columns,) = reader.take(1)
        if not 1 <= columns <= COMPOSITE_COLUMNS_MAX:
            raise ProtocolError(f"a composite record id of {columns} columns")
        value = tuple(_scalar(reader, *reader.take(1)) for _ in range(columns))
    else:
        value = _scalar(reader, kind)
    if reader.offset - start > RECORD_ID_BYTES_MAX:
        raise ProtocolError(f"a record id of {reader.offset - start} bytes")
    return value


def _scalar(reader: _Body, kind: int) -> int | uuid.UUID | str:
    if kind == RecordIDKind.INT64:
        return reader.unpack(_INT64)[0]
    if kind == RecordIDKind.UUID:
        return uuid.UUID(bytes=reader.take(16).tobytes())
    if kind == RecordIDKind.TEXT:
        return reader.string(RECORD_ID_BYTES_MAX)
    raise ProtocolError(f"a record id with a column of kind {kind}")


def fetched(body: memoryview, ids: RecordIDs, vectors: bool, *, stale: bool = False) -> Fetched:
    """Fetched, in answer to a Fetch of `ids`."""
    reader = _Body(body)
    position = reader.position()
    count, dimension = reader.unpack(_FETCHED)
    if count != len(ids):
        raise ProtocolError(f"{len(ids)} ids were asked for, {count} were answered")
    marks = np.frombuffer(reader.take(count), "u1")
    if marks.max(initial=0) > 1:
        raise ProtocolError("a found mark that is neither 0 nor 1")
    found = marks.view(np.bool_)
    reader.pad()
    if not vectors:
        if dimension:
            raise ProtocolError("the server sent vectors that nobody asked for")
        reader.end()
        return Fetched(ids, found, None, position, stale=stale)
    rows = int(np.count_nonzero(found))
    if not dimension and rows:
        raise ProtocolError("the server sent vectors without a dimension")
    raw = reader.take(4 * dimension * rows)
    reader.end()
    numbers = np.frombuffer(raw, "<f4").reshape(rows, dimension)
    return Fetched(ids, found, numbers, position, stale=stale)
