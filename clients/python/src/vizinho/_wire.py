"""The wire protocol, version 1: frames, and requests as bytes. Replies are in `_replies.py`.

Pure: no sockets, no clocks, no threads. docs/PROTOCOL.md is the contract; the names here are its
names. A frame is bytes from outside: its length is held against the limit before it is believed,
and whatever the protocol does not allow is a `ProtocolError`.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import InvalidRequest, ProtocolError
from .kinds import RecordIDKind
from .results import RecordID

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

#: A reply's flag: the collection follows Postgres no more.
STALE: Final = 1

ELEMENT_F32: Final = 1
ELEMENT_F16: Final = 2


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
    #: What it says beside its body; bits that are not known mean nothing here.
    flags: int
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
        # Kind, request id and flags of the body under way.
        self._head: tuple[int, int, int] | None = None
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
            length, kind, zero, reserved, request_id, flags = HEADER.unpack_from(
                self._scratch, start
            )
            if kind < 0x80 or zero or reserved:
                raise ProtocolError(
                    f"expected a reply's header, found kind {kind:#04x}, flags {zero}, reserved "
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
                frames.append(Frame(kind, request_id, flags, body))
                start = body_start + length
            elif HEADER.size + length > len(self._scratch):
                # calloc hands out untouched pages: an announced length costs no memory by itself.
                self._body = memoryview(bytearray(length))
                self._filled = end - body_start
                self._body[: self._filled] = self._scratch_view[body_start:end]
                self._head = kind, request_id, flags
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


def fetch(
    *, element_type: int, count: int, collection: str, record_ids: bytes, modifiers: bytes = b""
) -> bytes:
    """A Fetch; `element_type` 0 asks only whether the ids exist."""
    options = MODIFIERS if modifiers else 0
    fixed = _FETCH.pack(element_type, options, 0, count)
    return fixed + encode_string(collection) + modifiers + record_ids


def cancel_frame(request_id: int) -> bytes:
    """A whole Cancel frame. It has no reply, so it needs no request id of its own."""
    return header(Kind.CANCEL, 4) + request_id.to_bytes(4, "little")
