"""The wire protocol, version 1: bytes to values and back. Pure: no sockets, no clocks, no threads.

docs/PROTOCOL.md is the contract; the names here are its names. A reply is bytes from outside: every
length in it is compared with what is really there before it is believed, and whatever the protocol
does not allow is a `ProtocolError`.
"""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import InvalidRequest, ProtocolError, ServerError, server_error
from .results import (
    LSN,
    AttributeInfo,
    AttributeType,
    Collection,
    Description,
    Fetched,
    IDBlock,
    Metric,
    Payload,
    Plan,
    Position,
    Receipt,
    RecordID,
    RecordIDKind,
    RecordIDs,
    SearchBatch,
    ServerInfo,
    Shortfall,
    Storage,
)

VERSION: Final = 1
MAGIC: Final = b"VZNH"
#: The longest body before the welcome has said what the limit is.
HANDSHAKE_BYTES_MAX: Final = 1_024
CLIENT_NAME_BYTES_MAX: Final = 256
RECORD_ID_BYTES_MAX: Final = 4_096
COMPOSITE_COLUMNS_MAX: Final = 32

EXACT: Final = 1
INCLUDE_SELF: Final = 2
MODIFIERS: Final = 4

#: What a search reply may have beside ids and distances.
GROUPS: Final = 1
EXPLANATIONS: Final = 2
PAYLOAD: Final = 4
EXPLANATION_BYTES_MAX: Final = 4_096
ATTRIBUTES_MAX: Final = 64
ATTRIBUTE_NAME_BYTES_MAX: Final = 63
PAYLOAD_COLUMNS_MAX: Final = 64
#: In the place of a text's length.
PAYLOAD_NULL: Final = 0xFFFFFFFF

#: A recall target travels in these steps; 0 = none given.
RECALL_STEPS: Final = 10_000

#: What may say whose a row is.
_TENANT_TYPES: Final = (AttributeType.INT64, AttributeType.UUID, AttributeType.KEYWORD)

ELEMENT_F32: Final = 1
ELEMENT_F16: Final = 2

_T = TypeVar("_T")


class Kind(IntEnum):
    """The messages. Replies have the top bit set."""

    HELLO = 0x01
    PING = 0x02
    LIST_COLLECTIONS = 0x03
    STATISTICS = 0x04
    SEARCH = 0x05
    SEARCH_BY_ID = 0x06
    FETCH = 0x07
    CANCEL = 0x08
    SEARCH_LIKE = 0x09
    DESCRIBE = 0x0A
    WELCOME = 0x81
    PONG = 0x82
    COLLECTIONS = 0x83
    STATISTICS_REPLY = 0x84
    SEARCH_REPLY = 0x85
    FETCHED = 0x87
    DESCRIBED = 0x8A
    ERROR = 0xFF


# Frames ------------------------------------------------------------------------------------------

HEADER: Final = struct.Struct("<IBBHII")


def header(
    kind: int, body_length: int, request_id: int = 0, deadline_milliseconds: int = 0
) -> bytes:
    """The 16 bytes before a body of `body_length`."""
    return HEADER.pack(body_length, kind, 0, 0, request_id, deadline_milliseconds)


class Frame(NamedTuple):
    """A reply whose body has not been looked at."""

    kind: int
    request_id: int
    body: memoryview


