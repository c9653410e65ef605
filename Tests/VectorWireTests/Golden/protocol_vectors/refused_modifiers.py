"""Requests that must be refused for their modifiers, and requests of ids."""

import struct

from .book import refuse
from .encoding import POSITION, frame, int64, position, record_id, string
from .modifiers import modifier, not_older

FIXED = struct.pack("<IIBBHII", 1, 0, 1, 4, 0, 1, 1) + string("d")
QUERY = struct.pack("<f", 1)


def block(*modifiers):
    joined = b"".join(modifiers)
    return struct.pack("<I", len(joined)) + joined


def refuse_modifiers(what, code, modifiers):
    refuse(f"search with {what}", "Search", code, frame(5, FIXED + modifiers + QUERY, 1))


def refuse_filter(what, code, content):
    refuse_modifiers(f"a filter {what}", code, block(modifier(1, content)))


TRUE = b"\1\1"
EXPLAIN = modifier(7, b"")
AFTER = modifier(9, not_older(POSITION, 1500))


def refusals():
    """Modifiers of Search, one after the other."""
    limit = modifier(3, struct.pack("<f", 1))
    refuse_modifiers("an empty block of modifiers", 1, block())
    refuse_modifiers("a block of modifiers that is longer than the body", 1, struct.pack("<I", 0xFFFFFFFF) + EXPLAIN)
    refuse_modifiers("a modifier that is cut off", 1, block(EXPLAIN[:5]))
    refuse_modifiers("a modifier that is longer than its block", 1, block(struct.pack("<BBHI", 7, 0, 0, 1)))
    refuse_modifiers("modifiers in another order", 1, block(EXPLAIN, limit))
    refuse_modifiers("a modifier that is there twice", 1, block(limit, limit))
    refuse_modifiers("a modifier whose reserved byte is not zero", 1, block(struct.pack("<BBHI", 7, 1, 0, 0)))
    refuse_modifiers("a modifier of tag 0", 1, block(struct.pack("<BBHI", 0, 0, 0, 0)))
    refuse_modifiers("a modifier of tag 11", 18, block(modifier(11, b"")))
    refuse_modifiers("payload without a count", 1, block(modifier(8, b"\0")))
    refuse_modifiers("payload of fewer names than it says", 1, block(modifier(8, struct.pack("<H", 2) + string("a"))))
    refuse_modifiers("payload of more names than it says", 1, block(modifier(8, struct.pack("<H", 0) + string("a"))))
    refuse_modifiers("payload of 65 names", 35, block(modifier(8, struct.pack("<H", 65) + string("a") * 65)))
    refuse_modifiers(
        "payload of a name that is not UTF-8", 1, block(modifier(8, struct.pack("<HH", 1, 2) + b"\xc3\x28"))
    )
    refuse_modifiers("a position that is cut off", 1, block(modifier(9, not_older(POSITION, 1)[:27])))
    refuse_modifiers("a position with a byte left over", 1, block(modifier(9, not_older(POSITION, 1) + b"\0")))
    reserved = position(POSITION)[:20] + b"\1" * 8
    refuse_modifiers("a position whose reserved field is not zero", 1, block(modifier(9, reserved)))
    refuse_modifiers("a position that is there twice", 1, block(AFTER, AFTER))
    refuse_modifiers("a position to wait over a minute for", 35, block(modifier(9, not_older(POSITION, 60_001))))
    refuse_modifiers("a position to wait for ever for", 35, block(modifier(9, not_older(POSITION, 0xFFFFFFFF))))
    refuse_modifiers("strong without its wait", 1, block(modifier(10, b"")))
    refuse_modifiers("strong and no time for it", 35, block(modifier(10, struct.pack("<I", 0))))
    refuse_modifiers("strong and over a minute", 35, block(modifier(10, struct.pack("<I", 60_001))))
    refuse_modifiers("a position and strong", 35, block(AFTER, modifier(10, struct.pack("<I", 1))))
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


def refused_filters():
    """Filters of Search."""
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


def refusals_by_id():
    """SearchByID, SearchLike and Fetch."""
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
        ("an explanation", 18, block(EXPLAIN)),
        ("a filter and a position", 18, block(modifier(1, b"\1" + TRUE), AFTER)),
    ):
        refuse(f"fetch with {what}", "Fetch", code, frame(7, fetch_fixed + modifiers + record_id(int64(1)), 1))
