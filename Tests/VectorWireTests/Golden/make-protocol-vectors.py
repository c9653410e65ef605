"""Writes protocol-vectors.json: frames built by hand from docs/PROTOCOL.md, with nothing but `struct`.

It knows no codec of ours on purpose: the Swift and the Python codec are both checked against what it writes. Add a case
here when the protocol gains one, and run it; a case that exists never changes its bytes within a protocol version.
"""

import json
import pathlib
import struct
import uuid


def string(text):
    data = text.encode()
    return struct.pack("<H", len(data)) + data


def record_id(value):
    kind, content = value["kind"], value["value"]
    if kind == "int64":
        return struct.pack("<Bq", 1, content)
    if kind == "uuid":
        return b"\x02" + uuid.UUID(content).bytes
    if kind == "text":
        return b"\x03" + string(content)
    return struct.pack("<BB", 4, len(content)) + b"".join(record_id(column) for column in content)


def reply_id(value):
    """An id in a SearchReply: int64 and uuid without their tag."""
    encoded = record_id(value)
    return encoded[1:] if encoded[0] in (1, 2) else encoded


def padded(body):
    return body + bytes(-len(body) % 8)


def frame(kind, body, request_id, deadline=0, flags=0, reserved=0, length=None):
    length = len(body) if length is None else length
    return struct.pack("<IBBHII", length, kind, flags, reserved, request_id, deadline) + body


def int64(value):
    return {"kind": "int64", "value": value}


def text(value):
    return {"kind": "text", "value": value}


def a_uuid(value):
    return {"kind": "uuid", "value": value}


def composite(*columns):
    return {"kind": "composite", "value": list(columns)}


POSITION = {"systemID": 7412233445566778899, "appliedLSN": 0x1_6B374D848, "timeline": 1}
NO_POSITION = {"systemID": 0, "appliedLSN": 0, "timeline": 0}
ID_KINDS = {"int64": 1, "uuid": 2, "text": 3, "composite": 4}


def position(value):
    return struct.pack("<QQII", value["systemID"], value["appliedLSN"], value["timeline"], 0)


frames = []


def add(name, message, kind, request_id, fields, body, deadline=0):
    frames.append(
        {
            "name": name,
            "message": message,
            "kind": kind,
            "requestID": request_id,
            "deadlineMilliseconds": deadline,
            "fields": fields,
            "hex": frame(kind, body, request_id, deadline).hex(),
        }
    )


# Hello and Welcome
add(
    "hello",
    "Hello",
    0x01,
    0,
    {"versionMin": 1, "versionMax": 1, "client": "golden"},
    b"VZNH" + struct.pack("<HH", 1, 1) + string("golden"),
)
add(
    "hello from a newer client, with a name beyond ASCII",
    "Hello",
    0x01,
    9,
    {"versionMin": 1, "versionMax": 258, "client": "vizinho é perto"},
    b"VZNH" + struct.pack("<HH", 1, 258) + string("vizinho é perto"),
)
add(
    "welcome",
    "Welcome",
    0x81,
    9,
    {
        "version": 1,
        "frameBytesMax": 16777216,
        "queriesMax": 1024,
        "kMax": 10000,
        "efMax": 10000,
        "requestsInFlightMax": 256,
        "server": "vizinho/0.1.0",
    },
    struct.pack("<HHIIIII", 1, 0, 16777216, 1024, 10000, 10000, 256) + string("vizinho/0.1.0"),
)

# Ping and Pong
add("ping without a body", "Ping", 0x02, 1, {"payloadHex": ""}, b"")
add("ping", "Ping", 0x02, 4294967295, {"payloadHex": "00ff10"}, b"\x00\xff\x10", deadline=1500)
add("pong", "Pong", 0x82, 4294967295, {"payloadHex": "00ff10"}, b"\x00\xff\x10")

# ListCollections and Collections
add("list collections", "ListCollections", 0x03, 2, {}, b"")
add("no collections", "Collections", 0x83, 2, {"collections": []}, struct.pack("<I", 0))


def collections(name, request_id, *listed):
    body = struct.pack("<I", len(listed))
    fields = []
    for collection, dimension, metric, storage, id_kind, rows, where in listed:
        body += string(collection)
        body += struct.pack("<IBBBBQ", dimension, metric, storage, ID_KINDS[id_kind], 0, rows) + position(where)
        fields.append(
            {
                "name": collection,
                "dimension": dimension,
                "metric": metric,
                "storage": storage,
                "recordIDKind": id_kind,
                "rows": rows,
                "position": where,
            }
        )
    add(name, "Collections", 0x83, request_id, {"collections": fields}, body)


collections(
    "three collections",
    3,
    ("documents", 384, 1, 1, "int64", 60605, POSITION),
    ("größe", 4096, 3, 1, "composite", 0, NO_POSITION),
    ("images", 1, 2, 1, "uuid", 5_000_000_000, POSITION),
)
collections(
    "a collection in each storage",
    3,
    *((f"storage {n}", 100 * n, 1, n, "int64", n, POSITION) for n in range(1, 6)),
)

# Statistics
add("statistics", "Statistics", 0x04, 4, {"collection": "documents"}, string("documents"))
add(
    "statistics reply",
    "StatisticsReply",
    0x84,
    4,
    {
        "entries": [
            {"name": "rows", "type": 1, "value": 18446744073709551615},
            {"name": "load", "type": 2, "value": 0.625},
            {"name": "kernel", "type": 3, "value": "avx2"},
        ]
    },
    struct.pack("<I", 3)
    + string("rows")
    + struct.pack("<BQ", 1, 18446744073709551615)
    + string("load")
    + struct.pack("<Bd", 2, 0.625)
    + string("kernel")
    + b"\x03"
    + string("avx2"),
)


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


