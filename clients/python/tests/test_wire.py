"""The codec against the golden frames, which all codecs of the project share, and against ruin."""

from __future__ import annotations

import functools
import json
import operator
import random
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vizinho import (
    LSN,
    AttributeType,
    ErrorCode,
    Filter,
    InvalidRequest,
    Position,
    ProtocolError,
    RecordIDKind,
    SearchBatch,
    VizinhoError,
    _replies,
    _wire,
    attribute,
)
from vizinho._freshness import Freshness
from vizinho._modifiers import Modifiers, fetch_modifiers
from vizinho.filters import _EPOCH, _MICROSECOND

GOLDEN = Path(__file__).parents[3] / "Tests/VectorWireTests/Golden/protocol-vectors.json"


def golden() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(GOLDEN.read_text())
    assert document["protocol"] == _wire.VERSION
    return document


def test_golden_file_is_there() -> None:
    document = golden()
    assert {f["message"] for f in document["frames"]} >= set(REQUESTS) | set(REPLIES)
    assert document["malformed"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # A missing file must fail test_golden_file_is_there, not stop the collection of all tests.
    frames = golden() if GOLDEN.exists() else {"frames": [], "malformed": []}
    for name, part in (("well_formed", "frames"), ("malformed", "malformed")):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, frames[part], ids=lambda f: f["name"])


# Golden frames -----------------------------------------------------------------------------------


def record_id(json_id: dict[str, Any]) -> Any:
    kind, value = json_id["kind"], json_id["value"]
    if kind == "composite":
        return tuple(map(record_id, value))
    return uuid.UUID(value) if kind == "uuid" else value


def record_ids(fields: dict[str, Any]) -> bytes:
    return _wire.encode_record_ids(map(record_id, fields["ids"]))


COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Inexpressible(Exception):
    """What the protocol has and this client's filters do not."""


def filter_value(pair: list[Any]) -> Any:
    kind, value = pair
    if kind == "null":
        raise Inexpressible
    if kind == "timestamp":
        if abs(value) == 2**63 - 1:
            raise Inexpressible
        return _EPOCH + value * _MICROSECOND
    return uuid.UUID(value) if kind == "uuid" else value


def tree(node: list[Any]) -> Filter:
    name, *rest = node
    if name == "always":
        raise Inexpressible
    if name in ("and", "or"):
        join = operator.and_ if name == "and" else operator.or_
        return functools.reduce(join, map(tree, rest[0]))
    if name == "not":
        return ~tree(rest[0])
    column = attribute(rest[0])
    if name == "comparison":
        made: Filter = COMPARISONS[rest[1]](column, filter_value(rest[2]))
        return made
    if name == "between":
        return column.between(filter_value(rest[1]), filter_value(rest[2]))
    if name == "isNull":
        return column.is_null()
    if name == "anyEqual":
        return column.has_element(filter_value(rest[1]))
    if name == "hasPrefix":
        return column.startswith(rest[1])
    values = [filter_value(value) for value in rest[1]]
    calls = {"isIn": column.isin, "contains": column.contains, "overlaps": column.overlaps}
    return calls[name](values)


def one_filter(given: Any) -> Filter | str | None:
    return given if given is None or isinstance(given, str) else tree(given)


def modifiers(f: dict[str, Any], count: int) -> bytes:
    given = f.get("modifiers", {})
    grouping = given.get("grouping", {})
    diversity = given.get("diversity", {})
    filters: Any = None
    if "filter" in given:
        filters = one_filter(given["filter"])
    if "filters" in given:
        filters = [one_filter(each) for each in given["filters"]]
    return Modifiers(
        filters,
        given.get("distanceMax"),
        given.get("offset", 0),
        grouping.get("attribute"),
        grouping.get("perGroup"),
        diversity.get("lambda"),
        diversity.get("candidates") or None,
        given.get("explain", False),
        # The protocol's empty list is all of them.
        payload if (payload := given.get("payload", False)) else "payload" in given,
        freshness(given),
    ).encode(count, single=False)


def freshness(given: dict[str, Any]) -> Freshness:
    if "notOlder" in given:
        where = given["notOlder"]["position"]
        position = Position(where["systemID"], LSN(where["appliedLSN"]), where["timeline"])
        return Freshness(position, given["notOlder"]["waitMilliseconds"] / 1_000)
    if "strong" in given:
        return Freshness(wait=given["strong"]["waitMilliseconds"] / 1_000, strong=True)
    return Freshness()


