"""Record ids as bytes, and what the codec promises of results and errors."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import numpy as np
import pytest

from vizinho import (
    ErrorCode,
    InvalidRequest,
    ProtocolError,
    RecordIDKind,
    SearchBatch,
    _replies,
    _wire,
)


def id_reply(kind: RecordIDKind, raw: bytes, count: int) -> memoryview:
    body = struct.pack("<QQII", 1, 1, 1, 0) + struct.pack("<IIBBHI", 1, count, kind, 0, 0, 0)
    body += struct.pack("<IIIBBHQ", count, 0, 0, 0, 0, 0, 0) + raw
    body += bytes(-len(body) % 8) + bytes(4 * count)
    return memoryview(body)


@pytest.mark.parametrize(
    "ids",
    [
        ["", "a", "naïve ✓", "x" * 4_093],
        [(1,), (-(2**63), "x", uuid.UUID(int=7)), tuple(range(32))],
    ],
    ids=["text", "composite"],
)
def test_ids_with_a_length_come_back(ids: list[Any]) -> None:
    kind = RecordIDKind.TEXT if isinstance(ids[0], str) else RecordIDKind.COMPOSITE
    reply = id_reply(kind, _wire.encode_record_ids(ids), len(ids))
    assert _replies.search_reply(reply, 1)[0].ids == ids


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (RecordIDKind.TEXT, b"\x01" + bytes(8)),
        (RecordIDKind.TEXT, b"\x03\x02\x00\xc3\x28"),
        (RecordIDKind.TEXT, b"\x03" + struct.pack("<H", 4_094) + bytes(4_094)),
        (RecordIDKind.TEXT, b"\x03\xff\xffabc"),
        (RecordIDKind.COMPOSITE, b"\x04\x00"),
        (RecordIDKind.COMPOSITE, b"\x04\x21" + (b"\x01" + bytes(8)) * 33),
        (RecordIDKind.COMPOSITE, b"\x04\x01\x04\x01\x01" + bytes(8)),
        (
            RecordIDKind.COMPOSITE,
            b"\x04\x02" + (b"\x03" + struct.pack("<H", 3_000) + bytes(3_000)) * 2,
        ),
    ],
    ids=["kind", "utf-8", "too long", "truncated", "empty", "33 columns", "nested", "long in all"],
)
def test_unsound_ids_are_refused(kind: RecordIDKind, raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        _replies.search_reply(id_reply(kind, raw, 1), 1)


@pytest.mark.parametrize(
    "bad",
    [
        2**63,
        -(2**63) - 1,
        True,
        1.5,
        None,
        b"bytes",
        "x" * 4_094,
        "\ud800",
        (),
        (1,) * 33,
        ((1,),),
        ("x" * 2_100, "y" * 2_100),
    ],
    ids=repr,
)
def test_what_is_no_record_id_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidRequest):
        _wire.encode_record_id(bad)


def test_an_int64_array_has_the_bytes_of_the_list() -> None:
    ids = [0, -1, 2**63 - 1, -(2**63)]
    assert _wire.encode_record_ids(np.array(ids)) == _wire.encode_record_ids(ids)


# Promises ----------------------------------------------------------------------------------------


def test_results_are_views_on_the_reply() -> None:
    body = id_reply(RecordIDKind.INT64, struct.pack("<3q", 3, 1, 2), 3)
    batch: SearchBatch = _replies.search_reply(body, 1)
    memory = np.frombuffer(body, np.uint8)
    assert np.shares_memory(batch[0].ids, memory)
    assert np.shares_memory(batch[0].distances, memory)
    assert isinstance(batch[0].ids, np.ndarray)
    assert batch[0].ids.dtype == np.int64
    assert batch[0].distances.dtype == np.float32


def test_a_code_from_a_newer_server_is_kept() -> None:
    body = struct.pack("<IBBH", 4_711, 0, 0, 0) + _wire.encode_string("new")
    error, _ = _replies.error(memoryview(body))
    assert error.code == 4_711
    assert error.code.name == "UNKNOWN_4711"
    assert isinstance(error.code, ErrorCode)
    assert "new" in str(error)
