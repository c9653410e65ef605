"""What is said of rows and must be refused, and an Error."""

import struct

from .book import refuse
from .encoding import NO_POSITION, frame, padded, position, string
from .modifiers import names


def refusals():
    """Describe, Described, Fetched and Error."""
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
        refuse(
            f"described, columns of payload {what}", "Described", None, frame(0x8A, struct.pack("<I", 0) + columns, 1)
        )
    refuse("described, more attributes than there can be", "Described", None, frame(0x8A, struct.pack("<I", 65), 1))

    refuse(
        "fetched with a byte that is neither 0 nor 1",
        "Fetched",
        None,
        frame(0x87, padded(position(NO_POSITION) + struct.pack("<II", 1, 0) + b"\x02"), 1),
    )
    refuse(
        "error whose flag is neither 0 nor 1",
        "Error",
        None,
        frame(0xFF, struct.pack("<IBBH", 1, 2, 0, 0) + string(""), 1),
    )
