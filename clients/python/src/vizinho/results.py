"""What comes back: plain values and views on the reply's bytes. No I/O, no decoding of frames."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from .kinds import AttributeType, Metric, Plan, RecordIDKind, Shortfall, Storage
from .position import Position

#: The key of a row, as Postgres has it; a tuple is a key of several columns.
RecordID: TypeAlias = int | uuid.UUID | str | tuple[int | uuid.UUID | str, ...]
#: Int64 keys stay a numpy array; the other kinds are a list.
RecordIDs: TypeAlias = npt.NDArray[np.int64] | Sequence[RecordID]


class AttributeInfo(NamedTuple):
    """An attribute that filters can ask for."""

    name: str
    type: AttributeType
    #: Whether text can be asked for by order: its collation is C.
    orders_bytewise: bool
    #: Whether rows are found by a value of it, without looking at all rows.
    indexed: bool
    #: Whether it says whose a row is: every search then needs a filter with one of its values.
    tenant: bool = False


class Description(NamedTuple):
    """What the rows of a collection have beside their vectors."""

    #: What filters and `group_by` can name.
    attributes: list[AttributeInfo]
    #: The columns whose text hits can bring back.
    payload: list[str]


class _Hit(NamedTuple):
    id: RecordID
    distance: float


class Hit(_Hit):
    """One neighbour: a pair of its id and its distance, which brings its payload where asked to."""

    #: The text of each column, None where it is NULL; None where no payload was asked for.
    payload: dict[str, str | None] | None = None


class Payload(NamedTuple):
    """The payload of all results of a reply."""

    columns: list[str]
    #: Result by result, a value for each column.
    values: list[str | None]

    def rows(self, start: int, stop: int) -> list[dict[str, str | None]]:
        """The payload of some results."""
        width = len(self.columns)
        return [
            dict(zip(self.columns, self.values[i * width : (i + 1) * width], strict=True))
            for i in range(start, stop)
        ]


class ServerInfo(NamedTuple):
    """What the server said at the start of the connection: its name and its limits."""

    version: int
    frame_bytes_max: int
    queries_max: int
    k_max: int
    ef_max: int
    requests_in_flight_max: int
    server: str


class Collection(NamedTuple):
    """One collection of a server."""

    name: str
    dimension: int
    metric: Metric
    storage: Storage
    record_id_kind: RecordIDKind
    rows: int
    position: Position


#: How one query was answered, as it travels: results, distances computed, flags (1: exact, 2: there
#: was a filter), plan, shortfall, a zero and the rows that match. Every number means something.
Receipt: TypeAlias = tuple[int, int, int, int, int, int, int]


class IDBlock:
    """The ids of one reply, decoded when they are first looked at where that costs something.

    Holds either an int64 array, the bytes of UUIDs, or a list that is decoded already.
    """

    __slots__ = ("_ids", "_uuids")

    def __init__(self, ids: RecordIDs | None, uuids: memoryview | None = None) -> None:
        self._ids = ids
        self._uuids = uuids

    @property
    def all(self) -> RecordIDs:
        """All ids of the reply. O(n) once for UUIDs, otherwise O(1)."""
        if self._ids is None:
            self._ids = self[0 : len(self._uuids) // 16] if self._uuids is not None else []
        return self._ids

    def __getitem__(self, part: slice) -> RecordIDs:
        if self._ids is not None or self._uuids is None:
            return self.all[part]
        raw = self._uuids[part.start * 16 : part.stop * 16].tobytes()
        return [uuid.UUID(bytes=raw[i : i + 16]) for i in range(0, len(raw), 16)]


class SearchResult(Sequence[Hit]):
    """The neighbours of one query, nearest first. A sequence of `Hit`s.

    With `group_by`, group by group, the groups in the order of their nearest; with `mmr`, in the
    order of the choice.

    Attributes:
        distances: `[n]` float32, ascending (but see above); a view on the reply.
        exact: whether every row that may be found was compared, so that nothing nearer can exist.
        distances_computed: how many distances the server computed for this query.
        groups: `[n]` uint32, the number of each hit's group, from 0; None without `group_by`.
        explanation: how the answer was found, for a person; None unless asked for.
        payload: for each hit the text of its columns; None unless asked for.
        position: what the answer is in step with.
        stale: whether the collection follows Postgres no more, and must be loaded again.
    """

    __slots__ = (
        "_block",
        "_ids",
        "_receipt",
        "_start",
        "distances",
        "distances_computed",
        "exact",
        "explanation",
        "groups",
        "payload",
        "position",
        "stale",
    )

    def __init__(
        self,
        block: IDBlock,
        start: int,
        distances: npt.NDArray[np.float32],
        receipt: Receipt,
        position: Position,
        groups: npt.NDArray[np.uint32] | None = None,
        explanation: str | None = None,
        payload: list[dict[str, str | None]] | None = None,
        *,
        stale: bool = False,
    ) -> None:
        self._block = block
        self._start = start
        self._ids: RecordIDs | None = None
        self.distances = distances
        self.distances_computed = receipt[1]
        self.exact = bool(receipt[2] & 1)
        self._receipt = receipt
        self.groups = groups
        self.explanation = explanation
        self.payload = payload
        self.position = position
        self.stale = stale

    @property
    def ids(self) -> RecordIDs:
        """The ids, in the order of `distances`: an int64 array, or a list of UUID, str or tuple."""
        if self._ids is None:
            self._ids = self._block[self._start : self._start + len(self.distances)]
        return self._ids

    @property
    def plan(self) -> Plan | None:
        """How a search with a filter went about it; None without one."""
        return Plan(self._receipt[3]) if self._receipt[3] else None

    @property
    def matching_rows(self) -> int | None:
        """How many rows the filter is TRUE of, exactly; None without a filter."""
        return self._receipt[6] if self._receipt[2] & 2 else None

    @property
    def shortfall(self) -> Shortfall | None:
        """Why fewer results than `k`, or fewer groups, came; None where as many came."""
        return Shortfall(self._receipt[4]) if self._receipt[4] else None

    def by_group(self) -> list[list[Hit]]:
        """The hits of each group, the nearest group first. Without `group_by` a hit is a group."""
        if self.groups is None:
            return [[hit] for hit in self]
        grouped: dict[int, list[Hit]] = {}
        for group, hit in zip(self.groups.tolist(), self, strict=True):
            grouped.setdefault(group, []).append(hit)
        return list(grouped.values())

    def __len__(self) -> int:
        return len(self.distances)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        if isinstance(index, slice):
            hits = list(map(Hit, _as_list(self.ids[index]), self.distances[index].tolist()))
            if self.payload is not None:
                for hit, row in zip(hits, self.payload[index], strict=True):
                    hit.payload = row
            return hits
        record_id = self.ids[index]
        if isinstance(record_id, np.integer):
            record_id = int(record_id)
        hit = Hit(record_id, float(self.distances[index]))
        if self.payload is not None:
            hit.payload = self.payload[index]
        return hit

    def __iter__(self) -> Iterator[Hit]:
        if self.payload is not None:
            return iter(self[:])
        return map(Hit, _as_list(self.ids), self.distances.tolist())

    def __repr__(self) -> str:
        how = "exact" if self.exact else "approximate"
        return f"SearchResult({len(self)} {how} hits at {self.position.applied_lsn}: {self[:3]}…)"


class SearchBatch(Sequence[SearchResult]):
    """The results of several queries, in their order; all are in step with one `position`.

    Attributes:
        distances: `[sum of all n]` float32: the distances of all queries, one after the other.
        groups: `[sum of all n]` uint32, beside `distances`; None without `group_by`.
        position: what the answers are in step with.
        stale: whether the collection follows Postgres no more, and must be loaded again.
    """

    __slots__ = (
        "_block",
        "_explanations",
        "_offsets",
        "_payload",
        "_receipts",
        "distances",
        "groups",
        "position",
        "stale",
    )

    def __init__(
        self,
        block: IDBlock,
        distances: npt.NDArray[np.float32],
        offsets: list[int],
        receipts: list[Receipt],
        position: Position,
        groups: npt.NDArray[np.uint32] | None = None,
        explanations: list[str] | None = None,
        payload: Payload | None = None,
        *,
        stale: bool = False,
    ) -> None:
        self._block = block
        self._receipts = receipts
        self.distances = distances
        self.groups = groups
        self._offsets = offsets
        self._explanations = explanations
        self._payload = payload
        self.position = position
        self.stale = stale

    @property
    def ids(self) -> RecordIDs:
        """The ids of all queries, one after the other, beside `distances`."""
        return self._block.all

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """`[queries + 1]`: query `i` has `distances[offsets[i]:offsets[i + 1]]`. O(queries)."""
        return np.array(self._offsets, np.int64)

    def __len__(self) -> int:
        return len(self._receipts)

    @overload
    def __getitem__(self, index: int) -> SearchResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[SearchResult]: ...
    def __getitem__(self, index: int | slice) -> SearchResult | list[SearchResult]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError("query index out of range")
        start, stop = self._offsets[index], self._offsets[index + 1]
        return SearchResult(
            self._block,
            start,
            self.distances[start:stop],
            self._receipts[index],
            self.position,
            None if self.groups is None else self.groups[start:stop],
            None if self._explanations is None else self._explanations[index],
            None if self._payload is None else self._payload.rows(start, stop),
            stale=self.stale,
        )

    def __repr__(self) -> str:
        return f"SearchBatch({len(self)} queries at {self.position.applied_lsn})"


class Fetched:
    """The answer of a fetch: which ids are there, and their vectors.

    Attributes:
        ids: the ids that were asked for, in order.
        found: `[len(ids)]` bool: whether each is in the collection.
        vectors: `[found.sum(), dimension]` float32, a view on the reply with one row for every id
            found, in order, as the collection's storage keeps it; None when no vectors were asked
            for.
        position: what the answer is in step with.
        stale: whether the collection follows Postgres no more, and must be loaded again.
    """

    __slots__ = ("_rows", "found", "ids", "position", "stale", "vectors")

    def __init__(
        self,
        ids: RecordIDs,
        found: npt.NDArray[np.bool_],
        vectors: npt.NDArray[np.float32] | None,
        position: Position,
        *,
        stale: bool = False,
    ) -> None:
        self.ids = ids
        self.found = found
        self.vectors = vectors
        self.position = position
        self.stale = stale
        self._rows: npt.NDArray[np.int64] | None = None

    def vector(self, index: int) -> npt.NDArray[np.float32] | None:
        """The vector of `ids[index]`; None when the id was not found or no vectors were asked for.

        O(n) the first time, then O(1).
        """
        if self.vectors is None or not self.found[index]:
            return None
        if self._rows is None:
            self._rows = np.cumsum(self.found) - 1
        row: npt.NDArray[np.float32] = self.vectors[self._rows[index]]
        return row

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return (
            f"Fetched({int(self.found.sum())} of {len(self)} found at {self.position.applied_lsn})"
        )


def _as_list(ids: RecordIDs) -> list[Any]:
    """Python values, so that an int64 key comes out as an `int`."""
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
