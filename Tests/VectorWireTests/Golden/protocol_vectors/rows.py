"""What rows have: Describe and Described, Fetch and Fetched."""

import struct

from .book import add
from .encoding import POSITION, int64, padded, position, record_id, string, text
from .modifiers import AFTER, modifier_block, names, with_modifiers

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


def descriptions():
    """Describe and Described."""
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


def fetches():
    """Fetch and Fetched."""
    fetch("fetch vectors", 15, 1, [int64(1), int64(2), int64(3)], "documents")
    fetch("ask whether ids exist", 16, 0, [text("a"), text("b")], "notes")
    fetch("fetch vectors, a position", 41, 1, [int64(1)], "documents", AFTER)
    fetch("fetch vectors, strong", 42, 1, [int64(1)], "documents", {"strong": {"waitMilliseconds": 60000}})
    fetched("fetched, stale", 41, 1, [[0.5]], stale=True)
    fetched("fetched, one id missing", 15, 2, [[0.5, 0.25], None, [-1.0, 3.0e38]])
    fetched("fetched without vectors (an empty list stands for a found id)", 16, 0, [[], None])
