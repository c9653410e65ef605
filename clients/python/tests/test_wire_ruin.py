"""The codec against replies that are mutated, cut off, or arrive in pieces."""

from __future__ import annotations

import random
import struct

import pytest

from golden import decode, golden, read_whole
from vizinho import ProtocolError, VizinhoError, _wire


def reply_frames() -> list[bytes]:
    return [bytes.fromhex(f["hex"]) for f in golden()["frames"] if f["kind"] >= 0x80]


def asked_by(raw: bytes | bytearray) -> int:
    """How many queries or ids the frame itself says that there were, if that is a small number."""
    count = int(struct.unpack_from("<I", raw, 40)[0]) if len(raw) >= 44 else 1
    return count if count <= 64 else 1


@pytest.mark.parametrize("seed", range(20))
def test_mutated_replies_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        raw = bytearray(rng.choice(reply_frames()))
        for _ in range(rng.choice((0, 1, 1, 2, 8))):
            raw[rng.randrange(len(raw))] = rng.choice(
                (0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )
        if rng.random() < 0.2:
            del raw[rng.randrange(len(raw)) :]
        if rng.random() < 0.3 and len(raw) >= 16:
            struct.pack_into("<I", raw, 0, len(raw) - 16)
        try:
            for frame in read_whole(bytes(raw)):
                if frame.kind in set(_wire.Kind):
                    decode(frame.kind, frame.body, asked_by(raw))
            outcomes["read"] += 1
        except VizinhoError:
            outcomes["refused"] += 1
    assert all(outcomes.values()), outcomes


@pytest.mark.parametrize("seed", range(20))
def test_truncated_bodies_are_refused(seed: int) -> None:
    rng = random.Random(seed)
    for raw in reply_frames():
        kind = raw[4]
        body = raw[16:]
        if kind != _wire.Kind.PONG and body:
            with pytest.raises(ProtocolError):
                decode(kind, memoryview(body[: rng.randrange(len(body))]), asked_by(raw))
            with pytest.raises(ProtocolError):
                decode(kind, memoryview(body + bytes(rng.randrange(1, 9))), asked_by(raw))


@pytest.mark.parametrize("seed", range(20))
def test_frames_are_the_same_however_they_arrive(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice((0, 1, 7, 48, 49, 200, 1_000)) for _ in range(50)]
    frames = [
        (
            rng.randrange(0x80, 0x100),
            rng.randrange(2**32),
            rng.choice((0, 1, 0xFFFFFFFF)),
            rng.randbytes(size),
        )
        for size in sizes
    ]
    stream = b"".join(
        struct.pack("<IBBHII", len(body), kind, 0, 0, request_id, flags) + body
        for kind, request_id, flags, body in frames
    )
    reader = _wire.FrameReader(1_000, scratch_bytes=64)
    seen = []
    while stream:
        room = reader.buffer()
        count = min(len(room), len(stream), rng.choice((1, 15, 16, 17, 64, 5_000)))
        assert count > 0
        room[:count] = stream[:count]
        stream = stream[count:]
        seen += [(f.kind, f.request_id, f.flags, bytes(f.body)) for f in reader.advance(count)]
    assert seen == frames


def test_a_body_at_the_limit_is_read_and_one_over_is_refused() -> None:
    header = struct.pack("<IBBHII", 1_024, 0x82, 0, 0, 1, 0)
    assert len(read_whole(header + bytes(1_024), body_bytes_max=1_024)) == 1
    with pytest.raises(ProtocolError, match="1024"):
        read_whole(header, body_bytes_max=1_023)


@pytest.mark.parametrize(
    "header", [(0, 0x02, 0, 0), (0, 0x82, 1, 0), (0, 0x82, 0, 1)], ids=["kind", "flags", "reserved"]
)
def test_a_header_that_no_reply_has_is_refused(header: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError):
        read_whole(struct.pack("<IBBHII", *header, 1, 0))
