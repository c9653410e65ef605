"""What every frame is made of."""

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
