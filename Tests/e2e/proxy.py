"""A Unix socket between the engine and Postgres, on which everything can go wrong that does on a network."""

import contextlib
import pathlib
import re
import selectors
import socket
import threading
import time
import urllib.parse

# The process and its key, as each connection is told before it may ask anything.
GREETING = re.compile(rb"(K\x00\x00\x00[\x0c-\xff])(.{4})(?=.{4,251}Z\x00\x00\x00\x05I)", re.DOTALL)


class Proxy:
    """Forwards each connection to Postgres's socket. A context manager.

    `mode` may be changed at any time: "pass"; "stall": nothing moves, nobody is told; "trickle": some bytes a second;
    "refuse": new connections are closed at once. `cut()` ends all connections; half of what was under way may have
    arrived. With a `forgery`, the engine gets a value that Postgres has not: a difference of which nobody can tell it
    anything. With `pools`, it greets as a pooler does: with a number that is no process of the server's.
    """

    def __init__(self, url: str, directory: pathlib.Path) -> None:
        # postgresql://user@%2Fpath%2Fof%2Fthe%2Fsocket:port/database
        parts = urllib.parse.urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        path, _, port = host.partition(":")
        self._port = port or "5432"
        self._target = f"{urllib.parse.unquote(path)}/.s.PGSQL.{self._port}"
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        through = f"{user}@{urllib.parse.quote(str(directory), safe='')}:{self._port}"
        self.url = parts._replace(netloc=through).geturl()
        self.mode = "pass"
        # What Postgres says, and what is told instead: as long, so that nothing else is amiss.
        self.forgery: tuple[bytes, bytes] | None = None
        self.pools = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "Proxy":
        path = self._directory / f".s.PGSQL.{self._port}"
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Ends all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Nothing moves any more on the connections that there are, and nobody is told. New ones are as ever."""
        with self._lock:
            self._silent.update(client for client, _ in self._pairs)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode == "refuse":
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:
                client.close()
                server.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        try:
            while not self._ended.is_set():
                ready = selector.select(timeout=0.05)
                # Asked when something has come: it may have been told to stall while nothing did.
                if self.mode == "stall" or client in self._silent:
                    time.sleep(0.05)
                    continue
                for key, _ in ready:
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    size = 1 if self.mode == "trickle" else 65_536
                    data = source.recv(size)
                    if not data:
                        return
                    if self.forgery is not None and source is server:
                        data = data.replace(*self.forgery)
                    if self.pools and source is server:
                        data = GREETING.sub(b"\\1\x7f\xff\xff\xff", data)
                    key.data.sendall(data)
                    if self.mode == "trickle":
                        time.sleep(0.01)
        except OSError:
            pass
        finally:
            selector.close()
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