# Search
def search(
    name,
    request_id,
    k,
    ef,
    element_type,
    exact,
    vectors,
    collection,
    deadline=0,
    recall_target=0,
    modifiers=None,
):
    """`recall_target`: in 1/10,000; 0 = none given, and then it is not among the fields."""
    dimension = len(vectors[0])
    options = int(exact) | (4 if modifiers else 0)
    body = struct.pack("<IIBBHII", k, ef, element_type, options, recall_target, dimension, len(vectors))
    body += string(collection) + modifier_block(modifiers)
    for vector in vectors:
        body += struct.pack(f"<{dimension}{'f' if element_type == 1 else 'e'}", *vector)
    fields = {
        "k": k,
        "ef": ef,
        "elementType": element_type,
        "exact": exact,
        "dimension": dimension,
        "queryCount": len(vectors),
        "collection": collection,
        "vectors": vectors,
    }
    fields |= ({"recallTarget": recall_target} if recall_target else {}) | with_modifiers(modifiers)
    add(name, "Search", 0x05, request_id, fields, body, deadline)


search("search, one f32 query", 5, 10, 0, 1, False, [[0.5, -1.25, 3.0]], "documents", deadline=250)
search("search, two f32 queries, exact", 6, 10000, 10000, 1, True, [[1.0, 0.0], [-0.0, 2.5]], "größe")
search(
    "search, two f16 queries (largest, smallest normal, subnormals)",
    7,
    1,
    64,
    2,
    False,
    [[65504.0, 2.0**-14, 2.0**-24], [-1.5, 0.0, -1023 * 2.0**-24]],
    "d",
)
search("search, the least recall target", 17, 10, 0, 1, False, [[0.5, 0.25]], "documents", recall_target=8000)
search("search, a recall target of .9876", 18, 10, 0, 1, False, [[0.5, 0.25]], "documents", recall_target=9876)
search("search, the greatest recall target", 19, 1, 0, 2, False, [[0.5, 0.25]], "documents", recall_target=9990)
search("search, exact, with a recall target that decides nothing", 20, 1, 0, 1, True, [[0.5]], "d", recall_target=9500)
search("search, a filter as text", 22, 10, 0, 1, False, [[0.5]], "d", modifiers={"filter": "lang = 'pt' and größe > 1"})
search(
    "search, a filter as a tree",
    23,
    10,
    0,
    1,
    False,
    [[0.5], [0.25]],
    "documents",
    modifiers={
        "filter": [
            "or",
            [
                [
                    "and",
                    [
                        ["comparison", "tenant", "=", ["int64", 7]],
                        ["comparison", "größe", "<>", ["float64", -0.5]],
                        ["comparison", "created", ">=", ["timestamp", 757382400000000]],
                        ["comparison", "doc", ">", ["uuid", "00112233-4455-6677-8899-aabbccddeeff"]],
                        ["comparison", "public", "<=", ["bool", True]],
                        ["isIn", "lang", [["keyword", "pt"], ["keyword", ""]]],
                        ["between", "n", ["int64", -9223372036854775808], ["int64", 9223372036854775807]],
                        ["not", ["isNull", "published"]],
                    ],
                ],
                ["contains", "tags", [["keyword", "naïve ✓"], ["keyword", "b"]]],
                ["overlaps", "numbers", []],
                ["anyEqual", "docs", ["uuid", "ffffffff-0000-4000-8000-000000000001"]],
                ["hasPrefix", "title", "Lin"],
            ],
        ]
    },
)
search(
    "search, a filter as a tree with NULLs, times without end and truth values",
    22,
    10,
    0,
    1,
    False,
    [[0.5]],
    "d",
    modifiers={
        "filter": [
            "or",
            [
                ["isIn", "lang", [["null", None], ["keyword", "pt"]]],
                ["comparison", "created", "<", ["timestamp", 9223372036854775807]],
                ["between", "created", ["timestamp", -9223372036854775808], ["null", None]],
                ["and", [["always", True]]],
                ["always", False],
            ],
        ]
    },
)
search(
    "search, a filter for each query, one of them without",
    24,
    10,
    0,
    1,
    True,
    [[0.5], [0.25], [1.0]],
    "d",
    modifiers={"filters": ["true", None, ["always", True]]},
)
search(
    "search, all modifiers but a filter for each query",
    25,
    10,
    0,
    2,
    False,
    [[0.5]],
    "d",
    recall_target=9900,
    modifiers={
        "filter": ["isNull", "a"],
        "distanceMax": 0.75,
        "offset": 20,
        "grouping": {"attribute": "document", "perGroup": 3},
        "diversity": {"lambda": 0.5, "candidates": 0},
        "explain": True,
        "payload": ["title", "größe"],
    },
)
search("search, an explanation", 26, 1, 0, 1, False, [[0.5]], "d", modifiers={"explain": True})
search("search, all payload", 28, 1, 0, 1, False, [[0.5]], "d", modifiers={"payload": []})
AFTER = {"notOlder": {"position": POSITION, "waitMilliseconds": 1500}}
ANYWHERE = {"notOlder": {"position": {"systemID": 0, "appliedLSN": 1, "timeline": 0}, "waitMilliseconds": 0}}
search("search, a position to wait for", 35, 1, 0, 1, False, [[0.5]], "d", modifiers=AFTER)
search("search, a position of any system and not to wait for", 36, 1, 0, 1, False, [[0.5]], "d", modifiers=ANYWHERE)
search("search, strong", 37, 1, 0, 1, False, [[0.5]], "d", modifiers={"strong": {"waitMilliseconds": 1}})
search(
    "search, a filter, an explanation and a position of the longest wait",
    38,
    1,
    0,
    1,
    False,
    [[0.5]],
    "d",
    modifiers={
        "filter": "tenant = 7",
        "explain": True,
        "notOlder": {
            "position": {"systemID": 18446744073709551615, "appliedLSN": 18446744073709551615, "timeline": 4294967295},
            "waitMilliseconds": 60000,
        },
    },
)


# SearchReply
PLANS = {"nothingMatches": 1, "exactScan": 2, "codeScan": 3, "walk": 4, "walkThenScan": 5}
SHORTFALLS = {"fewMatch": 1, "threshold": 2, "groups": 3}


