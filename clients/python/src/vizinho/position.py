"""Positions in what Postgres has committed, and the texts that they travel as. No I/O.

Where Postgres is, `_positions.py` asks.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class LSN(int):
    """A position in Postgres' write-ahead log: a number that prints as `16/B374D848`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> LSN:
        """Reads Postgres' text form."""
        high, slash, low = text.partition("/")
        try:
            halves = int(high, 16), int(low, 16)
        except ValueError:
            halves = -1, -1
        if not slash or not all(0 <= half < 2**32 for half in halves):
            raise ValueError(
                f"{text!r} is no LSN: expected two hexadecimal numbers as in '16/B374D848'"
            )
        return cls(halves[0] << 32 | halves[1])

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"LSN({str(self)!r})"


#: Digits alone, and no more of them than the numbers can have.
_TOKEN = re.compile(r"([0-9]{1,20})-([0-9]{1,10})-([0-9A-Fa-f]{1,8})\.([0-9A-Fa-f]{1,8})")
_PRINTED_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")


#: Set in a position's timeline where ids of transactions stand in the place of the log's positions.
TRANSACTIONS_FLAG: Final = 1 << 31


class Position(NamedTuple):
    """What an answer is in step with: a place in the history of one Postgres cluster."""

    system_id: int
    applied_lsn: LSN
    timeline: int

    @property
    def counts_transactions(self) -> bool:
        """Whether `applied_lsn` is the id of a transaction, below which all is applied (outbox)."""
        return bool(self.timeline & TRANSACTIONS_FLAG)

    @property
    def is_known(self) -> bool:
        """Whether the server knows how far it has followed Postgres."""
        return self.applied_lsn != 0

    def __str__(self) -> str:
        """A token that a cookie, a header or a URL can carry; `parse` reads it."""
        high, low = self.applied_lsn >> 32, self.applied_lsn & 0xFFFFFFFF
        return f"{self.system_id}-{self.timeline}-{high:X}.{low:X}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Reads a token, or an LSN as Postgres prints it, of any system and any timeline.

        Raises:
            ValueError: it is neither.
        """
        token = _TOKEN.fullmatch(text)
        if token is None:
            lsn = _PRINTED_LSN.fullmatch(text)
            if lsn is None:
                raise ValueError(
                    f"{text[:64]!r} is no position: expected a token, or an LSN as in '16/B374D848'"
                )
            return cls(0, LSN.parse(text), 0)
        system_id, timeline = int(token[1]), int(token[2])
        if system_id >= 2**64 or timeline >= 2**32:
            raise ValueError(f"{text!r} is no position: its numbers are too large")
        return cls(system_id, LSN(int(token[3], 16) << 32 | int(token[4], 16)), timeline)
