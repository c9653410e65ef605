"""Where Postgres is after a commit: a position that a search can be asked not to be older than.

Neither driver is imported: what is asked of a connection is what psycopg 3 and asyncpg have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .errors import InvalidRequest
from .results import LSN, Position

# The name of the file that is written now begins with the timeline; what pg_control_checkpoint()
# says is behind for a moment after a promotion.
_COLUMNS: Final = """\
pg_current_wal_lsn()::text,
pg_current_wal_insert_lsn()::text,
current_setting('synchronous_commit') = 'off',
current_setting('wal_block_size')::bigint,
pg_size_bytes(current_setting('wal_segment_size')),
pg_walfile_name(pg_current_wal_lsn())"""
_SELECT: Final = f"SELECT {_COLUMNS}, system_identifier FROM pg_control_system()"
#: For a role that may not ask which Postgres this is.
_SELECT_WITHOUT_SYSTEM: Final = f"SELECT {_COLUMNS}, 0"

_INSUFFICIENT_PRIVILEGE: Final = "42501"
#: psycopg's pq.TransactionStatus: ACTIVE, INTRANS, INERROR. The others are IDLE and no connection.
_IN_TRANSACTION: Final = (1, 2, 3)

#: What a page of the log begins with, and the first page of a file. After a record that ends with
#: its page, the next is to begin behind these; that is a position which Postgres never sends.
_PAGE_HEADER_BYTES: Final = 24
_FILE_HEADER_BYTES: Final = 40


def position_of(connection: Any, *, asynchronous: bool | None = None) -> Position:
    """The position that lies behind everything which has been committed, for `after=` of a search.

    Ask for it after COMMIT, on the primary; it is one SELECT. A position is for other processes
    too: `str(position)` can travel, and `after=` takes that text.

    Args:
        connection: a `psycopg.Connection` (psycopg 3) without an open transaction.
        asynchronous: whether the commit was made with `synchronous_commit = off`; the session's
            setting unless given. A transaction that set it for itself alone must say so.

    Returns:
        The position. Its `system_id` is 0, so that it is not compared, where the role may not call
        `pg_control_system()`.

    Raises:
        InvalidRequest: the connection is of another kind, or within a transaction.
        Exception: what the driver raises.
    """
    if _driver(connection) != "psycopg" or _is_async(connection):
        raise _wrong_connection(connection, "position_of", "a psycopg.Connection (psycopg 3)")
    _check_idle(connection.info.transaction_status in _IN_TRANSACTION)
    try:
        row = _psycopg_row(connection, _SELECT)
    except Exception as error:
        if not _lacks_privilege(error):
            raise
        row = _psycopg_row(connection, _SELECT_WITHOUT_SYSTEM)
    return _position(row, asynchronous)


async def position_of_async(connection: Any, *, asynchronous: bool | None = None) -> Position:
    """The same of a `psycopg.AsyncConnection`, or of a connection of asyncpg or of its pool."""
    driver = _driver(connection)
    if driver not in ("psycopg", "asyncpg") or (driver == "psycopg" and not _is_async(connection)):
        expected = "a psycopg.AsyncConnection (psycopg 3) or an asyncpg connection"
        raise _wrong_connection(connection, "position_of_async", expected)
    if driver == "asyncpg":
        _check_idle(connection.is_in_transaction())
        ask = _asyncpg_row
    else:
        _check_idle(connection.info.transaction_status in _IN_TRANSACTION)
        ask = _psycopg_row_async
    try:
        row = await ask(connection, _SELECT)
    except Exception as error:
        if not _lacks_privilege(error):
            raise
        row = await ask(connection, _SELECT_WITHOUT_SYSTEM)
    return _position(row, asynchronous)


# Drivers -----------------------------------------------------------------------------------------


def _driver(connection: Any) -> str:
    """The package that a connection's class is of, or one that it derives from."""
    for cls in type(connection).__mro__:
        package = str(cls.__module__).partition(".")[0]
        if package in ("psycopg", "asyncpg"):
            return package
    return ""


def _is_async(connection: Any) -> bool:
    return any(cls.__name__ == "AsyncConnection" for cls in type(connection).__mro__)


def _wrong_connection(connection: Any, function: str, expected: str) -> InvalidRequest:
    return InvalidRequest(
        f"{function} takes {expected}, not a {type(connection).__module__}."
        f"{type(connection).__qualname__}: asynchronous connections are for position_of_async, and "
        "of a library above the drivers the driver's own connection is wanted"
    )


def _check_idle(is_busy: bool) -> None:
    if is_busy:
        raise InvalidRequest(
            "the connection is within a transaction: commit first, since what is not committed is "
            "in no index and before no position"
        )


def _lacks_privilege(error: Exception) -> bool:
    return getattr(error, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE


def _tuples(_: Any) -> Any:
    """A row factory, whatever the connection's own is."""
    return tuple


def _psycopg_row(connection: Any, query: str) -> Sequence[Any]:
    try:
        with connection.cursor(row_factory=_tuples) as cursor:
            row: Sequence[Any] = cursor.execute(query).fetchone()
            return row
    finally:
        # Outside autocommit the SELECT has begun a transaction, which nobody would end.
        if not connection.autocommit:
            connection.rollback()


async def _psycopg_row_async(connection: Any, query: str) -> Sequence[Any]:
    try:
        async with connection.cursor(row_factory=_tuples) as cursor:
            await cursor.execute(query)
            row: Sequence[Any] = await cursor.fetchone()
            return row
    finally:
        if not connection.autocommit:
            await connection.rollback()


async def _asyncpg_row(connection: Any, query: str) -> Sequence[Any]:
    record = await connection.fetchrow(query)
    return tuple(record.values())


# Arithmetic --------------------------------------------------------------------------------------


def _position(row: Sequence[Any], asynchronous: bool | None) -> Position:
    written, inserted, is_off, page_bytes, file_bytes, file_name, system_id = row
    if asynchronous is None:
        asynchronous = is_off
    if asynchronous:
        # Such a commit is in the log, but perhaps not written yet.
        lsn = _reachable(LSN.parse(inserted), page_bytes, file_bytes)
    else:
        lsn = LSN.parse(written)
    return Position(system_id % 2**64, lsn, int(file_name[:8], 16))


def _reachable(inserted: LSN, page_bytes: int, file_bytes: int) -> LSN:
    """Where the last record ends, if the next one is to begin after a page's header."""
    if inserted % file_bytes == _FILE_HEADER_BYTES:
        return LSN(inserted - _FILE_HEADER_BYTES)
    if inserted % page_bytes == _PAGE_HEADER_BYTES:
        return LSN(inserted - _PAGE_HEADER_BYTES)
    return inserted
