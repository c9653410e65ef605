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


# Search
def search(name, request_id, k, ef, element_type, exact, vectors, collection, deadline=0, recall_target=0):
    """`recall_target`: in 1/10,000; 0 = none given, and then it is not among the fields."""
    dimension = len(vectors[0])
    body = struct.pack("<IIBBHII", k, ef, element_type, int(exact), recall_target, dimension, len(vectors))
    body += string(collection)
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
    } | ({"recallTarget": recall_target} if recall_target else {})
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


# SearchReply
def search_reply(name, request_id, id_kind, queries, where=POSITION):
    """`queries`: a list of (ids, distances, distancesComputed, exact)."""
    total = sum(len(q[0]) for q in queries)
    body = position(where) + struct.pack("<IIBBHI", len(queries), total, ID_KINDS[id_kind], 0, 0, 0)
    for ids, _, computed, exact in queries:
        body += struct.pack("<III", len(ids), computed, int(exact))
    body = padded(body)
    body += b"".join(reply_id(i) for q in queries for i in q[0])
    body = padded(body)
    body += b"".join(struct.pack("<f", d) for q in queries for d in q[1])
    fields = {
        "position": where,
        "recordIDKind": id_kind,
        "queries": [
            {"ids": ids, "distances": distances, "distancesComputed": computed, "exact": exact}
            for ids, distances, computed, exact in queries
        ],
    }
    add(name, "SearchReply", 0x85, request_id, fields, body)


search_reply(
    "search reply, int64 ids, one query",
    5,
    "int64",
    [([int64(42), int64(-9223372036854775808), int64(9223372036854775807)], [0.0, 0.5, 1.75], 812, False)],
)
search_reply(
    "search reply, int64 ids, two queries (no padding before the ids)",
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


# SearchByID
def search_by_id(name, request_id, k, ef, exact, includes_self, ids, collection, recall_target=0):
    options = int(exact) | int(includes_self) << 1
    body = struct.pack("<IIBBHI", k, ef, options, 0, recall_target, len(ids)) + string(collection)
    body += b"".join(record_id(i) for i in ids)
    fields = {
        "k": k,
        "ef": ef,
        "exact": exact,
        "includesSelf": includes_self,
        "collection": collection,
        "ids": ids,
    } | ({"recallTarget": recall_target} if recall_target else {})
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


# Fetch and Fetched
def fetch(name, request_id, element_type, ids, collection):
    body = struct.pack("<BBHI", element_type, 0, 0, len(ids)) + string(collection)
    body += b"".join(record_id(i) for i in ids)
    fields = {"elementType": element_type, "collection": collection, "ids": ids}
    add(name, "Fetch", 0x07, request_id, fields, body)


def fetched(name, request_id, dimension, vectors, where=POSITION):
    """`vectors`: one entry an id: None where it was not found."""
    body = position(where) + struct.pack("<II", len(vectors), dimension)
    body += bytes(0 if v is None else 1 for v in vectors)
    body = padded(body)
    body += b"".join(struct.pack(f"<{dimension}f", *v) for v in vectors if v is not None)
    fields = {"position": where, "dimension": dimension, "vectors": vectors}
    add(name, "Fetched", 0x87, request_id, fields, body)


fetch("fetch vectors", 15, 1, [int64(1), int64(2), int64(3)], "documents")
fetch("ask whether ids exist", 16, 0, [text("a"), text("b")], "notes")
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
    frame(6, struct.pack("<IIBBHI", 1, 0, 4, 0, 0, 1) + string("d") + record_id(int64(1)), 1),
)
refuse("fetch as f16", "Fetch", 18, frame(7, struct.pack("<BBHI", 2, 0, 0, 1) + string("d") + record_id(int64(1)), 1))
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
    frame(0x85, padded(head + struct.pack("<III", 1, 0, 0)) + bytes(24), 1),
)
refuse(
    "reply that promises more than there can be",
    "SearchReply",
    None,
    frame(0x85, position(NO_POSITION) + struct.pack("<IIBBHI", 0xFFFFFFFF, 0xFFFFFFFF, 1, 0, 0, 0), 1),
)
refuse(
    "reply with padding that is not zero",
    "SearchReply",
    None,
    frame(0x85, head[:28] + struct.pack("<IBBHI", 0, 1, 0, 0, 0) + struct.pack("<III", 0, 0, 0) + b"\0\0\0\1", 1),
)
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
