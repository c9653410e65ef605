"""A server on a real loopback socket that does what a test's script says, connection by connection.

It shares no code with the client: what it writes is laid out here a second time.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

import numpy as np

HELLO, PING, LIST, STATISTICS, SEARCH, SEARCH_BY_ID, FETCH, CANCEL, LIKE, DESCRIBE = range(1, 11)
WELCOME, PONG, COLLECTIONS, STATISTICS_REPLY, SEARCH_REPLY = range(0x81, 0x86)
FETCHED, DESCRIBED, ERROR = 0x87, 0x8A, 0xFF


class Asked(NamedTuple):
    kind: int
    request_id: int
    deadline: int
    body: bytes


class HangUp(Exception):
    """The client has closed the connection, or the test is over."""


Script = Callable[["Peer"], None]


def frame(kind: int, request_id: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("<IBBHII", len(body), kind, 0, 0, request_id, flags) + body


def text(value: str) -> bytes:
    return struct.pack("<H", len(value.encode())) + value.encode()


def welcome_body(
    *,
    version: int = 1,
    frame_bytes_max: int = 16 << 20,
    queries_max: int = 1_024,
    in_flight_max: int = 256,
) -> bytes:
    limits = (frame_bytes_max, queries_max, 10_000, 10_000, in_flight_max)
    return struct.pack("<HHIIIII", version, 0, *limits) + text("fake/1")


def error_body(code: int, message: str = "no", closes: bool = False) -> bytes:
    return struct.pack("<IBBH", code, closes, 0, 0) + text(message)


def search_body(
    ids: Sequence[Sequence[int]],
    *,
    receipt: tuple[int, int, int, int] = (0, 0, 0, 0),
    groups: Sequence[Sequence[int]] | None = None,
    explanations: Sequence[str] | None = None,
    payload: Mapping[str, Sequence[str | None]] | None = None,
) -> bytes:
    """A reply with int64 ids; the distances of each query count up from 0.

    `receipt`: flags, plan, shortfall and matching rows, of every query. `payload`: for each column
    the texts of all results.
    """
    parts = (groups is not None) | (explanations is not None) << 1 | (payload is not None) << 2
    flags, plan, shortfall, matching = receipt
    body = struct.pack("<QQII", 77, 0x16_B374D848, 1, 0)
    body += struct.pack("<IIBBHI", len(ids), sum(map(len, ids)), 1, parts, 0, 0)
    for row in ids:
        fields = (len(row), 100 + len(row), flags, plan, shortfall, 0, matching)
        body += struct.pack("<IIIBBHQ", *fields)
    body += b"".join(struct.pack("<q", i) for row in ids for i in row)
    body += b"".join(struct.pack("<f", n) for row in ids for n in range(len(row)))
    body += b"".join(struct.pack("<I", g) for row in groups or () for g in row)
    body += b"".join(map(text, explanations or ()))
    if payload is not None:
        body += struct.pack("<H", len(payload)) + b"".join(map(text, payload))
        body += b"".join(map(payload_text, itertools.chain(*zip(*payload.values(), strict=True))))
    return body


def payload_text(value: str | None) -> bytes:
    raw = b"" if value is None else value.encode()
    return struct.pack("<I", 0xFFFFFFFF if value is None else len(raw)) + raw


class Search(NamedTuple):
    k: int
    ef: int
    options: int
    collection: str
    queries: np.ndarray
    recall_target: int
    modifiers: dict[int, bytes]


def read_search(body: bytes) -> Search:
    k, ef, element, options, recall_target, dimension, count = struct.unpack_from("<IIBBHII", body)
    assert recall_target == 0 or (8_000 <= recall_target <= 9_990 and ef == 0)
    (length,) = struct.unpack_from("<H", body, 20)
    name = body[22 : 22 + length].decode()
    modifiers, rest = (
        read_modifiers(body[22 + length :]) if options & 4 else ({}, body[22 + length :])
    )
    vectors = np.frombuffer(rest, {1: "<f4", 2: "<f2"}[element])
    queries = vectors.reshape(count, dimension)
    return Search(k, ef, options, name, queries, recall_target, modifiers)


def read_modifiers(raw: bytes) -> tuple[dict[int, bytes], bytes]:
    """The modifiers by their tags, and what follows them."""
    (length,) = struct.unpack_from("<I", raw)
    block, rest = raw[4 : 4 + length], raw[4 + length :]
    assert len(block) == length > 0
    modifiers: dict[int, bytes] = {}
    while block:
        tag, zero, zeros, size = struct.unpack_from("<BBHI", block)
        assert zero == zeros == 0
        assert tag > max(modifiers, default=0)
        assert len(block) >= 8 + size
        modifiers[tag], block = block[8 : 8 + size], block[8 + size :]
    return modifiers, rest


class Peer:
    """One accepted connection, as the script sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.asked: list[Asked] = []

    def read(self) -> Asked:
        length, kind, flags, reserved, request_id, deadline = struct.unpack(
            "<IBBHII", self._read_exactly(16)
        )
        assert flags == reserved == 0
        asked = Asked(kind, request_id, deadline, self._read_exactly(length))
        self.asked.append(asked)
        return asked

    def _read_exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                part = self.socket.recv(min(count - len(data), 1 << 20))
            except OSError as error:
                raise HangUp from error
            if not part:
                raise HangUp
            data += part
        return bytes(data)

    def write(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise HangUp from error

    def drip(self, data: bytes) -> None:
        for i in range(len(data)):
            self.write(data[i : i + 1])

    def reply(self, asked: Asked, kind: int, body: bytes, flags: int = 0) -> None:
        self.write(frame(kind, asked.request_id, body, flags))

    def fail(self, asked: Asked, code: int, message: str = "no", closes: bool = False) -> None:
        self.reply(asked, ERROR, error_body(code, message, closes))

    def welcome(self, body: bytes | None = None) -> None:
        asked = self.read()
        assert asked.kind == HELLO
        assert asked.body[:8] == b"VZNH\x01\x00\x01\x00"
        self.reply(asked, WELCOME, welcome_body() if body is None else body)

    def answer(self, asked: Asked) -> None:
        """What an honest server would say: row `n` of query `[v, …]` has the id `v + n`."""
        if asked.kind == PING:
            self.reply(asked, PONG, asked.body)
        elif asked.kind == SEARCH:
            self.reply(asked, SEARCH_REPLY, answer_to(asked))
        elif asked.kind != CANCEL:
            self.fail(asked, 5)

    def serve(self) -> None:
        while True:
            self.answer(self.read())


def answer_to(asked: Asked) -> bytes:
    search = read_search(asked.body)
    return search_body([range(int(query[0]), int(query[0]) + search.k) for query in search.queries])


def honest(peer: Peer) -> None:
    peer.welcome()
    peer.serve()


class FakeServer:
    """The first connection follows the first script, and so on; the last script repeats.

    A script that returns hangs up. An assertion that fails within a script fails the test.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.peers: list[Peer] = []
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._over = threading.Event()

    def __enter__(self) -> FakeServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for peer in self.peers:
            _hang_up(peer.socket)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a script of the fake server does not end"
        for peer in self.peers:
            peer.socket.close()
        self._listener.close()
        if exception is None and self._errors:
            raise self._errors[0]

    def asked(self, kind: int) -> list[Asked]:
        return [asked for peer in self.peers for asked in peer.asked if asked.kind == kind]

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            peer = Peer(sock)
            self.peers.append(peer)
            self._start(self._follow, script, peer)

    def _follow(self, script: Script, peer: Peer) -> None:
        try:
            script(peer)
        except HangUp:
            pass
        except BaseException as error:  # noqa: BLE001  # handed to the test's thread
            if not self._over.is_set():
                self._errors.append(error)
        _hang_up(peer.socket)


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
