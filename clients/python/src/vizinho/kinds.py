"""What the protocol has numbers for, as enumerations. What has them is in `results.py`."""

from __future__ import annotations

from enum import IntEnum


class Metric(IntEnum):
    """How a collection measures distance; the values are pgvector's."""

    COSINE = 1
    INNER_PRODUCT = 2
    L2 = 3


class Storage(IntEnum):
    """How a collection keeps its vectors, and so how exact distances and fetched vectors are."""

    #: As Postgres has them, bit for bit.
    F32 = 1
    #: In half precision.
    F16 = 2
    #: In 8 bits a component.
    INT8 = 3
    #: In 8 bits a component, found by 4-bit codes.
    INT4X8 = 4
    #: In half precision, found by 4-bit codes.
    INT4X16 = 5


class RecordIDKind(IntEnum):
    """The type of a collection's record ids."""

    INT64 = 1
    UUID = 2
    TEXT = 3
    COMPOSITE = 4


class AttributeType(IntEnum):
    """What an attribute's values are."""

    BOOL = 1
    INT64 = 2
    FLOAT64 = 3
    TIMESTAMP = 4
    UUID = 5
    KEYWORD = 6
    INT64_ARRAY = 7
    UUID_ARRAY = 8
    KEYWORD_ARRAY = 9


class Plan(IntEnum):
    """How a search with a filter found its answer."""

    NOTHING_MATCHES = 1
    #: All rows that match were scored as answers are: nothing can be missing.
    EXACT_SCAN = 2
    #: All rows that match were scored by their codes, the nearest of them again as answers are.
    CODE_SCAN = 3
    #: The graph was walked, and rows that do not match were left out.
    WALK = 4
    #: A walk would have cost more than a scan, or found too few, so a scan came after it.
    WALK_THEN_SCAN = 5


class Shortfall(IntEnum):
    """Why fewer results came than were asked for."""

    #: No more rows match.
    FEW_MATCH = 1
    #: The others are farther than `distance_max`.
    THRESHOLD = 2
    #: There are no more groups.
    GROUPS = 3