class FrameReader:
    """Cuts a stream of bytes into frames.

    The owner reads into `buffer()` and reports with `advance(n)`, so that a body which does not fit
    the scratch buffer goes from the socket straight to the place where numpy will look at it.
    Memory: the scratch, and one body of at most `body_bytes_max`.
    """

    def __init__(self, body_bytes_max: int, scratch_bytes: int = 65_536) -> None:
        self.body_bytes_max = body_bytes_max
        self._scratch = bytearray(scratch_bytes)
        self._scratch_view = memoryview(self._scratch)
        self._end = 0
        self._head: tuple[int, int] | None = None  # kind and request id of the body under way
        self._body = self._scratch_view[:0]
        self._filled = 0

    def buffer(self) -> memoryview:
        """Where the next bytes go. Never empty."""
        if self._head is not None:
            return self._body[self._filled :]
        return self._scratch_view[self._end :]

    def advance(self, count: int) -> list[Frame]:
        """Takes note of `count` bytes that were put into `buffer()`; returns the frames they end.

        Raises:
            ProtocolError: a header that no reply may have. The stream is of no use after that.
        """
        if self._head is not None:
            self._filled += count
            if self._filled < len(self._body):
                return []
            frame = Frame(*self._head, self._body)
            self._head = None
            return [frame]
        frames = []
        start = 0
        end = self._end + count
        while end - start >= HEADER.size:
            length, kind, flags, reserved, request_id, _ = HEADER.unpack_from(self._scratch, start)
            if kind < 0x80 or flags or reserved:
                raise ProtocolError(
                    f"expected a reply's header, found kind {kind:#04x}, flags {flags}, reserved "
                    f"{reserved}: is this address a Vizinho server?"
                )
            if length > self.body_bytes_max:
                raise ProtocolError(
                    f"the server announced a reply of {length} bytes; the limit in force is "
                    f"{self.body_bytes_max}"
                )
            body_start = start + HEADER.size
            if body_start + length <= end:
                body = memoryview(self._scratch[body_start : body_start + length])
                frames.append(Frame(kind, request_id, body))
                start = body_start + length
            elif HEADER.size + length > len(self._scratch):
                # calloc hands out untouched pages: an announced length costs no memory by itself.
                self._body = memoryview(bytearray(length))
                self._filled = end - body_start
                self._body[: self._filled] = self._scratch_view[body_start:end]
                self._head = kind, request_id
                start = end
            else:
                break
        self._end = end - start
        if start:
            self._scratch[: self._end] = self._scratch[start:end]
        return frames


# Requests ----------------------------------------------------------------------------------------

_HELLO = struct.Struct("<4sHH")
_SEARCH = struct.Struct("<IIBBHII")
_SEARCH_BY_ID = struct.Struct("<IIBBHI")
_SEARCH_LIKE = struct.Struct("<IIBBHII")
_FETCH = struct.Struct("<BBHI")
_INT64 = struct.Struct("<q")
_INT64_ID = np.dtype([("kind", "u1"), ("value", "<i8")])


def encode_string(text: str) -> bytes:
    """A `string` of at most 65,535 bytes."""
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{text!r} cannot be written as UTF-8: {error.reason}") from None
    if len(raw) > 0xFFFF:
        raise InvalidRequest(f"a string of {len(raw)} bytes: at most 65,535 are possible")
    return len(raw).to_bytes(2, "little") + raw


def encode_record_id(value: RecordID) -> bytes:
    """A `recordID`: int, UUID, str, or a tuple of those."""
    raw = _encode_tuple(value) if isinstance(value, tuple) else _encode_scalar(value)
    if len(raw) > RECORD_ID_BYTES_MAX:
        raise InvalidRequest(
            f"a record id of {len(raw)} bytes: at most {RECORD_ID_BYTES_MAX} are possible"
        )
    return raw


def _encode_tuple(columns: tuple[int | uuid.UUID | str, ...]) -> bytes:
    if not 1 <= len(columns) <= COMPOSITE_COLUMNS_MAX:
        raise InvalidRequest(
            f"a composite record id of {len(columns)} columns: 1 to {COMPOSITE_COLUMNS_MAX} are "
            "possible"
        )
    return bytes((RecordIDKind.COMPOSITE, len(columns))) + b"".join(map(_encode_scalar, columns))


def _encode_scalar(value: object) -> bytes:
    if isinstance(value, str):
        return b"\x03" + encode_string(value)
    if isinstance(value, uuid.UUID):
        return b"\x02" + value.bytes
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        try:
            return b"\x01" + _INT64.pack(value)
        except struct.error:
            raise InvalidRequest(f"record id {value} does not fit 64 bits") from None
    raise InvalidRequest(
        f"{value!r} is no record id: expected int, uuid.UUID, str, or a flat tuple of those"
    )


