"""Conditions on the attributes of rows, built from Python values: `attribute("tenant") == 7`.

A filter means what SQL means by it, NULLs included (docs/FILTERS.md). It may also be given as text;
a tree built here needs no quoting and cannot be misread.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, timezone
from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np

from .errors import InvalidRequest

#: What an attribute can be compared with. A `datetime` must be aware.
Value: TypeAlias = bool | int | float | str | uuid.UUID | datetime

#: The limits of the protocol.
DEPTH_MAX: Final = 16
NODES_MAX: Final = 256
LIST_VALUES_MAX: Final = 10_000
TEXT_BYTES_MAX: Final = 64 << 10
FILTER_BYTES_MAX: Final = 1 << 20
_STRING_BYTES_MAX: Final = 0xFFFF

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
_TREE, _TEXT = b"\x01", b"\x02"


class _Node(IntEnum):
    """What a condition begins with."""

    COMPARISON = 2
    IN = 3
    BETWEEN = 4
    IS_NULL = 5
    CONTAINS = 6
    OVERLAPS = 7
    ANY_EQUAL = 8
    PREFIX = 9
    AND = 10
    OR = 11
    NOT = 12


class Filter:
    """A condition on a row's attributes; a row matches where it is TRUE.

    `a & b`, `a | b` and `~a` make more of them. They are Python's bitwise operators, which bind
    more tightly than comparisons: write `(attribute("a") == 1) & (attribute("b") > 2)`.
    """

    __slots__ = ("_code", "_content", "_depth", "_nodes", "_parts", "_text", "_values")

    _depth: int
    _nodes: int
    _values: int

    def __init__(
        self,
        code: _Node,
        content: bytes,
        text: str,
        parts: tuple[Filter, ...] = (),
        values: int = 0,
    ) -> None:
        self._code = code
        self._content = content
        self._text = text
        self._parts = parts
        self._depth = 1 + max((part._depth for part in parts), default=0)
        self._nodes = 1 + sum(part._nodes for part in parts)
        self._values = values + sum(part._values for part in parts)
        _check("levels of conditions in each other", self._depth, DEPTH_MAX)
        _check("conditions (use isin for many values of one attribute)", self._nodes, NODES_MAX)
        _check("values of all lists together", self._values, LIST_VALUES_MAX)

    def __and__(self, other: Filter) -> Filter:
        return _joined(_Node.AND, " & ", self, other)

    def __or__(self, other: Filter) -> Filter:
        return _joined(_Node.OR, " | ", self, other)

    def __invert__(self) -> Filter:
        return Filter(_Node.NOT, b"", f"~({self._text})", (self,))

    def __bool__(self) -> bool:
        raise TypeError(
            "a filter is neither true nor false before it meets a row: join filters with &, | and "
            "~ instead of and, or and not, and write a range with between"
        )

    def __repr__(self) -> str:
        return self._text

    def _encode(self) -> bytes:
        count = len(self._parts).to_bytes(2, "little") if self._code != _Node.NOT else b""
        nested = b"".join(part._encode() for part in self._parts)
        return bytes((self._code,)) + (count + nested if self._parts else self._content)


class Attribute:
    """An attribute of the rows, by its name; comparing it makes a `Filter`."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so it cannot be a key

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise InvalidRequest(f"an attribute's name is a str, not {name!r}")
        self.name = name

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        return self._compared(1, "==", value)

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        return self._compared(2, "!=", value)

    def __lt__(self, value: Value) -> Filter:
        return self._compared(3, "<", value)

    def __le__(self, value: Value) -> Filter:
        return self._compared(4, "<=", value)

    def __gt__(self, value: Value) -> Filter:
        return self._compared(5, ">", value)

    def __ge__(self, value: Value) -> Filter:
        return self._compared(6, ">=", value)

    def isin(self, values: Iterable[Value]) -> Filter:
        """The attribute equals one of `values`, of which there is at least one."""
        listed = _listed("isin", values)
        if not listed:
            raise InvalidRequest(f"{self!r}.isin of no values, which no row meets: leave it out")
        return self._list(_Node.IN, "isin", listed)

    def between(self, low: Value, high: Value) -> Filter:
        """From `low` to `high`, both included."""
        content = _string(self.name) + _value(low) + _value(high)
        return Filter(_Node.BETWEEN, content, f"{self!r}.between({low!r}, {high!r})")

    def is_null(self) -> Filter:
        """The row has no value. `~attribute(…).is_null()`: it has one."""
        return Filter(_Node.IS_NULL, _string(self.name), f"{self!r}.is_null()")

    def contains(self, values: Iterable[Value]) -> Filter:
        """The array has all of `values`."""
        return self._list(_Node.CONTAINS, "contains", _listed("contains", values))

    def overlaps(self, values: Iterable[Value]) -> Filter:
        """The array has one of `values`."""
        return self._list(_Node.OVERLAPS, "overlaps", _listed("overlaps", values))

    def has_element(self, value: Value) -> Filter:
        """The array has this element."""
        content = _string(self.name) + _value(value)
        return Filter(_Node.ANY_EQUAL, content, f"{self!r}.has_element({value!r})")

    def startswith(self, prefix: str) -> Filter:
        """The text begins with these characters."""
        if not isinstance(prefix, str):
            raise InvalidRequest(f"{self!r}.startswith takes a str, not {prefix!r}")
        content = _string(self.name) + _string(prefix)
        return Filter(_Node.PREFIX, content, f"{self!r}.startswith({prefix!r})")

    def __repr__(self) -> str:
        return f"attribute({self.name!r})"

    def _compared(self, comparison: int, symbol: str, value: object) -> Filter:
        content = bytes((comparison,)) + _string(self.name) + _value(value)
        return Filter(_Node.COMPARISON, content, f"({self!r} {symbol} {value!r})")

    def _list(self, code: _Node, name: str, values: list[Any]) -> Filter:
        _check("values of all lists together", len(values), LIST_VALUES_MAX)
        content = _string(self.name) + len(values).to_bytes(4, "little")
        content += b"".join(map(_value, values))
        return Filter(code, content, f"{self!r}.{name}({values!r})", values=len(values))