def search_body(f: dict[str, Any]) -> bytes:
    dtype = {1: "<f4", 2: "<f2"}[f["elementType"]]
    head = _wire.search(
        k=f["k"],
        ef=f["ef"],
        element_type=f["elementType"],
        options=_wire.EXACT * f["exact"],
        dimension=f["dimension"],
        count=f["queryCount"],
        collection=f["collection"],
        recall_target=f.get("recallTarget", 0),
        modifiers=modifiers(f, f["queryCount"]),
    )
    return head + np.array(f["vectors"], dtype).tobytes()


def search_by_id_body(f: dict[str, Any]) -> bytes:
    return _wire.search_by_id(
        k=f["k"],
        ef=f["ef"],
        options=_wire.EXACT * f["exact"] | _wire.INCLUDE_SELF * f["includesSelf"],
        count=len(f["ids"]),
        collection=f["collection"],
        record_ids=record_ids(f),
        recall_target=f.get("recallTarget", 0),
        modifiers=modifiers(f, len(f["ids"])),
    )


def search_like_body(f: dict[str, Any]) -> bytes:
    return _wire.search_like(
        k=f["k"],
        ef=f["ef"],
        options=_wire.EXACT * f["exact"] | _wire.INCLUDE_SELF * f["includesSelf"],
        positives=len(f["like"]),
        negatives=len(f["unlike"]),
        collection=f["collection"],
        record_ids=record_ids({"ids": f["like"] + f["unlike"]}),
        recall_target=f.get("recallTarget", 0),
        modifiers=modifiers(f, 1),
    )


def fetch_body(f: dict[str, Any]) -> bytes:
    return _wire.fetch(
        element_type=f["elementType"],
        count=len(f["ids"]),
        collection=f["collection"],
        record_ids=record_ids(f),
        modifiers=fetch_modifiers(freshness(f.get("modifiers", {}))),
    )


REQUESTS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "Hello": lambda f: _wire.hello(f["client"], f["versionMin"], f["versionMax"]),
    "Ping": lambda f: bytes.fromhex(f["payloadHex"]),
    "ListCollections": lambda _: b"",
    "Statistics": lambda f: _wire.encode_string(f["collection"]),
    "Search": search_body,
    "SearchByID": search_by_id_body,
    "Fetch": fetch_body,
    "SearchLike": search_like_body,
    "Describe": lambda f: _wire.encode_string(f["collection"]),
    "Cancel": lambda f: struct.pack("<I", f["requestID"]),
}


def position(value: Position) -> dict[str, int]:
    return {
        "systemID": value.system_id,
        "appliedLSN": int(value.applied_lsn),
        "timeline": value.timeline,
    }


def check_welcome(body: memoryview, f: dict[str, Any]) -> None:
    assert list(_replies.welcome(body)) == [
        f["version"],
        f["frameBytesMax"],
        f["queriesMax"],
        f["kMax"],
        f["efMax"],
        f["requestsInFlightMax"],
        f["server"],
    ]


def check_collections(body: memoryview, f: dict[str, Any]) -> None:
    decoded = [
        {
            "name": c.name,
            "dimension": c.dimension,
            "metric": c.metric,
            "storage": c.storage,
            "recordIDKind": c.record_id_kind.name.lower(),
            "rows": c.rows,
            "position": position(c.position),
        }
        for c in _replies.collections(body)
    ]
    assert decoded == f["collections"]


def check_statistics(body: memoryview, f: dict[str, Any]) -> None:
    decoded = _replies.statistics(body)
    assert decoded == {entry["name"]: entry["value"] for entry in f["entries"]}
    types = {int: 1, float: 2, str: 3}
    assert [types[type(v)] for v in decoded.values()] == [e["type"] for e in f["entries"]]


def check_search_reply(body: memoryview, f: dict[str, Any]) -> None:
    batch = _replies.search_reply(body, len(f["queries"]))
    assert position(batch.position) == f["position"]
    assert len(batch) == len(f["queries"])
    every = []
    for result, query in zip(batch, f["queries"], strict=True):
        expected = [record_id(i) for i in query["ids"]]
        assert list(result.ids) == expected
        assert [hit.id for hit in result] == expected
        assert [type(hit.id) for hit in result] == [type(i) for i in expected]
        assert result.distances.tolist() == query["distances"]
        assert result.distances_computed == query["distancesComputed"]
        assert result.exact == query["exact"]
        assert name_of(result.plan) == query.get("plan")
        assert result.matching_rows == query.get("matchingRows")
        assert name_of(result.shortfall) == query.get("shortfall")
        assert result.explanation == query.get("explanation")
        groups = None if result.groups is None else result.groups.tolist()
        assert groups == query.get("groups")
        rows = query.get("payload")
        assert result.payload == (
            None
            if rows is None
            else [dict(zip(f["payloadColumns"], row, strict=True)) for row in rows]
        )
        every += expected
    assert list(batch.ids) == every