def receipt(results, computed, exact, more):
    """`more`: plan and matchingRows where there was a filter, shortfall where something is short."""
    return struct.pack(
        "<IIIBBHQ",
        results,
        computed,
        int(exact) | (2 if "plan" in more else 0),
        PLANS.get(more.get("plan"), 0),
        SHORTFALLS.get(more.get("shortfall"), 0),
        0,
        more.get("matchingRows", 0),
    )


def payload_text(value):
    if value is None:
        return struct.pack("<I", 0xFFFFFFFF)
    return struct.pack("<I", len(value.encode())) + value.encode()


def search_reply(
    name, request_id, id_kind, queries, where=POSITION, grouped=False, explained=False, columns=None, stale=False
):
    """`queries`: a list of (ids, distances, distancesComputed, exact[, a dict of what there is more]).

    A reply has flags where a request has its deadline.
    """
    queries = [(*q, {}) if len(q) == 4 else q for q in queries]
    total = sum(len(q[0]) for q in queries)
    parts = int(grouped) | int(explained) << 1 | int(columns is not None) << 2
    body = position(where) + struct.pack("<IIBBHI", len(queries), total, ID_KINDS[id_kind], parts, 0, 0)
    for ids, _, computed, exact, more in queries:
        body += receipt(len(ids), computed, exact, more)
    body += b"".join(reply_id(i) for q in queries for i in q[0])
    body = padded(body)
    body += b"".join(struct.pack("<f", d) for q in queries for d in q[1])
    if grouped:
        body += b"".join(struct.pack("<I", g) for q in queries for g in q[4]["groups"])
    if explained:
        body += b"".join(string(q[4]["explanation"]) for q in queries)
    if columns is not None:
        body += names(columns)
        body += b"".join(payload_text(value) for q in queries for row in q[4]["payload"] for value in row)
    fields = {
        "position": where,
        "recordIDKind": id_kind,
        "parts": parts,
        "queries": [
            {"ids": ids, "distances": distances, "distancesComputed": computed, "exact": exact} | more
            for ids, distances, computed, exact, more in queries
        ],
    }
    if columns is not None:
        fields["payloadColumns"] = columns
    if stale:
        fields["stale"] = True
    add(name, "SearchReply", 0x85, request_id, fields, body, deadline=int(stale))


search_reply(
    "search reply, int64 ids, one query",
    5,
    "int64",
    [([int64(42), int64(-9223372036854775808), int64(9223372036854775807)], [0.0, 0.5, 1.75], 812, False)],
)
search_reply(
    "search reply, int64 ids, two queries",
    6,
    "int64",
    [([int64(1)], [-2.5], 100, True), ([int64(2), int64(1)], [-0.25, 8.0], 4294967295, True)],
)
search_reply("search reply, no results", 7, "int64", [([], [], 0, False)], NO_POSITION)
search_reply(
    "search reply, uuid ids",
    8,
    "uuid",
    [
        (
            [a_uuid("00112233-4455-6677-8899-aabbccddeeff"), a_uuid("ffffffff-0000-4000-8000-000000000001")],
            [0.25, 0.5],
            7,
            False,
        )
    ],
)
search_reply(
    "search reply, text ids",
    9,
    "text",
    [
        ([text("a"), text(""), text("naïve ✓")], [0.125, 0.25, 0.5], 3, True),
        ([], [], 3, True),
        ([text("z")], [1.0], 3, True),
    ],
)
search_reply(
    "search reply, composite ids",
    10,
    "composite",
    [
        (
            [
                composite(int64(7), text("en")),
                composite(int64(7), text("pt-BR")),
                composite(a_uuid("00112233-4455-6677-8899-aabbccddeeff")),
            ],
            [0.5, 0.5, 0.75],
            33,
            False,
        )
    ],
)
search_reply(
    "search reply, each plan and each shortfall of a filter",
    22,
    "int64",
    [
        ([], [], 0, True, {"plan": "nothingMatches", "matchingRows": 0, "shortfall": "fewMatch"}),
        ([int64(1)], [0.5], 2048, True, {"plan": "exactScan", "matchingRows": 2048, "shortfall": "threshold"}),
        ([int64(2)], [0.5], 70000, False, {"plan": "codeScan", "matchingRows": 70000, "shortfall": "groups"}),
        ([int64(3)], [0.5], 900, False, {"plan": "walk", "matchingRows": 5_000_000_000}),
        ([int64(4)], [0.5], 4000, True, {"plan": "walkThenScan", "matchingRows": 3000}),
        ([int64(5)], [0.5], 10, False, {"shortfall": "threshold"}),
    ],
)
search_reply(
    "search reply, text ids, groups and explanations",
    25,
    "text",
    [
        (
            [text("a"), text("b"), text("c")],
            [0.5, 0.75, 0.625],
            3,
            True,
            {"plan": "walk", "matchingRows": 3, "groups": [0, 0, 1], "explanation": "filter: größe > 1\nplan: walk"},
        ),
        ([], [], 0, True, {"shortfall": "fewMatch", "groups": [], "explanation": ""}),
    ],
    grouped=True,
    explained=True,
)
search_reply(
    "search reply, uuid ids, groups",
    27,
    "uuid",
    [([a_uuid("00112233-4455-6677-8899-aabbccddeeff")], [0.25], 7, False, {"groups": [4294967295]})],
    grouped=True,
)
search_reply(
    "search reply, composite ids, an explanation",
    26,
    "composite",
    [([composite(int64(7))], [0.25], 7, False, {"explanation": "filter: none"})],
    explained=True,
)
search_reply(
    "search reply, int64 ids, payload",
    28,
    "int64",
    [([int64(1), int64(2)], [0.25, 0.5], 7, False, {"payload": [["two\nlines"], [None]]})],
    columns=["title"],
)
search_reply(
    "search reply, payload of no columns",
    29,
    "int64",
    [([int64(1)], [0.25], 7, False, {"payload": [[]]})],
    columns=[],
)
search_reply(
    "search reply, text ids, groups, explanations and payload",
    30,
    "text",
    [
        (
            [text("a"), text("b")],
            [0.5, 0.75],
            3,
            True,
            {"groups": [0, 1], "explanation": "plan: walk", "payload": [["Olá", None], ["", "7"]]},
        ),
        ([text("c")], [0.5], 3, True, {"groups": [0], "explanation": "", "payload": [[None, None]]}),
    ],
    grouped=True,
    explained=True,
    columns=["title", "größe"],
)
search_reply("search reply, stale", 35, "int64", [([int64(1)], [0.25], 7, False)], stale=True)


