"""Client of Vizinho, the vector search engine that stands beside Postgres.

`AsyncClient` is for asyncio, `Client` blocks; both have the same methods and results, and both are
meant to be shared: one instance for all tasks of a loop, or for all threads.
"""

from ._async import AsyncClient
from ._positions import position_of, position_of_async
from ._sync import Client
from .errors import (
    ClientClosed,
    ConnectionFailed,
    ConnectionRefused,
    DeadlineExceeded,
    ErrorCode,
    InvalidRequest,
    NotFresh,
    Overloaded,
    ProtocolError,
    RequestCancelled,
    RequestRejected,
    RequestTimeout,
    ServerError,
    UnknownCollection,
    UnknownRecord,
    VizinhoError,
)
from .filters import Attribute, Filter, attribute
from .kinds import AttributeType, Metric, Plan, RecordIDKind, Shortfall, Storage
from .position import LSN, Position
from .results import (
    AttributeInfo,
    Collection,
    Description,
    Fetched,
    Hit,
    RecordID,
    SearchBatch,
    SearchResult,
    ServerInfo,
)

__all__ = [
    "LSN",
    "AsyncClient",
    "Attribute",
    "AttributeInfo",
    "AttributeType",
    "Client",
    "ClientClosed",
    "Collection",
    "ConnectionFailed",
    "ConnectionRefused",
    "DeadlineExceeded",
    "Description",
    "ErrorCode",
    "Fetched",
    "Filter",
    "Hit",
    "InvalidRequest",
    "Metric",
    "NotFresh",
    "Overloaded",
    "Plan",
    "Position",
    "ProtocolError",
    "RecordID",
    "RecordIDKind",
    "RequestCancelled",
    "RequestRejected",
    "RequestTimeout",
    "SearchBatch",
    "SearchResult",
    "ServerError",
    "ServerInfo",
    "Shortfall",
    "Storage",
    "UnknownCollection",
    "UnknownRecord",
    "VizinhoError",
    "attribute",
    "position_of",
    "position_of_async",
]