def name_of(value: Any) -> str | None:
    """The protocol's name of a plan or a shortfall: `codeScan` for `CODE_SCAN`."""
    if value is None:
        return None
    first, *others = value.name.lower().split("_")
    return str(first + "".join(map(str.capitalize, others)))


def check_described(body: memoryview, f: dict[str, Any]) -> None:
    described = _replies.described(body)
    names = {kind: kind.name.lower().replace("_array", "[]") for kind in AttributeType}
    decoded = [
        {
            "name": a.name,
            "type": names[a.type],
            "ordersBytewise": a.orders_bytewise,
            "isIndexed": a.indexed,
            "isTenant": a.tenant,
        }
        for a in described.attributes
    ]
    assert decoded == f["attributes"]
    assert described.payload == f["payload"]


def check_fetched(body: memoryview, f: dict[str, Any]) -> None:
    vectors = f["vectors"]
    fetched = _replies.fetched(body, list(range(len(vectors))), f["dimension"] > 0)
    assert position(fetched.position) == f["position"]
    assert fetched.found.tolist() == [v is not None for v in vectors]
    for i, vector in enumerate(vectors):
        found = fetched.vector(i)
        if vector:
            assert found is not None
            assert found.tolist() == np.array(vector, np.float32).tolist()
        else:
            assert found is None


def check_error(body: memoryview, f: dict[str, Any]) -> None:
    error, closes = _replies.error(body)
    assert (error.code, error.message, closes) == (f["code"], f["text"], f["closes"])
    assert error.code.name.replace("_", "").lower() == f["name"].lower()


def check_pong(body: memoryview, f: dict[str, Any]) -> None:
    assert body.hex() == f["payloadHex"]


REPLIES: dict[str, Callable[[memoryview, dict[str, Any]], None]] = {
    "Welcome": check_welcome,
    "Pong": check_pong,
    "Collections": check_collections,
    "StatisticsReply": check_statistics,
    "SearchReply": check_search_reply,
    "Described": check_described,
    "Fetched": check_fetched,
    "Error": check_error,
}


def test_well_formed(well_formed: dict[str, Any]) -> None:
    raw = bytes.fromhex(well_formed["hex"])
    message, fields = well_formed["message"], well_formed["fields"]
    if message in REQUESTS:
        try:
            body = REQUESTS[message](fields)
        except Inexpressible:
            assert "modifiers" in fields
            return
        header = _wire.header(
            _wire.Kind(well_formed["kind"]),
            len(body),
            well_formed["requestID"],
            well_formed["deadlineMilliseconds"],
        )
        assert (header + body).hex() == raw.hex()
        if message == "Cancel":
            assert _wire.cancel_frame(fields["requestID"]) == raw
    else:
        (frame,) = read_whole(raw)
        assert (frame.kind, frame.request_id) == (well_formed["kind"], well_formed["requestID"])
        assert frame.flags == _wire.STALE * fields.get("stale", False)
        REPLIES[message](frame.body, fields)


def read_whole(raw: bytes, body_bytes_max: int = 1 << 20) -> list[_wire.Frame]:
    reader = _wire.FrameReader(body_bytes_max)
    reader.buffer()[: len(raw)] = raw
    return reader.advance(len(raw))


#: How many queries or ids the request had that a malformed reply would be the answer to.
ASKED = (1, 2, 3, 0xFFFFFFFF)


def test_malformed(malformed: dict[str, Any]) -> None:
    raw = bytes.fromhex(malformed["hex"])
    message = malformed["message"]
    if message in REQUESTS:
        # This client writes requests and reads none: a server has to refuse these. What is checked
        # here is that such a frame is never taken for a reply.
        with pytest.raises(ProtocolError):
            read_whole(raw)
        return
    (frame,) = read_whole(raw)
    for asked in ASKED:
        with pytest.raises(ProtocolError):
            decode(frame.kind, frame.body, asked)