# SearchByID
def search_by_id(name, request_id, k, ef, exact, includes_self, ids, collection, recall_target=0, modifiers=None):
    options = int(exact) | int(includes_self) << 1 | (4 if modifiers else 0)
    body = struct.pack("<IIBBHI", k, ef, options, 0, recall_target, len(ids)) + string(collection)
    body += modifier_block(modifiers) + b"".join(record_id(i) for i in ids)
    fields = {
        "k": k,
        "ef": ef,
        "exact": exact,
        "includesSelf": includes_self,
        "collection": collection,
        "ids": ids,
    }
    fields |= ({"recallTarget": recall_target} if recall_target else {}) | with_modifiers(modifiers)
    add(name, "SearchByID", 0x06, request_id, fields, body)


search_by_id("search by int64 ids", 11, 5, 0, False, False, [int64(1), int64(-2)], "documents")
search_by_id(
    "search by uuid, the row itself allowed",
    12,
    5,
    40,
    False,
    True,
    [a_uuid("00112233-4455-6677-8899-aabbccddeeff")],
    "images",
)
search_by_id("search by text ids, exact", 13, 1, 0, True, True, [text("é"), text("")], "notes")
search_by_id(
    "search by composite id",
    14,
    1,
    0,
    True,
    False,
    [composite(int64(-1), a_uuid("00112233-4455-6677-8899-aabbccddeeff"), text("x"))],
    "größe",
)
search_by_id("search by int64 id, a recall target of .99", 21, 5, 0, False, True, [int64(9)], "documents", 9900)
search_by_id(
    "search by int64 ids, a filter for each and a distance limit",
    28,
    5,
    0,
    False,
    True,
    [int64(9), int64(10)],
    "documents",
    modifiers={"filters": [["comparison", "tenant", "=", ["int64", 7]], "tenant = 8"], "distanceMax": -1.5},
)
search_by_id("search by int64 id, a position", 39, 5, 0, False, False, [int64(9)], "documents", modifiers=AFTER)


# SearchLike
def search_like(
    name, request_id, k, ef, exact, includes_self, like, unlike, collection, recall_target=0, modifiers=None
):
    options = int(exact) | int(includes_self) << 1 | (4 if modifiers else 0)
    body = struct.pack("<IIBBHII", k, ef, options, 0, recall_target, len(like), len(unlike)) + string(collection)
    body += modifier_block(modifiers) + b"".join(record_id(i) for i in like + unlike)
    fields = {
        "k": k,
        "ef": ef,
        "exact": exact,
        "includesSelf": includes_self,
        "collection": collection,
        "like": like,
        "unlike": unlike,
    }
    fields |= ({"recallTarget": recall_target} if recall_target else {}) | with_modifiers(modifiers)
    add(name, "SearchLike", 0x09, request_id, fields, body)


search_like("search like a row", 29, 5, 0, False, False, [int64(1)], [], "documents")
search_like("search like and unlike rows", 30, 5, 0, True, True, [text("a"), text("b")], [text("é")], "notes", 9500)
search_like(
    "search like rows, with modifiers",
    31,
    5,
    40,
    False,
    False,
    [int64(1)],
    [int64(-2), int64(3)],
    "documents",
    modifiers={"filter": "tenant = 7", "offset": 4294967295},
)
search_like(
    "search like a row, strong",
    40,
    5,
    0,
    False,
    False,
    [int64(1)],
    [],
    "documents",
    modifiers={"strong": {"waitMilliseconds": 250}},
)


# Describe and Described
ATTRIBUTE_TYPES = {
    name: n
    for n, name in enumerate(
        ("bool", "int64", "float64", "timestamp", "uuid", "keyword", "int64[]", "uuid[]", "keyword[]"), 1
    )
}


def described(name, request_id, *attributes, payload=(), tenant=None):
    """`attributes`: (name, type, orders bytewise, is indexed); `tenant` is the name of one of them."""
    body = struct.pack("<I", len(attributes))
    for attribute, kind, orders, indexed in attributes:
        flags = int(orders) | int(indexed) << 1 | int(attribute == tenant) << 2
        body += string(attribute) + struct.pack("<BBH", ATTRIBUTE_TYPES[kind], flags, 0)
    fields = [
        {
            "name": attribute,
            "type": kind,
            "ordersBytewise": orders,
            "isIndexed": indexed,
            "isTenant": attribute == tenant,
        }
        for attribute, kind, orders, indexed in attributes
    ]
    body += names(payload)
    add(name, "Described", 0x8A, request_id, {"attributes": fields, "payload": list(payload)}, body)


TENANTS = {
    "described, an int64 for a tenant": ("größe", "int64", False, True),
    "described, a uuid for a tenant": ("größe", "uuid", False, True),
    "described, a keyword for a tenant": ("größe", "keyword", True, True),
}
add("describe", "Describe", 0x0A, 32, {"collection": "größe"}, string("größe"))
described("described, no attributes", 32)
described(
    "described, every type",
    33,
    ("public", "bool", False, True),
    ("tenant", "int64", False, True),
    ("price", "float64", False, False),
    ("created", "timestamp", False, False),
    ("doc", "uuid", False, False),
    ("größe", "keyword", True, True),
    ("title", "keyword", False, False),
    ("numbers", "int64[]", False, True),
    ("docs", "uuid[]", False, True),
    ("tags", "keyword[]", False, True),
    payload=("title", "größe"),
)
for title, attribute in TENANTS.items():
    described(title, 34, ("a", "bool", False, True), attribute, tenant=attribute[0])


