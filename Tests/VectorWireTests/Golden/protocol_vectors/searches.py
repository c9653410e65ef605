"""Requests for the nearest: Search, SearchByID and SearchLike."""

import struct

from .book import add
from .encoding import a_uuid, composite, int64, record_id, string, text
from .modifiers import AFTER, modifier_block, with_modifiers

ANYWHERE = {"notOlder": {"position": {"systemID": 0, "appliedLSN": 1, "timeline": 0}, "waitMilliseconds": 0}}


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


def searches():
    """Search."""
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
    search(
        "search, exact, with a recall target that decides nothing", 20, 1, 0, 1, True, [[0.5]], "d", recall_target=9500
    )
    search(
        "search, a filter as text", 22, 10, 0, 1, False, [[0.5]], "d", modifiers={"filter": "lang = 'pt' and größe > 1"}
    )
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
                "position": {
                    "systemID": 18446744073709551615,
                    "appliedLSN": 18446744073709551615,
                    "timeline": 4294967295,
                },
                "waitMilliseconds": 60000,
            },
        },
    )


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


def searches_by_id():
    """SearchByID."""
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


def searches_like():
    """SearchLike."""
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
