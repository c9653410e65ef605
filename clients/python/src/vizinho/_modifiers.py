"""What a search may be asked for beside `k` and its effort, and how that travels."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

from . import _wire
from ._freshness import Freshness
from .errors import InvalidRequest
from .filters import Filter, encode_filter

#: A filter for all queries of a request, or one (or None) for each.
Filters: TypeAlias = Filter | str | Sequence[Filter | str | None]

_TAG = struct.Struct("<BBHI")
_DIVERSITY = struct.Struct("<fI")


class _Tag(IntEnum):
    FILTER = 1
    FILTER_OF_EACH = 2
    DISTANCE_MAX = 3
    OFFSET = 4
    GROUPING = 5
    DIVERSITY = 6
    EXPLAIN = 7
    PAYLOAD = 8
    POSITION = 9
    STRONG = 10


@dataclass(frozen=True)
class Modifiers:
    """The arguments of the searches that choose among rows."""

    filter: Filters | None = None
    distance_max: float | None = None
    offset: int = 0
    group_by: str | None = None
    per_group: int | None = None
    mmr: float | None = None
    mmr_candidates: int | None = None
    explain: bool = False
    payload: bool | Sequence[str] = False
    freshness: Freshness = field(default_factory=Freshness)

    def encode(self, count: int, *, single: bool) -> bytes:
        """The block for a request of `count` queries; nothing where nothing was asked for."""
        return _block(
            self._filters(count, single=single),
            (_Tag.DISTANCE_MAX, self._distance_max()),
            (_Tag.OFFSET, self._offset()),
            (_Tag.GROUPING, self._grouping()),
            (_Tag.DIVERSITY, self._diversity()),
            (_Tag.EXPLAIN, b"" if self.explain else None),
            (_Tag.PAYLOAD, self._payload()),
            (_Tag.POSITION, self.freshness.position()),
            (_Tag.STRONG, self.freshness.now()),
        )

    def _filters(self, count: int, *, single: bool) -> tuple[_Tag, bytes | None]:
        given: Any = self.filter  # callers may pass anything, and encode_filter says what is wrong
        if given is None:
            return _Tag.FILTER, None
        if isinstance(given, (Filter, str)) or not isinstance(given, Sequence):
            return _Tag.FILTER, encode_filter(given)
        if single:
            raise InvalidRequest("a list of filters for one query: give the filter itself")
        if len(given) != count:
            raise InvalidRequest(
                f"{len(given)} filters for {count} queries: give one for each, None where all rows "
                "are meant, or one for all"
            )
        encoded = [b"" if f is None else encode_filter(f) for f in given]
        lengths = b"".join(len(raw).to_bytes(4, "little") for raw in encoded)
        return _Tag.FILTER_OF_EACH, lengths + b"".join(encoded)

    def _distance_max(self) -> bytes | None:
        if self.distance_max is None:
            return None
        limit = _number("distance_max", self.distance_max)
        try:
            return struct.pack("<f", limit)
        except OverflowError:  # beyond every float32, as no distance is
            return struct.pack("<f", math.copysign(math.inf, limit))

    def _offset(self) -> bytes | None:
        offset = _count("offset", self.offset, 0)
        return offset.to_bytes(4, "little") if offset else None

    def _grouping(self) -> bytes | None:
        if self.group_by is None:
            if self.per_group is not None:
                raise InvalidRequest("per_group without group_by: by which attribute?")
            return None
        if not isinstance(self.group_by, str):
            raise InvalidRequest(f"group_by is {self.group_by!r}: expected an attribute's name")
        per_group = 1 if self.per_group is None else _count("per_group", self.per_group, 1)
        return per_group.to_bytes(4, "little") + _wire.encode_string(self.group_by)

    def _payload(self) -> bytes | None:
        given: Any = self.payload
        if isinstance(given, bool):
            return (0).to_bytes(2, "little") if given else None
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            raise InvalidRequest(f"payload is {given!r}: expected names in a list, True or False")
        if not all(isinstance(name, str) for name in given):
            raise InvalidRequest(f"payload is {given!r}: expected names of columns")
        if len(given) > _wire.PAYLOAD_COLUMNS_MAX:
            raise InvalidRequest(
                f"{len(given)} columns of payload: {_wire.PAYLOAD_COLUMNS_MAX} are possible"
            )
        # To the protocol, no names are all of them; to whoever gives an empty list, they are none.
        names = b"".join(map(_wire.encode_string, given))
        return len(given).to_bytes(2, "little") + names if given else None

    def _diversity(self) -> bytes | None:
        if self.mmr is None:
            if self.mmr_candidates is not None:
                raise InvalidRequest("mmr_candidates without mmr: give its lambda, from 0 to 1")
            return None
        share = _number("mmr", self.mmr)
        if not 0 <= share <= 1:
            raise InvalidRequest(f"mmr is {share}: expected 0, variety alone, to 1, nearness alone")
        candidates = (
            0 if self.mmr_candidates is None else _count("mmr_candidates", self.mmr_candidates, 1)
        )
        return _DIVERSITY.pack(share, candidates)


def fetch_modifiers(freshness: Freshness) -> bytes:
    """The block of a fetch, which can only be asked to be new."""
    return _block((_Tag.POSITION, freshness.position()), (_Tag.STRONG, freshness.now()))


def _block(*modifiers: tuple[_Tag, bytes | None]) -> bytes:
    """In ascending order of their tags; nothing where there are none."""
    block = b"".join(
        _TAG.pack(tag, 0, 0, len(content)) + content
        for tag, content in modifiers
        if content is not None
    )
    return len(block).to_bytes(4, "little") + block if block else b""


def _number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(f"{name} is {value!r}: expected a number") from None
    if math.isnan(number):
        raise InvalidRequest(f"{name} is not a number")
    return number


def _count(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidRequest(f"{name} is {value!r}: expected an integer") from None
    if not least <= number < 2**32:
        raise InvalidRequest(f"{name} is {number}: expected {least} or more, below 2^32")
    return number