# Fetch and Fetched
def fetch(name, request_id, element_type, ids, collection, modifiers=None):
    options = 4 if modifiers else 0
    body = struct.pack("<BBHI", element_type, options, 0, len(ids)) + string(collection)
    body += modifier_block(modifiers) + b"".join(record_id(i) for i in ids)
    fields = {"elementType": element_type, "collection": collection, "ids": ids} | with_modifiers(modifiers)
    add(name, "Fetch", 0x07, request_id, fields, body)


def fetched(name, request_id, dimension, vectors, where=POSITION, stale=False):
    """`vectors`: one entry an id: None where it was not found."""
    body = position(where) + struct.pack("<II", len(vectors), dimension)
    body += bytes(0 if v is None else 1 for v in vectors)
    body = padded(body)
    body += b"".join(struct.pack(f"<{dimension}f", *v) for v in vectors if v is not None)
    fields = {"position": where, "dimension": dimension, "vectors": vectors} | ({"stale": True} if stale else {})
    add(name, "Fetched", 0x87, request_id, fields, body, deadline=int(stale))


fetch("fetch vectors", 15, 1, [int64(1), int64(2), int64(3)], "documents")
fetch("ask whether ids exist", 16, 0, [text("a"), text("b")], "notes")
fetch("fetch vectors, a position", 41, 1, [int64(1)], "documents", AFTER)
fetch("fetch vectors, strong", 42, 1, [int64(1)], "documents", {"strong": {"waitMilliseconds": 60000}})
fetched("fetched, stale", 41, 1, [[0.5]], stale=True)
fetched("fetched, one id missing", 15, 2, [[0.5, 0.25], None, [-1.0, 3.0e38]])
fetched("fetched without vectors (an empty list stands for a found id)", 16, 0, [[], None])

# Cancel and Error
add("cancel", "Cancel", 0x08, 0, {"requestID": 5}, struct.pack("<I", 5))
add(
    "error",
    "Error",
    0xFF,
    5,
    {"code": 12, "name": "dimensionMismatch", "closes": False, "text": "the collection has 384 dimensions"},
    struct.pack("<IBBH", 12, 0, 0, 0) + string("the collection has 384 dimensions"),
)
add(
    "error that closes, about the connection",
    "Error",
    0xFF,
    0,
    {"code": 23, "name": "shuttingDown", "closes": True, "text": ""},
    struct.pack("<IBBH", 23, 1, 0, 0) + string(""),
)
add(
    "error about a recall target",
    "Error",
    0xFF,
    18,
    {"code": 28, "name": "invalidRecallTarget", "closes": False, "text": "give a recall target or an ef"},
    struct.pack("<IBBH", 28, 0, 0, 0) + string("give a recall target or an ef"),
)
for code, name in (
    (31, "unknownAttribute"),
    (32, "filterTypeMismatch"),
    (33, "orderRefused"),
    (34, "invalidFilter"),
    (35, "invalidOption"),
    (36, "tenantRequired"),
    (37, "positionNotReached"),
    (38, "positionForeign"),
    (39, "strongUnavailable"),
):
    add(
        f"error {name}",
        "Error",
        0xFF,
        22,
        {"code": code, "name": name, "closes": False, "text": "the filter: because"},
        struct.pack("<IBBH", code, 0, 0, 0) + string("the filter: because"),
    )

# Bodies that must be refused: with `code` when they are requests, or as undecodable when they are replies (code null).
malformed = []


def refuse(name, message, code, data):
    malformed.append({"name": name, "message": message, "code": code, "hex": data.hex()})


hello = b"VZNH" + struct.pack("<HH", 1, 1) + string("x")
refuse("hello with another magic", "Hello", 1, frame(1, b"VZNX" + hello[4:], 1))
refuse(
    "hello with its versions the wrong way round",
    "Hello",
    1,
    frame(1, b"VZNH" + struct.pack("<HH", 2, 1) + string("x"), 1),
)
refuse("hello with a name of 257 bytes", "Hello", 1, frame(1, hello[:8] + string("x" * 257), 1))
refuse("hello with a byte left over", "Hello", 1, frame(1, hello + b"\0", 1))
refuse("ping of 257 bytes", "Ping", 1, frame(2, bytes(257), 1))
refuse("list collections with a body", "ListCollections", 1, frame(3, b"\0", 1))
refuse("statistics of a name that is not UTF-8", "Statistics", 1, frame(4, b"\x02\x00\xc3\x28", 1))
refuse("statistics of a name that is cut off", "Statistics", 1, frame(4, b"\x05\x00abc", 1))
one = struct.pack("<IIBBHII", 1, 0, 1, 0, 0, 2, 1) + string("d")
refuse("search with a vector cut off", "Search", 1, frame(5, one + bytes(7), 1))
refuse("search with a vector too many", "Search", 1, frame(5, one + bytes(16), 1))
refuse(
    "search that promises more than there can be",
    "Search",
    1,
    frame(5, struct.pack("<IIBBHII", 1, 0, 1, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF) + string("d"), 1),
)
refuse(
    "search with a recall target of .0001",
    "Search",
    28,
    frame(5, struct.pack("<IIBBHII", 1, 0, 1, 0, 1, 2, 1) + string("d") + bytes(8), 1),
)
refuse(
    "search with an unknown element type",
    "Search",
    18,
    frame(5, struct.pack("<IIBBHII", 1, 0, 3, 0, 0, 2, 1) + string("d") + bytes(8), 1),
)
refuse(
    "search with an unknown option",
    "Search",
    18,
    frame(5, struct.pack("<IIBBHII", 1, 0, 1, 2, 0, 2, 1) + string("d") + bytes(8), 1),
)
by_id = struct.pack("<IIBBHI", 1, 0, 0, 0, 0, 1) + string("d")
for recall_target, ef, what in (
    (7_999, 0, "a recall target that is too low"),
    (9_991, 0, "a recall target that is too high"),
    (10_000, 0, "a recall target of 1"),
    (65_535, 0, "a recall target that is no share"),
    (9_500, 100, "a recall target and an ef"),
):
    refuse(
        f"search with {what}",
        "Search",
        28,
        frame(5, struct.pack("<IIBBHII", 1, ef, 1, 0, recall_target, 2, 1) + string("d") + bytes(8), 1),
    )
    refuse(
        f"search by id with {what}",
        "SearchByID",
        28,
        frame(6, struct.pack("<IIBBHI", 1, ef, 0, 0, recall_target, 1) + string("d") + record_id(int64(1)), 1),
    )
