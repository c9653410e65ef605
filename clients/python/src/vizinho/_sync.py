"""`Client`: what a program with threads, or without, calls. How is in `_sync_link.py`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from . import _requests
from ._freshness import Freshness
from ._modifiers import Filters, Modifiers
from ._options import Options
from ._sync_link import Link
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


class Client:
    """A blocking client. One instance serves any number of threads.

    The arguments, the methods and their results are those of `AsyncClient`.

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

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; calls under way raise `ClientClosed`. May be called twice."""
        self._link.close()

    def connect(self, *, timeout: float | None = None) -> ServerInfo:
        """Connects now rather than at the first request; returns the server's name and limits."""
        return self._link.connect(timeout)

    # Requests ------------------------------------------------------------------------------------

    @overload
    def search(
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
    def search(
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
    def search(
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
    def search(
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
        """Finds the `k` nearest rows of each query; see `AsyncClient.search`."""
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
        return self._link.call(request, timeout)

    @overload
    def search_by_id(  # type: ignore[overload-overlap]  # a str or tuple is one id, not many
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
    def search_by_id(
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
    def search_by_id(
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
        """Finds the neighbours of rows of the collection; see `AsyncClient.search_by_id`."""
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
        return self._link.call(request, timeout)

    def search_like(
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
        """Finds rows near what some rows have in common; see `AsyncClient.search_like`."""
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
        return self._link.call(request, timeout)

    def fetch(
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
        """Asks which ids are in the collection, and for their vectors."""
        return self._link.call(
            _requests.fetch(collection, ids, vectors, Freshness(after, wait, strong)), timeout
        )

    def collections(self, *, timeout: float | None = None) -> list[Collection]:
        """Lists the collections of the server."""
        return self._link.call(_requests.collections(), timeout)

    def statistics(
        self, collection: str, *, timeout: float | None = None
    ) -> dict[str, int | float | str]:
        """What the server counts about a collection; the names are in its documentation."""
        return self._link.call(_requests.statistics(collection), timeout)

    def describe(self, collection: str, *, timeout: float | None = None) -> Description:
        """The attributes that filters and `group_by` can name, and the columns of payload."""
        return self._link.call(_requests.describe(collection), timeout)

    def ping(self, *, timeout: float | None = None) -> float:
        """Goes to the server and back; returns the seconds that it took."""
        started = time.perf_counter()
        self._link.call(_requests.ping(), timeout)
        return time.perf_counter() - started