def decode(kind: int, body: memoryview, asked: int) -> object:
    """Reads a reply to a request for `asked` things, and looks at everything in it."""
    if kind == _wire.Kind.SEARCH_REPLY:
        batch = _replies.search_reply(body, asked)
        return [
            (list(result), result.ids, result.by_group(), repr(result)) for result in batch
        ], batch.ids
    if kind == _wire.Kind.FETCHED:
        fetched = _replies.fetched(body, range(asked), vectors=True)
        return [fetched.vector(i) for i in range(asked)], repr(fetched)
    readers: dict[int, Callable[[memoryview], object]] = {
        _wire.Kind.WELCOME: _replies.welcome,
        _wire.Kind.COLLECTIONS: _replies.collections,
        _wire.Kind.STATISTICS_REPLY: _replies.statistics,
        _wire.Kind.DESCRIBED: _replies.described,
        _wire.Kind.ERROR: _replies.error,
        _wire.Kind.PONG: bytes,
    }
    return readers[kind](body)


# Ruin --------------------------------------------------------------------------------------------


def reply_frames() -> list[bytes]:
    return [bytes.fromhex(f["hex"]) for f in golden()["frames"] if f["kind"] >= 0x80]


def asked_by(raw: bytes | bytearray) -> int:
    """How many queries or ids the frame itself says that there were, if that is a small number."""
    count = int(struct.unpack_from("<I", raw, 40)[0]) if len(raw) >= 44 else 1
    return count if count <= 64 else 1


@pytest.mark.parametrize("seed", range(20))
def test_mutated_replies_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        raw = bytearray(rng.choice(reply_frames()))
        for _ in range(rng.choice((0, 1, 1, 2, 8))):
            raw[rng.randrange(len(raw))] = rng.choice(
                (0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )
        if rng.random() < 0.2:
            del raw[rng.randrange(len(raw)) :]
        if rng.random() < 0.3 and len(raw) >= 16:
            struct.pack_into("<I", raw, 0, len(raw) - 16)
        try:
            for frame in read_whole(bytes(raw)):
                if frame.kind in set(_wire.Kind):
                    decode(frame.kind, frame.body, asked_by(raw))
            outcomes["read"] += 1
        except VizinhoError:
            outcomes["refused"] += 1
    assert all(outcomes.values()), outcomes


@pytest.mark.parametrize("seed", range(20))
def test_truncated_bodies_are_refused(seed: int) -> None:
    rng = random.Random(seed)
    for raw in reply_frames():
        kind = raw[4]
        body = raw[16:]
        if kind != _wire.Kind.PONG and body:
            with pytest.raises(ProtocolError):
                decode(kind, memoryview(body[: rng.randrange(len(body))]), asked_by(raw))
            with pytest.raises(ProtocolError):
                decode(kind, memoryview(body + bytes(rng.randrange(1, 9))), asked_by(raw))


@pytest.mark.parametrize("seed", range(20))
def test_frames_are_the_same_however_they_arrive(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice((0, 1, 7, 48, 49, 200, 1_000)) for _ in range(50)]
    frames = [
        (
            rng.randrange(0x80, 0x100),
            rng.randrange(2**32),
            rng.choice((0, 1, 0xFFFFFFFF)),
            rng.randbytes(size),
        )
        for size in sizes
    ]
    stream = b"".join(
        struct.pack("<IBBHII", len(body), kind, 0, 0, request_id, flags) + body
        for kind, request_id, flags, body in frames
    )
    reader = _wire.FrameReader(1_000, scratch_bytes=64)
    seen = []
    while stream:
        room = reader.buffer()
        count = min(len(room), len(stream), rng.choice((1, 15, 16, 17, 64, 5_000)))
        assert count > 0
        room[:count] = stream[:count]
        stream = stream[count:]
        seen += [(f.kind, f.request_id, f.flags, bytes(f.body)) for f in reader.advance(count)]
    assert seen == frames


def test_a_body_at_the_limit_is_read_and_one_over_is_refused() -> None:
    header = struct.pack("<IBBHII", 1_024, 0x82, 0, 0, 1, 0)
    assert len(read_whole(header + bytes(1_024), body_bytes_max=1_024)) == 1
    with pytest.raises(ProtocolError, match="1024"):
        read_whole(header, body_bytes_max=1_023)


@pytest.mark.parametrize(
    "header", [(0, 0x02, 0, 0), (0, 0x82, 1, 0), (0, 0x82, 0, 1)], ids=["kind", "flags", "reserved"]
)
def test_a_header_that_no_reply_has_is_refused(header: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError):
        read_whole(struct.pack("<IBBHII", *header, 1, 0))


# Record ids --------------------------------------------------------------------------------------


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