refuse("search by an id of kind 5", "SearchByID", 1, frame(6, by_id + b"\x05" + bytes(8), 1))
refuse("search by a composite of no columns", "SearchByID", 1, frame(6, by_id + b"\x04\x00", 1))
refuse(
    "search by a composite within a composite", "SearchByID", 1, frame(6, by_id + b"\x04\x01\x04\x01\x01" + bytes(8), 1)
)
refuse("search by a composite of 33 columns", "SearchByID", 1, frame(6, by_id + b"\x04\x21" + b"\x01" * 33 * 9, 1))
refuse("search by a text of 4,094 bytes", "SearchByID", 1, frame(6, by_id + b"\x03" + string("x" * 4094), 1))
refuse(
    "search by more ids than there are bytes",
    "SearchByID",
    1,
    frame(6, struct.pack("<IIBBHI", 1, 0, 0, 0, 0, 0xFFFFFFFF) + string("d"), 1),
)
refuse(
    "search by id with an unknown option",
    "SearchByID",
    18,
    frame(6, struct.pack("<IIBBHI", 1, 0, 8, 0, 0, 1) + string("d") + record_id(int64(1)), 1),
)
refuse("fetch as f16", "Fetch", 18, frame(7, struct.pack("<BBHI", 2, 0, 0, 1) + string("d") + record_id(int64(1)), 1))
refuse(
    "fetch with an option that is not known",
    "Fetch",
    18,
    frame(7, struct.pack("<BBHI", 1, 1, 0, 1) + string("d") + record_id(int64(1)), 1),
)
refuse("cancel without an id", "Cancel", 1, frame(8, b"", 0))
refuse(
    "collections in a storage that is not given",
    "Collections",
    None,
    frame(
        0x83,
        struct.pack("<I", 1) + string("d") + struct.pack("<IBBBBQ", 1, 1, 6, 1, 0, 0) + position(NO_POSITION),
        1,
    ),
)
head = position(NO_POSITION) + struct.pack("<IIBBHI", 1, 2, 1, 0, 0, 0)
refuse(
    "reply whose receipts do not add up",
    "SearchReply",
    None,
    frame(0x85, head + receipt(1, 0, False, {}) + bytes(24), 1),
)
refuse(
    "reply that promises more than there can be",
    "SearchReply",
    None,
    frame(0x85, position(NO_POSITION) + struct.pack("<IIBBHI", 0xFFFFFFFF, 0xFFFFFFFF, 1, 0, 0, 0), 1),
)
one_text = head[:28] + struct.pack("<IBBHI", 1, 3, 0, 0, 0) + receipt(1, 0, False, {}) + record_id(text("abc"))
refuse(
    "reply with padding that is not zero",
    "SearchReply",
    None,
    frame(0x85, one_text + b"\0\1" + bytes(4), 1),
)
none = head[:28] + struct.pack("<IBBHI", 0, 1, 0, 0, 0)
refuse(
    "reply with a part that is not known",
    "SearchReply",
    None,
    frame(0x85, none[:33] + b"\x08" + none[34:] + bytes(24), 1),
)
for what, changed in (
    ("a flag that is not known", struct.pack("<IIIBBHQ", 0, 0, 4, 0, 0, 0, 0)),
    ("a plan without a filter", struct.pack("<IIIBBHQ", 0, 0, 0, 1, 0, 0, 0)),
    ("matching rows without a filter", struct.pack("<IIIBBHQ", 0, 0, 0, 0, 0, 0, 1)),
    ("a filter without a plan", struct.pack("<IIIBBHQ", 0, 0, 2, 0, 0, 0, 0)),
    ("a plan that is not known", struct.pack("<IIIBBHQ", 0, 0, 2, 6, 0, 0, 0)),
    ("a shortfall that is not known", struct.pack("<IIIBBHQ", 0, 0, 0, 0, 4, 0, 0)),
    ("a reserved field that is not zero", struct.pack("<IIIBBHQ", 0, 0, 0, 0, 0, 1, 0)),
):
    refuse(f"reply whose receipt has {what}", "SearchReply", None, frame(0x85, none + changed, 1))
grouped_reply = none[:33] + b"\1" + none[34:]
refuse(
    "reply without the groups that it announces",
    "SearchReply",
    None,
    frame(
        0x85,
        grouped_reply[:28] + struct.pack("<I", 1) + grouped_reply[32:] + receipt(1, 0, False, {}) + bytes(12),
        1,
    ),
)
refuse(
    "reply with an explanation of 4,097 bytes",
    "SearchReply",
    None,
    frame(0x85, none[:33] + b"\2" + none[34:] + receipt(0, 0, False, {}) + string("x" * 4097), 1),
)

