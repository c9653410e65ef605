"""Hello to Statistics: what a connection asks of a server as a whole."""

import struct

from .book import add
from .encoding import ID_KINDS, NO_POSITION, POSITION, position, string


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


def frames():
    """Hello and Welcome, Ping and Pong, ListCollections and Collections, Statistics and StatisticsReply."""
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
