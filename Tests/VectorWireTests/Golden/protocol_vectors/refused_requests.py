"""Requests that must be refused: their fields."""

import struct

from .book import refuse
from .encoding import NO_POSITION, frame, int64, position, record_id, string


def refusals():
    """From Hello to Cancel, and a list of collections."""
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
        "search by a composite within a composite",
        "SearchByID",
        1,
        frame(6, by_id + b"\x04\x01\x04\x01\x01" + bytes(8), 1),
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
    refuse(
        "fetch as f16", "Fetch", 18, frame(7, struct.pack("<BBHI", 2, 0, 0, 1) + string("d") + record_id(int64(1)), 1)
    )
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