hit = none[:28] + struct.pack("<IBBHI", 1, 1, 4, 0, 0) + receipt(1, 0, False, {}) + bytes(12)
for what, payload in (
    ("without its columns", b""),
    ("with a column without its values", names(["a"])),
    ("with a text that is cut off", names(["a"]) + struct.pack("<I", 5) + b"abcd"),
    ("with a text of nearly 4 GiB", names(["a"]) + struct.pack("<I", 0xFFFFFFFE)),
    ("with a text that is not UTF-8", names(["a"]) + struct.pack("<I", 2) + b"\xc3\x28"),
    ("with a text too many", names(["a"]) + bytes(8)),
    ("of 65 columns", names(["a"] * 65) + bytes(4 * 65)),
    ("of a column whose name has 64 bytes", names(["x" * 64]) + bytes(4)),
):
    refuse(f"reply with payload {what}", "SearchReply", None, frame(0x85, hit + payload, 1))

# Modifiers and filters
fixed = struct.pack("<IIBBHII", 1, 0, 1, 4, 0, 1, 1) + string("d")
query = struct.pack("<f", 1)


def block(*modifiers):
    joined = b"".join(modifiers)
    return struct.pack("<I", len(joined)) + joined


def refuse_modifiers(what, code, modifiers):
    refuse(f"search with {what}", "Search", code, frame(5, fixed + modifiers + query, 1))


def refuse_filter(what, code, content):
    refuse_modifiers(f"a filter {what}", code, block(modifier(1, content)))


TRUE = b"\1\1"
explain = modifier(7, b"")
limit = modifier(3, struct.pack("<f", 1))
refuse_modifiers("an empty block of modifiers", 1, block())
refuse_modifiers("a block of modifiers that is longer than the body", 1, struct.pack("<I", 0xFFFFFFFF) + explain)
refuse_modifiers("a modifier that is cut off", 1, block(explain[:5]))
refuse_modifiers("a modifier that is longer than its block", 1, block(struct.pack("<BBHI", 7, 0, 0, 1)))
refuse_modifiers("modifiers in another order", 1, block(explain, limit))
refuse_modifiers("a modifier that is there twice", 1, block(limit, limit))
refuse_modifiers("a modifier whose reserved byte is not zero", 1, block(struct.pack("<BBHI", 7, 1, 0, 0)))
refuse_modifiers("a modifier of tag 0", 1, block(struct.pack("<BBHI", 0, 0, 0, 0)))
refuse_modifiers("a modifier of tag 11", 18, block(modifier(11, b"")))
refuse_modifiers("payload without a count", 1, block(modifier(8, b"\0")))
refuse_modifiers("payload of fewer names than it says", 1, block(modifier(8, struct.pack("<H", 2) + string("a"))))
refuse_modifiers("payload of more names than it says", 1, block(modifier(8, struct.pack("<H", 0) + string("a"))))
refuse_modifiers("payload of 65 names", 35, block(modifier(8, struct.pack("<H", 65) + string("a") * 65)))
refuse_modifiers("payload of a name that is not UTF-8", 1, block(modifier(8, struct.pack("<HH", 1, 2) + b"\xc3\x28")))
after = modifier(9, not_older(POSITION, 1500))
refuse_modifiers("a position that is cut off", 1, block(modifier(9, not_older(POSITION, 1)[:27])))
refuse_modifiers("a position with a byte left over", 1, block(modifier(9, not_older(POSITION, 1) + b"\0")))
reserved = position(POSITION)[:20] + b"\1" * 8
refuse_modifiers("a position whose reserved field is not zero", 1, block(modifier(9, reserved)))
refuse_modifiers("a position that is there twice", 1, block(after, after))
refuse_modifiers("a position to wait over a minute for", 35, block(modifier(9, not_older(POSITION, 60_001))))
refuse_modifiers("a position to wait for ever for", 35, block(modifier(9, not_older(POSITION, 0xFFFFFFFF))))
refuse_modifiers("strong without its wait", 1, block(modifier(10, b"")))
refuse_modifiers("strong and no time for it", 35, block(modifier(10, struct.pack("<I", 0))))
refuse_modifiers("strong and over a minute", 35, block(modifier(10, struct.pack("<I", 60_001))))
refuse_modifiers("a position and strong", 35, block(after, modifier(10, struct.pack("<I", 1))))
refuse_modifiers("a distance limit of 5 bytes", 1, block(modifier(3, bytes(5))))
refuse_modifiers("an offset of 3 bytes", 1, block(modifier(4, bytes(3))))
refuse_modifiers("an offset of 0", 1, block(modifier(4, bytes(4))))
refuse_modifiers("a group whose name is cut off", 1, block(modifier(5, struct.pack("<IH", 1, 5) + b"ab")))
refuse_modifiers("a diversity of 4 bytes", 1, block(modifier(6, bytes(4))))
refuse_modifiers("an explanation with a body", 1, block(modifier(7, b"\0")))
refuse_modifiers("too few filters", 1, block(modifier(2, b"")))
refuse_modifiers(
    "a filter that is longer than its modifier", 1, block(modifier(2, struct.pack("<I", 9) + b"\1" + TRUE))
)
refuse_modifiers(
    "a filter for all and one for each",
    35,
    block(modifier(1, b"\1" + TRUE), modifier(2, struct.pack("<I", 3) + b"\1" + TRUE)),
)
refuse_filter("of no bytes", 1, b"")
refuse_filter("of form 3", 18, b"\3")
refuse_filter("as a text that is not UTF-8", 1, b"\2\xc3\x28")
refuse_filter("without a condition", 1, b"\1")
refuse_filter("with a condition of kind 13", 18, b"\1\x0d")
refuse_filter("with a condition of kind 0", 18, b"\1\0")
refuse_filter("with a byte left over", 1, b"\1" + TRUE + b"\0")
refuse_filter("whose truth value is 2", 1, b"\1\1\2")
refuse_filter("with a comparison that is not known", 18, b"\1\2\7" + string("a") + b"\0")
refuse_filter("with a value of an array type", 18, b"\1\2\1" + string("a") + b"\7")
refuse_filter("with a value of type 10", 18, b"\1\2\1" + string("a") + b"\x0a")
refuse_filter("with a truth value of 2 to compare with", 1, b"\1\2\1" + string("a") + b"\1\2")
refuse_filter("with a text that is not UTF-8", 1, b"\1\2\1" + string("a") + b"\6\2\0\xc3\x28")
refuse_filter("with a UUID that is cut off", 1, b"\1\2\1" + string("a") + b"\5" + bytes(15))
refuse_filter("with more values than there are bytes", 1, b"\1\3" + string("a") + struct.pack("<I", 9_999))
refuse_filter("with 10,001 values", 34, b"\1\3" + string("a") + struct.pack("<I", 10_001) + bytes(10_001))
refuse_filter("with 4 billion values", 34, b"\1\3" + string("a") + struct.pack("<I", 0xFFFFFFFF))
refuse_filter(
    "with 10,001 values in two lists",
    34,
    b"\1\x0b\2\0"
    + (b"\3" + string("a") + struct.pack("<I", 5_000) + bytes(5_000))
    + b"\3"
    + string("a")
    + struct.pack("<I", 5_001),
)
refuse_filter("of 17 levels", 34, b"\1" + b"\x0c" * 16 + TRUE)
refuse_filter("of a thousand levels", 34, b"\1" + b"\x0c" * 1_000)
refuse_filter("of 257 conditions", 34, b"\1\x0a\x00\x01" + TRUE * 256)
refuse_filter("that promises 65,535 conditions", 34, b"\1\x0a\xff\xff")
by_id_fixed = struct.pack("<IIBBHI", 1, 0, 4, 0, 0, 1) + string("d")
refuse(
    "search by id with a modifier of tag 11",
    "SearchByID",
    18,
    frame(6, by_id_fixed + block(modifier(11, b"")) + record_id(int64(1)), 1),
)
like_fixed = struct.pack("<IIBBHII", 1, 0, 0, 0, 0, 1, 1) + string("d")
refuse("search like a row that is cut off", "SearchLike", 1, frame(9, like_fixed + record_id(int64(1)), 1))
refuse("search like with a row too many", "SearchLike", 1, frame(9, like_fixed + record_id(int64(1)) * 3, 1))
refuse(
    "search like more rows than there are bytes",
    "SearchLike",
    1,
    frame(9, struct.pack("<IIBBHII", 1, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF) + string("d"), 1),
)
refuse(
    "search like with an unknown option",
    "SearchLike",
    18,
    frame(9, struct.pack("<IIBBHII", 1, 0, 8, 0, 0, 1, 0) + string("d") + record_id(int64(1)), 1),
)
refuse(
    "search like with a recall target and an ef",
    "SearchLike",
    28,
    frame(9, struct.pack("<IIBBHII", 1, 9, 0, 0, 9_500, 1, 0) + string("d") + record_id(int64(1)), 1),
)
fetch_fixed = struct.pack("<BBHI", 1, 4, 0, 1) + string("d")
for what, code, modifiers in (
    ("an empty block of modifiers", 1, block()),
    ("an explanation", 18, block(explain)),
    ("a filter and a position", 18, block(modifier(1, b"\1" + TRUE), after)),
):
    refuse(f"fetch with {what}", "Fetch", code, frame(7, fetch_fixed + modifiers + record_id(int64(1)), 1))
