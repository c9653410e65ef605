"""The bytes of modifiers, and of the filters among them."""

import struct
import uuid

from .encoding import POSITION, position, string

# Filters. A value is [type, value], a condition [name, …]; both stand in the fields so, too.
VALUE_TYPES = {"null": 0, "bool": 1, "int64": 2, "float64": 3, "timestamp": 4, "uuid": 5, "keyword": 6}
CONDITIONS = (
    "always",
    "comparison",
    "isIn",
    "between",
    "isNull",
    "contains",
    "overlaps",
    "anyEqual",
    "hasPrefix",
    "and",
    "or",
    "not",
)
COMPARISONS = {"=": 1, "<>": 2, "<": 3, "<=": 4, ">": 5, ">=": 6}


def filter_value(value):
    kind, content = value
    tag = bytes([VALUE_TYPES[kind]])
    if kind == "null":
        return tag
    if kind == "bool":
        return tag + bytes([int(content)])
    if kind in ("int64", "timestamp"):
        return tag + struct.pack("<q", content)
    if kind == "float64":
        return tag + struct.pack("<d", content)
    if kind == "uuid":
        return tag + uuid.UUID(content).bytes
    return tag + string(content)


def filter_node(node):
    name, *rest = node
    tag = bytes([CONDITIONS.index(name) + 1])
    if name == "always":
        return tag + bytes([int(rest[0])])
    if name == "comparison":
        column, symbol, value = rest
        return tag + bytes([COMPARISONS[symbol]]) + string(column) + filter_value(value)
    if name in ("isIn", "contains", "overlaps"):
        column, values = rest
        return tag + string(column) + struct.pack("<I", len(values)) + b"".join(map(filter_value, values))
    if name == "between":
        return tag + string(rest[0]) + filter_value(rest[1]) + filter_value(rest[2])
    if name == "isNull":
        return tag + string(rest[0])
    if name == "anyEqual":
        return tag + string(rest[0]) + filter_value(rest[1])
    if name == "hasPrefix":
        return tag + string(rest[0]) + string(rest[1])
    if name == "not":
        return tag + filter_node(rest[0])
    return tag + struct.pack("<H", len(rest[0])) + b"".join(map(filter_node, rest[0]))


def wire_filter(value):
    """A text or a tree; None: no filter for this query."""
    if value is None:
        return b""
    return b"\x02" + value.encode() if isinstance(value, str) else b"\x01" + filter_node(value)


def modifier(tag, content):
    return struct.pack("<BBHI", tag, 0, 0, len(content)) + content


def names(columns):
    return struct.pack("<H", len(columns)) + b"".join(map(string, columns))


def not_older(where, wait):
    return position(where) + struct.pack("<I", wait)


def freshness(modifiers):
    if "notOlder" in modifiers:
        asked = modifiers["notOlder"]
        return modifier(9, not_older(asked["position"], asked["waitMilliseconds"]))
    if "strong" in modifiers:
        return modifier(10, struct.pack("<I", modifiers["strong"]["waitMilliseconds"]))
    return b""


def modifier_block(modifiers):
    """`modifiers`: a dict as it stands in the fields; nothing for an empty one."""
    if not modifiers:
        return b""
    parts = []
    if "filter" in modifiers:
        parts.append(modifier(1, wire_filter(modifiers["filter"])))
    if "filters" in modifiers:
        filters = [wire_filter(f) for f in modifiers["filters"]]
        lengths = b"".join(struct.pack("<I", len(f)) for f in filters)
        parts.append(modifier(2, lengths + b"".join(filters)))
    if "distanceMax" in modifiers:
        parts.append(modifier(3, struct.pack("<f", modifiers["distanceMax"])))
    if "offset" in modifiers:
        parts.append(modifier(4, struct.pack("<I", modifiers["offset"])))
    if "grouping" in modifiers:
        grouping = modifiers["grouping"]
        parts.append(modifier(5, struct.pack("<I", grouping["perGroup"]) + string(grouping["attribute"])))
    if "diversity" in modifiers:
        diversity = modifiers["diversity"]
        parts.append(modifier(6, struct.pack("<fI", diversity["lambda"], diversity["candidates"])))
    if "explain" in modifiers:
        parts.append(modifier(7, b""))
    if "payload" in modifiers:
        parts.append(modifier(8, names(modifiers["payload"])))
    block = b"".join(parts) + freshness(modifiers)
    return struct.pack("<I", len(block)) + block


def with_modifiers(modifiers):
    return {"modifiers": modifiers} if modifiers else {}


AFTER = {"notOlder": {"position": POSITION, "waitMilliseconds": 1500}}
