"""Cancel, and every Error."""

import struct

from .book import add
from .encoding import string


def frames():
    """Cancel and Error."""
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