def attribute(name: str) -> Attribute:
    """An attribute of a collection, as `describe` names it."""
    return Attribute(name)


def encode_filter(given: Filter | str) -> bytes:
    """A filter as it travels: a tree, or a text that the server reads."""
    if isinstance(given, Filter):
        raw = _TREE + given._encode()
    elif isinstance(given, str):
        text = _utf8(given)
        _check("bytes of a filter's text", len(text), TEXT_BYTES_MAX)
        raw = _TEXT + text
    else:
        raise InvalidRequest(
            f"{given!r} is no filter: expected a str, or a condition such as attribute('a') == 1"
        )
    _check("bytes of a filter", len(raw), FILTER_BYTES_MAX)
    return raw


def _joined(code: _Node, symbol: str, left: Filter, right: object) -> Filter:
    """One AND of many rather than one within another: depth is limited, and says nothing here."""
    if not isinstance(right, Filter):
        raise InvalidRequest(
            f"{right!r} is no filter: put brackets around each comparison, as in (a == 1) & (b > 2)"
        )
    parts: list[Filter] = []
    for side in (left, right):
        parts += side._parts if side._code == code else (side,)
    text = symbol.join(f"({p._text})" if p._parts else p._text for p in parts)
    return Filter(code, b"", text, tuple(parts))


def _value(value: object) -> bytes:
    """A value with its type. bool is an int to Python, and datetime a date: the order matters."""
    if isinstance(value, (bool, np.bool_)):
        return b"\x01" + bytes((int(value),))
    for types, encode in _ENCODERS:
        if isinstance(value, types):
            return encode(value)
    if value is None:
        raise InvalidRequest("None is NULL, which equals nothing: use is_null()")
    if isinstance(value, date):
        raise InvalidRequest(
            f"{value!r} is a day and no point in time: give a datetime with a time zone"
        )
    raise InvalidRequest(
        f"{value!r} is a {type(value).__name__}: expected bool, int, float, str, uuid.UUID or an "
        "aware datetime"
    )


def _int(value: Any) -> bytes:
    try:
        return b"\x02" + struct.pack("<q", int(value))
    except struct.error:
        raise InvalidRequest(f"{value} does not fit 64 bits") from None


def _float(value: Any) -> bytes:
    return b"\x03" + struct.pack("<d", float(value))


def _datetime(value: Any) -> bytes:
    if value.utcoffset() is None:
        raise InvalidRequest(
            f"{value!r} has no time zone, so which instant it means is anybody's guess: give "
            "tzinfo, for instance datetime(2024, 1, 31, tzinfo=timezone.utc)"
        )
    return b"\x04" + struct.pack("<q", (value - _EPOCH) // _MICROSECOND)


_ENCODERS: Final[tuple[tuple[Any, Callable[[Any], bytes]], ...]] = (
    ((int, np.integer), _int),
    ((float, np.floating), _float),
    (datetime, _datetime),
    (uuid.UUID, lambda value: b"\x05" + value.bytes),
    (str, lambda value: b"\x06" + _string(value)),
)


def _listed(name: str, values: object) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidRequest(f"{name} takes a list of values, not {values!r}")
    return list(values)


def _string(text: str) -> bytes:
    raw = _utf8(text)
    _check("bytes of a text", len(raw), _STRING_BYTES_MAX)
    return len(raw).to_bytes(2, "little") + raw


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{text!r} cannot be written as UTF-8: {error.reason}") from None


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidRequest(f"a filter has at most {most} {what}, not {count}")
