"""How new an answer must be, and how that travels."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

from .errors import InvalidRequest
from .position import Position

#: The longest that a server lets a request wait.
WAIT_SECONDS_MAX: Final = 60.0
#: A change is in the index a millisecond or so after its commit, unless something is amiss.
_WAIT_SECONDS: Final = 1.0

_POSITION = struct.Struct("<QQIII")
_STRONG = struct.Struct("<I")


@dataclass(frozen=True)
class Freshness:
    """The arguments of requests that say how new the answer must be."""

    after: Position | str | None = None
    wait: float | None = None
    strong: bool = False

    def position(self) -> bytes | None:
        """The content of the modifier that names a position."""
        given: Any = self.after  # callers may pass anything
        if given is None:
            if self.wait is not None and not self.strong:
                raise InvalidRequest("wait without after or strong: for what is it to be waited?")
            return None
        if self.strong:
            raise InvalidRequest("after and strong: a strong request finds its position itself")
        if isinstance(given, str):
            try:
                given = Position.parse(given)
            except ValueError as error:
                raise InvalidRequest(f"after: {error}") from None
        if not isinstance(given, Position):
            raise InvalidRequest(f"after is {given!r}: expected a Position, or its text")
        system_id, lsn, timeline = given
        try:
            return _POSITION.pack(system_id, lsn, timeline, 0, self._wait_milliseconds(0))
        except struct.error:
            raise InvalidRequest(
                f"after is {given!r}: its numbers are none of a position"
            ) from None

    def now(self) -> bytes | None:
        """The content of the modifier that asks for the present position of Postgres."""
        return _STRONG.pack(self._wait_milliseconds(1)) if self.strong else None

    def _wait_milliseconds(self, least: int) -> int:
        given: Any = _WAIT_SECONDS if self.wait is None else self.wait
        try:
            seconds = float(given)
        except (TypeError, ValueError, OverflowError):
            raise InvalidRequest(f"wait is {given!r}: expected a number of seconds") from None
        # NaN is in no range. Rounded up: who waits at all waits a millisecond.
        if not 0 <= seconds <= WAIT_SECONDS_MAX or (least and not seconds):
            raise InvalidRequest(
                f"wait is {seconds}: expected seconds, "
                f"{'above 0' if least else '0 or more'}, at most {WAIT_SECONDS_MAX:.0f}"
            )
        return math.ceil(seconds * 1_000)
