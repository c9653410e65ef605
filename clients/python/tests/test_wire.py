"""The codec against the golden frames, which all codecs of the project share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from golden import GOLDEN, REQUESTS, Inexpressible, decode, golden, read_whole, record_id
from vizinho import AttributeType, Position, ProtocolError, _replies, _wire


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


# Replies -----------------------------------------------------------------------------------------


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


# Frames ------------------------------------------------------------------------------------------


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
