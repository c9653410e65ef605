"""What both clients can be told, and what follows from it: address, deadlines, retries."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from .errors import InvalidRequest

#: Retries wait 0.1 s, 0.2 s, 0.4 s, … of which up to a half is left out by chance, so that the
#: clients of a server that comes back do not all call in the same moment.
_BACKOFF_SECONDS = 0.1
_BACKOFF_SECONDS_MAX = 2.0


@dataclass(frozen=True)
class Options:
    """The arguments of `AsyncClient` and `Client`."""

    address: str
    timeout: float | None
    connect_timeout: float
    retries: int
    reply_bytes_max: int
    name: str
    host: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        host, port = _split_address(self.address)
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "port", port)
        _check_positive("timeout", self.timeout)
        _check_positive("connect_timeout", self.connect_timeout)
        if self.retries < 0:
            raise InvalidRequest(f"retries is {self.retries}: expected 0 or more")
        if self.reply_bytes_max < 1_024:
            raise InvalidRequest(
                f"reply_bytes_max is {self.reply_bytes_max}: expected 1,024 or more"
            )

    def deadline(self, now: float, timeout: float | None) -> float:
        """When a request is over that starts `now`: infinity when it may take for ever."""
        if timeout is None:
            timeout = self.timeout
        else:
            _check_positive("timeout", timeout)
        return math.inf if timeout is None else now + timeout


def backoff_seconds(failures: int) -> float:
    """How long to wait before the next attempt after so many failed ones in a row."""
    if failures == 0:
        return 0.0
    longest = min(_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16), _BACKOFF_SECONDS_MAX)
    return longest * random.uniform(0.5, 1.0)


def _check_positive(name: str, seconds: float | None) -> None:
    if seconds is not None and not seconds > 0:
        raise InvalidRequest(f"{name} is {seconds}: expected a number of seconds above 0")


def _split_address(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if (
        not colon
        or not host
        or not (port.isascii() and port.isdigit())
        or not 0 < int(port) < 65_536
    ):
        raise InvalidRequest(f"{address!r} is no address: expected 'host:port' or '[ipv6]:port'")
    return host, int(port)
