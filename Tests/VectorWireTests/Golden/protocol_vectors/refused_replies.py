"""Replies to searches that must be refused."""

import struct

from .book import refuse
from .encoding import NO_POSITION, frame, position, record_id, string, text
from .modifiers import names
from .search_replies import receipt


def refusals():
    """SearchReply."""
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
