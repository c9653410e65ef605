"""The golden frames, which all codecs of the project share, and how this one reads and writes."""

from __future__ import annotations

import functools
import json
import operator
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vizinho import LSN, Filter, Position, _replies, _wire, attribute
from vizinho._freshness import Freshness
from vizinho._modifiers import Modifiers, fetch_modifiers
from vizinho.filters import _EPOCH, _MICROSECOND

GOLDEN = Path(__file__).parents[3] / "Tests/VectorWireTests/Golden/protocol-vectors.json"


def golden() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(GOLDEN.read_text())
    assert document["protocol"] == _wire.VERSION
    return document


# Requests ----------------------------------------------------------------------------------------


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


# Replies -----------------------------------------------------------------------------------------


def read_whole(raw: bytes, body_bytes_max: int = 1 << 20) -> list[_wire.Frame]:
    reader = _wire.FrameReader(body_bytes_max)
    reader.buffer()[: len(raw)] = raw
    return reader.advance(len(raw))


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
