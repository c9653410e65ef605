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
from .results import (
    LSN,
    Collection,
    Fetched,
    Hit,
    Metric,
    Position,
    RecordID,
    RecordIDKind,
    SearchBatch,
    SearchResult,
    ServerInfo,
    Storage,
)

__all__ = [
    "LSN",
    "AsyncClient",
    "Client",
    "ClientClosed",
    "Collection",
    "ConnectionFailed",
    "ConnectionRefused",
    "DeadlineExceeded",
    "ErrorCode",
    "Fetched",
    "Hit",
    "InvalidRequest",
    "Metric",
    "Overloaded",
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
    "Storage",
    "UnknownCollection",
    "UnknownRecord",
    "VizinhoError",
]
