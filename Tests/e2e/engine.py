"""The program `vizinho` under test, as a user meets it: its subcommands, its exit codes, its signals."""

import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from types import TracebackType
from typing import IO

import pytest
from vizinho import Client, ConnectionFailed

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Long enough for a busy machine; nothing here is meant to take a tenth of it.
SECONDS_MAX = 120


def program() -> pathlib.Path:
    """The program that the environment names, or the one of the release build."""
    path = pathlib.Path(os.environ.get("VIZINHO_PROGRAM", REPOSITORY / ".build" / "release" / "vizinho"))
    if not path.is_file():
        pytest.exit(f"{path} is missing: swift build -c release --product vizinho", returncode=1)
    return path


def vizinho(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    """Runs a subcommand to its end."""
    return subprocess.run(
        [program(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def rebuild(
    data_directory: pathlib.Path, url: str, table: str, collection: str, metric: str = "cosine", *options: str
) -> subprocess.CompletedProcess[str]:
    source = ("--postgres", url, "--table", table, "--collection", collection, "--metric", metric)
    return vizinho("rebuild", "--data-dir", data_directory, *source, *options)


@dataclasses.dataclass
class Engine:
    """`vizinho serve`, or another command that serves, as a process. A context manager that leaves nothing running."""

    data_directory: pathlib.Path
    command: tuple[str, ...] = ("serve",)
    # Beside the environment of the tests.
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    # Whether it must answer before the block begins. One that is to be killed on its way there need not.
    answers: bool = True
    port: int = dataclasses.field(init=False)
    process: "subprocess.Popen[bytes]" = dataclasses.field(init=False)
    _log: IO[bytes] = dataclasses.field(init=False)

    def __enter__(self) -> "Engine":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # A file: a pipe that nobody reads would stop an engine that has much to say.
        self._log = tempfile.TemporaryFile("a+b")
        self.process = subprocess.Popen(
            [program(), *self.command, "--data-dir", self.data_directory, "--listen", self.address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, **self.environment},
        )
        try:
            if self.answers:
                self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(signal.SIGKILL)
        self._log.close()

    @property
    def log(self) -> str:
        """What the engine has said so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.address)

    def end(self, by: signal.Signals) -> int:
        """Sends the signal and waits for the end; returns the exit code, negative for a signal's."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.process.wait(timeout=SECONDS_MAX)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        with Client(self.address, retries=0) as client:
            while True:
                try:
                    client.ping(timeout=2)
                    return
                except ConnectionFailed:
                    if self.process.poll() is not None:
                        pytest.fail(f"the engine ended with {self.process.returncode}:\n{self.log}")
                    if time.monotonic() > deadline:
                        pytest.fail("the engine was not ready in time")
                time.sleep(0.05)
