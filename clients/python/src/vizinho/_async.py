"""`AsyncClient`: what a service on asyncio calls. How it is done is in `_async_link.py`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from . import _requests
from ._async_link import Link
from ._freshness import Freshness
from ._modifiers import Filters, Modifiers
from ._options import Options
from .errors import ConnectionFailed
from .position import Position
from .results import (
    Collection,
    Description,
    Fetched,
    RecordID,
    SearchBatch,
    SearchResult,
    ServerInfo,
)


class AsyncClient:
    """A client for asyncio. One instance serves any number of tasks of one event loop.

    Requests of all tasks travel over one connection without waiting for each other. It is opened at
    the first request and opened again when it is lost; what had no answer by then is asked again,
    which is safe because the protocol has no writes.

    Args:
        address: `"host:port"`, or `"[ipv6]:port"`.
        timeout: seconds that a request may take, everything included; the server learns of it and
            stops working on what nobody waits for. None: no limit but the server's.
        connect_timeout: seconds for one attempt to connect.
        retries: how often a request is tried again after a failed or lost connection.
        reply_bytes_max: the longest reply that is accepted, whatever the server announces.
        name: who this is, for the server's log.

    Raises (all methods):
        VizinhoError: see `vizinho.errors`.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = 30.0,
        connect_timeout: float = 5.0,
        retries: int = 3,
        reply_bytes_max: int = 64 << 20,
        name: str = "vizinho-python",
    ) -> None:
        self._link = Link(
            Options(address, timeout, connect_timeout, retries, reply_bytes_max, name)
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls under way raise `ClientClosed`. May be called twice."""
        await self._link.close()

    async def connect(self, *, timeout: float | None = None) -> ServerInfo:
        """Connects now rather than at the first request; returns the server's name and limits."""
        await self.ping(timeout=timeout)
        if self._link.server is None:
            raise ConnectionFailed("the connection was lost as soon as it was made")
        return self._link.server

    # Requests ------------------------------------------------------------------------------------

    @overload
    async def search(
        self,
        collection: str,
        vectors: Sequence[float],
        k: int = ...,
        *,
        recall: float | None = ...,
        ef: int | None = ...,
        exact: bool = ...,
        filter: Filters | None = ...,
        distance_max: float | None = ...,
        offset: int = ...,
        group_by: str | None = ...,
        per_group: int | None = ...,
        mmr: float | None = ...,
        mmr_candidates: int | None = ...,
        explain: bool = ...,
        payload: bool | Sequence[str] = ...,
        after: Position | str | None = ...,
        wait: float | None = ...,
        strong: bool = ...,
        timeout: float | None = ...,
    ) -> SearchResult: ...
    @overload
    async def search(
        self,
        collection: str,
        vectors: Sequence[Sequence[float]] | Sequence[npt.NDArray[Any]],
        k: int = ...,
        *,
        recall: float | None = ...,
        ef: int | None = ...,
        exact: bool = ...,
        filter: Filters | None = ...,
        distance_max: float | None = ...,
        offset: int = ...,
        group_by: str | None = ...,
        per_group: int | None = ...,
        mmr: float | None = ...,
        mmr_candidates: int | None = ...,
        explain: bool = ...,
        payload: bool | Sequence[str] = ...,
        after: Position | str | None = ...,
        wait: float | None = ...,
        strong: bool = ...,
        timeout: float | None = ...,
    ) -> SearchBatch: ...
    @overload
    async def search(
        self,
        collection: str,
        vectors: npt.ArrayLike,
        k: int = ...,
        *,
        recall: float | None = ...,
        ef: int | None = ...,
        exact: bool = ...,
        filter: Filters | None = ...,
        distance_max: float | None = ...,
        offset: int = ...,
        group_by: str | None = ...,
        per_group: int | None = ...,
        mmr: float | None = ...,
        mmr_candidates: int | None = ...,
        explain: bool = ...,
        payload: bool | Sequence[str] = ...,
        after: Position | str | None = ...,
        wait: float | None = ...,
        strong: bool = ...,
        timeout: float | None = ...,
    ) -> Any: ...
    async def search(
        self,
        collection: str,
        vectors: npt.ArrayLike,
        k: int = 10,
        *,
        recall: float | None = None,
        ef: int | None = None,
        exact: bool = False,
        filter: Filters | None = None,
        distance_max: float | None = None,
        offset: int = 0,
        group_by: str | None = None,
        per_group: int | None = None,
        mmr: float | None = None,
        mmr_candidates: int | None = None,
        explain: bool = False,
        payload: bool | Sequence[str] = False,
        after: Position | str | None = None,
        wait: float | None = None,
        strong: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Finds the `k` nearest rows of each query.

        Args:
            collection: the collection's name.
            vectors: `[dimension]` or `[queries, dimension]`. A C-contiguous float32 or float16
                array is sent as it is, anything else is converted to float32.
            k: results a query. More than there are rows is no error: all rows come back.
            recall: the share of the `k` nearest that is to be found, on average over queries, from
                0.8 to 0.999; more takes longer. It stands alone: with `ef` or `exact` it is
                refused. Neither `recall` nor `ef`: the collection's default.
            ef: the size of the candidate list, for those who would rather give the effort than the
                recall; larger finds more and takes longer.
            exact: compare every row, or with a filter every row that matches.
            filter: which rows may be found: text in the filter language, or a tree as
                `vizinho.attribute("tenant") == 7` makes it; for several queries also a list with
                one for each, None where all rows are meant.
            distance_max: leave out what is farther.
            offset: skip so many of the nearest.
            group_by: an attribute; `k` is then the number of groups of rows, which have one value
                of it each.
            per_group: the most rows of a group, 1 to 100; 1 unless given.
            mmr: results that are unlike each other, by maximal marginal relevance: from 0, variety
                alone, to 1, nearness alone.
            mmr_candidates: how many of the nearest `mmr` chooses from; the server's default unless
                given.
            explain: also say how each answer was found: `SearchResult.explanation`.
            payload: columns whose text, kept beside the vectors, each hit is to bring back, or True
                for all there are: `Hit.payload`.
            after: the answer must not be older than this position, or than its text: that of one's
                own write (`vizinho.position_of`), or the `position` of an earlier answer. What the
                position does not name, a system or a timeline, is not compared.
            wait: seconds, up to 60, that the server may wait to be as new as that, within
                `timeout`; 1 unless given.
            strong: the answer must not be older than Postgres is now; the server asks it.
            timeout: seconds, instead of the client's.

        Returns:
            A `SearchResult` for one query, a `SearchBatch` for a 2-D array, however few its rows.

        Raises:
            NotFresh: the collection was not as new as `after` or `strong` asked for in time.
        """
        modifiers = Modifiers(
            filter,
            distance_max,
            offset,
            group_by,
            per_group,
            mmr,
            mmr_candidates,
            explain,
            payload,
            Freshness(after, wait, strong),
        )
        request = _requests.search(collection, vectors, k, recall, ef, exact, modifiers)
        return await self._link.call(request, timeout)

    @overload
    async def search_by_id(  # type: ignore[overload-overlap]  # a str or tuple is one id, not many
        self,
        collection: str,
        ids: RecordID,
        k: int = ...,
        *,
        recall: float | None = ...,
        ef: int | None = ...,
        exact: bool = ...,
        include_self: bool = ...,
        filter: Filters | None = ...,
        distance_max: float | None = ...,
        offset: int = ...,
        group_by: str | None = ...,
        per_group: int | None = ...,
        mmr: float | None = ...,
        mmr_candidates: int | None = ...,
        explain: bool = ...,
        payload: bool | Sequence[str] = ...,
        after: Position | str | None = ...,
        wait: float | None = ...,
        strong: bool = ...,
        timeout: float | None = ...,
    ) -> SearchResult: ...
    @overload
    async def search_by_id(
        self,
        collection: str,
        ids: Iterable[RecordID] | npt.NDArray[np.integer[Any]],
        k: int = ...,
        *,
        recall: float | None = ...,
        ef: int | None = ...,
        exact: bool = ...,
        include_self: bool = ...,
        filter: Filters | None = ...,
        distance_max: float | None = ...,
        offset: int = ...,
        group_by: str | None = ...,
        per_group: int | None = ...,
        mmr: float | None = ...,
        mmr_candidates: int | None = ...,
        explain: bool = ...,
        payload: bool | Sequence[str] = ...,
        after: Position | str | None = ...,
        wait: float | None = ...,
        strong: bool = ...,
        timeout: float | None = ...,
    ) -> SearchBatch: ...
    async def search_by_id(
        self,
        collection: str,
        ids: _requests.IDs,
        k: int = 10,
        *,
        recall: float | None = None,
        ef: int | None = None,
        exact: bool = False,
        include_self: bool = False,
        filter: Filters | None = None,
        distance_max: float | None = None,
        offset: int = 0,
        group_by: str | None = None,
        per_group: int | None = None,
        mmr: float | None = None,
        mmr_candidates: int | None = None,
        explain: bool = False,
        payload: bool | Sequence[str] = False,
        after: Position | str | None = None,
        wait: float | None = None,
        strong: bool = False,
        timeout: float | None = None,
    ) -> SearchResult | SearchBatch:
        """Finds the neighbours of rows that are in the collection.

        An id that is not there fails the whole request with `UnknownRecord`. `include_self` lets a
        row be among its own results. A tuple is one composite id; several ids come as a list or as
        an integer array. Otherwise as `search`.
        """
        modifiers = Modifiers(
            filter,
            distance_max,
            offset,
            group_by,
            per_group,
            mmr,
            mmr_candidates,
            explain,
            payload,
            Freshness(after, wait, strong),
        )
        request = _requests.search_by_id(
            collection, ids, k, recall, ef, exact, include_self, modifiers
        )
        return await self._link.call(request, timeout)

    async def search_like(
        self,
        collection: str,
        positive: _requests.IDs,
        negative: _requests.IDs = (),
        k: int = 10,
        *,
        recall: float | None = None,
        ef: int | None = None,
        exact: bool = False,
        include_self: bool = False,
        filter: Filters | None = None,
        distance_max: float | None = None,
        offset: int = 0,
        group_by: str | None = None,
        per_group: int | None = None,
        mmr: float | None = None,
        mmr_candidates: int | None = None,
        explain: bool = False,
        payload: bool | Sequence[str] = False,
        after: Position | str | None = None,
        wait: float | None = None,
        strong: bool = False,
        timeout: float | None = None,
    ) -> SearchResult:
        """Finds rows near what some rows have in common, and away from what others have.

        Each of `positive` and `negative` is one id or several, as in `search_by_id`; at least one
        is positive. The rows that are named are left out unless `include_self` is set. An id that
        is not there fails the request with `UnknownRecord`. Otherwise as `search`.
        """
        modifiers = Modifiers(
            filter,
            distance_max,
            offset,
            group_by,
            per_group,
            mmr,
            mmr_candidates,
            explain,
            payload,
            Freshness(after, wait, strong),
        )
        request = _requests.search_like(
            collection, positive, negative, k, recall, ef, exact, include_self, modifiers
        )
        return await self._link.call(request, timeout)

    async def fetch(
        self,
        collection: str,
        ids: _requests.IDs,
        *,
        vectors: bool = True,
        after: Position | str | None = None,
        wait: float | None = None,
        strong: bool = False,
        timeout: float | None = None,
    ) -> Fetched:
        """Asks which ids are in the collection, and for their vectors.

        `after`, `wait` and `strong` are those of `search`.
        """
        return await self._link.call(
            _requests.fetch(collection, ids, vectors, Freshness(after, wait, strong)), timeout
        )

    async def collections(self, *, timeout: float | None = None) -> list[Collection]:
        """Lists the collections of the server."""
        return await self._link.call(_requests.collections(), timeout)

    async def statistics(
        self, collection: str, *, timeout: float | None = None
    ) -> dict[str, int | float | str]:
        """What the server counts about a collection; the names are in its documentation."""
        return await self._link.call(_requests.statistics(collection), timeout)

    async def describe(self, collection: str, *, timeout: float | None = None) -> Description:
        """The attributes that filters and `group_by` can name, and the columns of payload."""
        return await self._link.call(_requests.describe(collection), timeout)

    async def ping(self, *, timeout: float | None = None) -> float:
        """Goes to the server and back; returns the seconds that it took."""
        started = time.perf_counter()
        await self._link.call(_requests.ping(), timeout)
        return time.perf_counter() - started
