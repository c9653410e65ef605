"""What has been written down so far: frames that every codec must write and read, and such that it must refuse."""

from .encoding import frame

frames = []
malformed = []


def add(name, message, kind, request_id, fields, body, deadline=0):
    frames.append(
        {
            "name": name,
            "message": message,
            "kind": kind,
            "requestID": request_id,
            "deadlineMilliseconds": deadline,
            "fields": fields,
            "hex": frame(kind, body, request_id, deadline).hex(),
        }
    )


def refuse(name, message, code, data):
    """`code`: of the error when it is a request; None for a reply, which is undecodable."""
    malformed.append({"name": name, "message": message, "code": code, "hex": data.hex()})
