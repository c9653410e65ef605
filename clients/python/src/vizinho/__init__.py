"""Client of Vizinho, the vector search engine that stands beside Postgres.

`AsyncClient` is for asyncio, `Client` blocks; both have the same methods and results, and both are
meant to be shared: one instance for all tasks of a loop, or for all threads.
"""

from ._async import AsyncClient
from ._sync import Client
from .errors import (
    ClientClosed,
    ConnectionFailed,
    ConnectionRefused,
    DeadlineExceeded,
    ErrorCode,
    InvalidRequest,
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
from .results import (
    LSN,
    AttributeInfo,
    AttributeType,
    Collection,
    Fetched,
    Hit,
    Metric,
    Plan,
    Position,
    RecordID,
    RecordIDKind,
    SearchBatch,
    SearchResult,
    ServerInfo,
    Shortfall,
    Storage,
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
    "ErrorCode",
    "Fetched",
    "Filter",
    "Hit",
    "InvalidRequest",
    "Metric",
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
]