refuse("describe with a byte left over", "Describe", 1, frame(0x0A, string("d") + b"\0", 1))
for what, entry in (
    ("of type 0", string("a") + struct.pack("<BBH", 0, 0, 0)),
    ("of type 10", string("a") + struct.pack("<BBH", 10, 0, 0)),
    ("with a flag that is not known", string("a") + struct.pack("<BBH", 2, 8, 0)),
    ("without a name", string("") + struct.pack("<BBH", 2, 0, 0)),
    ("with a name of 64 bytes", string("x" * 64) + struct.pack("<BBH", 2, 0, 0)),
    ("whose reserved field is not zero", string("a") + struct.pack("<BBH", 2, 0, 1)),
):
    refuse(f"described, an attribute {what}", "Described", None, frame(0x8A, struct.pack("<I", 1) + entry, 1))
for what, kind, flags in (
    ("that is a truth value", 1, 6),
    ("that is not found by value", 2, 4),
    ("that is an array", 7, 6),
):
    entry = struct.pack("<I", 1) + string("a") + struct.pack("<BBH", kind, flags, 0)
    refuse(f"described, a tenant {what}", "Described", None, frame(0x8A, entry + names([]), 1))
two = struct.pack("<I", 2) + string("a") + struct.pack("<BBH", 2, 6, 0) + string("b") + struct.pack("<BBH", 2, 6, 0)
refuse("described, two tenants", "Described", None, frame(0x8A, two + names([]), 1))
for what, columns in (
    ("that are not there", b""),
    ("more than there can be", names(["a"] * 65)),
    ("of an empty name", names([""])),
    ("of a name of 64 bytes", names(["x" * 64])),
    ("that are there twice", names(["a", "a"])),
):
    refuse(f"described, columns of payload {what}", "Described", None, frame(0x8A, struct.pack("<I", 0) + columns, 1))
refuse("described, more attributes than there can be", "Described", None, frame(0x8A, struct.pack("<I", 65), 1))

refuse(
    "fetched with a byte that is neither 0 nor 1",
    "Fetched",
    None,
    frame(0x87, padded(position(NO_POSITION) + struct.pack("<II", 1, 0) + b"\x02"), 1),
)
refuse(
    "error whose flag is neither 0 nor 1", "Error", None, frame(0xFF, struct.pack("<IBBH", 1, 2, 0, 0) + string(""), 1)
)

document = {
    "protocol": 1,
    "about": "Frames as hex beside their meaning, built by make-protocol-vectors.py from docs/PROTOCOL.md. "
    "frames: what every codec must write and read. malformed: what every codec must refuse.",
    "frames": frames,
    "malformed": malformed,
}
path = pathlib.Path(__file__).with_name("protocol-vectors.json")
path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
print(f"{len(frames)} frames, {len(malformed)} malformed")