def encode_record_ids(ids: Iterable[RecordID] | npt.NDArray[np.int64]) -> bytes:
    """Record ids one after the other. An int64 array takes no Python step for each id."""
    if isinstance(ids, np.ndarray):
        block = np.empty(len(ids), _INT64_ID)
        block["kind"] = RecordIDKind.INT64
        block["value"] = ids
        return block.tobytes()
    return b"".join(map(encode_record_id, ids))


def hello(client: str, version_min: int = VERSION, version_max: int = VERSION) -> bytes:
    """A Hello; a name that is too long for it is cut."""
    name = client.encode(errors="replace")[:CLIENT_NAME_BYTES_MAX]
    return _HELLO.pack(MAGIC, version_min, version_max) + encode_string(
        name.decode(errors="ignore")
    )


def search(
    *,
    k: int,
    ef: int,
    element_type: int,
    options: int,
    dimension: int,
    count: int,
    collection: str,
    recall_target: int = 0,
    modifiers: bytes = b"",
) -> bytes:
    """A Search, up to its vectors; `recall_target` in 1/10,000, `modifiers` the whole block."""
    options |= MODIFIERS if modifiers else 0
    fixed = _SEARCH.pack(k, ef, element_type, options, recall_target, dimension, count)
    return fixed + encode_string(collection) + modifiers


def search_by_id(
    *,
    k: int,
    ef: int,
    options: int,
    count: int,
    collection: str,
    record_ids: bytes,
    recall_target: int = 0,
    modifiers: bytes = b"",
) -> bytes:
    """A SearchByID; `record_ids` comes from `encode_record_ids`, `recall_target` is in 1/10,000."""
    options |= MODIFIERS if modifiers else 0
    fixed = _SEARCH_BY_ID.pack(k, ef, options, 0, recall_target, count)
    return fixed + encode_string(collection) + modifiers + record_ids


def search_like(
    *,
    k: int,
    ef: int,
    options: int,
    positives: int,
    negatives: int,
    collection: str,
    record_ids: bytes,
    recall_target: int = 0,
    modifiers: bytes = b"",
) -> bytes:
    """A SearchLike; `record_ids` are first those to be like, then those to be unlike."""
    options |= MODIFIERS if modifiers else 0
    fixed = _SEARCH_LIKE.pack(k, ef, options, 0, recall_target, positives, negatives)
    return fixed + encode_string(collection) + modifiers + record_ids


def fetch(*, element_type: int, count: int, collection: str, record_ids: bytes) -> bytes:
    """A Fetch; `element_type` 0 asks only whether the ids exist."""
    return _FETCH.pack(element_type, 0, 0, count) + encode_string(collection) + record_ids


def cancel_frame(request_id: int) -> bytes:
    """A whole Cancel frame. It has no reply, so it needs no request id of its own."""
    return header(Kind.CANCEL, 4) + request_id.to_bytes(4, "little")


# Replies -----------------------------------------------------------------------------------------

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


def search_reply(body: memoryview, query_count: int) -> SearchBatch:
    """SearchReply to `query_count` queries. Numbers stay views on the body.

    UUIDs are decoded when they are looked at; texts and composites at once, because nothing but
    reading them tells whether they are sound.
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
    return SearchBatch(block, distances, offsets, receipts, position, groups, explanations, payload)


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


def fetched(body: memoryview, ids: RecordIDs, vectors: bool) -> Fetched:
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
        return Fetched(ids, found, None, position)
    rows = int(np.count_nonzero(found))
    if not dimension and rows:
        raise ProtocolError("the server sent vectors without a dimension")
    raw = reader.take(4 * dimension * rows)
    reader.end()
    return Fetched(ids, found, np.frombuffer(raw, "<f4").reshape(rows, dimension), position)
