"""SearchReply: what each search found, and what there is beside it."""

import struct

from .book import add
from .encoding import (
    ID_KINDS,
    NO_POSITION,
    POSITION,
    a_uuid,
    composite,
    int64,
    padded,
    position,
    reply_id,
    string,
    text,
)
from .modifiers import names

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


def frames():
    """One reply after the other."""
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
                {
                    "plan": "walk",
                    "matchingRows": 3,
                    "groups": [0, 0, 1],
                    "explanation": "filter: größe > 1\nplan: walk",
                },
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
