"""Where Postgres is after a commit: a position that a search can be asked not to be older than.

Neither driver is imported: what is asked of a connection is what psycopg 3 and asyncpg have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .errors import InvalidRequest
from .position import LSN, TRANSACTIONS_FLAG, Position

# The name of the file that is written now begins with the timeline; what pg_control_checkpoint()
# says is behind for a moment after a promotion.
_TIMELINE: Final = "pg_walfile_name(pg_current_wal_lsn())"
# Whether a table has the outbox's triggers: asked of catalogs that every role may read.
_HAS_OUTBOX: Final = """\
EXISTS (SELECT FROM pg_catalog.pg_namespace n
          JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.proname = 'note_changes'
          JOIN pg_catalog.pg_depend d
            ON d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid = p.oid
           AND d.classid = 'pg_catalog.pg_trigger'::regclass
         WHERE n.nspname = 'vizinho')"""
_COLUMNS: Final = f"""\
pg_current_wal_lsn()::text,
pg_current_wal_insert_lsn()::text,
current_setting('synchronous_commit') = 'off',
current_setting('wal_block_size')::bigint,
pg_size_bytes(current_setting('wal_segment_size')),
{_HAS_OUTBOX},
pg_snapshot_xmax(pg_current_snapshot())::text,
{_TIMELINE}"""
_WITHIN_COLUMNS: Final = f"pg_current_xact_id()::text, {_TIMELINE}"
#: For a role that may not ask which Postgres this is, the number is 0.
_WITH_SYSTEM: Final = ", system_identifier FROM pg_control_system()"
_WITHOUT_SYSTEM: Final = ", 0"
_SELECT: Final = f"SELECT {_COLUMNS}{_WITH_SYSTEM}"
_SELECT_WITHOUT_SYSTEM: Final = f"SELECT {_COLUMNS}{_WITHOUT_SYSTEM}"
#: A refusal within a transaction would end it, so there it is asked first.
_MAY_ASK: Final = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"

_INSUFFICIENT_PRIVILEGE: Final = "42501"
#: psycopg's pq.TransactionStatus: of one that goes on, and of those that nothing can be asked in.
_IN_TRANSACTION: Final = 2
_BUSY: Final = (1, 3)

#: What a page of the log begins with, and the first page of a file. After a record that ends with
#: its page, the next is to begin behind these; that is a position which Postgres never sends.
_PAGE_HEADER_BYTES: Final = 24
_FILE_HEADER_BYTES: Final = 40


def position_of(
    connection: Any, *, asynchronous: bool | None = None, outbox: bool | None = None
) -> Position:
    """The position that lies behind everything which has been committed, for `after=` of a search.

    Ask for it after COMMIT, on the primary; it is one SELECT. A position is for other processes
    too: `str(position)` can travel, and `after=` takes that text.

    It is the same call whichever way the collection follows its table, by a slot or by an outbox:
    a database in which a table has the outbox's triggers is taken to be followed by it. Only where
    one is followed in both ways, or has triggers that are used no more, must `outbox` say which is
    meant. (A position of the wrong kind is refused with `POSITION_FOREIGN`, never taken for
    reached.)

    Args:
        connection: a `psycopg.Connection` (psycopg 3) without an open transaction.
        asynchronous: whether the commit was made with `synchronous_commit = off`; the session's
            setting unless given. A transaction that set it for itself alone must say so. With an
            outbox it makes no difference.
        outbox: whether the collection is followed by an outbox, and the position the id of a
            transaction. If True, the connection may also be within a transaction: then it is the
            position behind that one alone, which is reached a little sooner, as it need not wait
            for what others had open when it was asked for. It holds once the transaction commits.

    Returns:
        The position. Its `system_id` is 0, so that it is not compared, where the role may not call
        `pg_control_system()`.

    Raises:
        InvalidRequest: the connection is of another kind, or within a transaction.
        Exception: what the driver raises.
    """
    if _driver(connection) != "psycopg" or _is_async(connection):
        raise _wrong_connection(connection, "position_of", "a psycopg.Connection (psycopg 3)")
    if _is_within(connection.info.transaction_status, outbox):
        # What is begun is the caller's to end.
        may_ask = _psycopg_row(connection, _MAY_ASK, ends=False)[0]
        return _own(_psycopg_row(connection, _within(may_ask), ends=False))
    try:
        row = _psycopg_row(connection, _SELECT)
    except Exception as error:
        if not _lacks_privilege(error):
            raise
        row = _psycopg_row(connection, _SELECT_WITHOUT_SYSTEM)
    return _position(row, asynchronous, outbox)


async def position_of_async(
    connection: Any, *, asynchronous: bool | None = None, outbox: bool | None = None
) -> Position:
    """The same of a `psycopg.AsyncConnection`, or of a connection of asyncpg or of its pool."""
    driver = _driver(connection)
    if driver not in ("psycopg", "asyncpg") or (driver == "psycopg" and not _is_async(connection)):
        expected = "a psycopg.AsyncConnection (psycopg 3) or an asyncpg connection"
        raise _wrong_connection(connection, "position_of_async", expected)
    if driver == "asyncpg":
        status = _IN_TRANSACTION if connection.is_in_transaction() else 0
        ask = _asyncpg_row
    else:
        status = connection.info.transaction_status
        ask = _psycopg_row_async
    if _is_within(status, outbox):
        may_ask = (await ask(connection, _MAY_ASK, ends=False))[0]
        return _own(await ask(connection, _within(may_ask), ends=False))
    try:
        row = await ask(connection, _SELECT)
    except Exception as error:
        if not _lacks_privilege(error):
            raise
        row = await ask(connection, _SELECT_WITHOUT_SYSTEM)
    return _position(row, asynchronous, outbox)


def _within(may_ask: bool) -> str:
    return f"SELECT {_WITHIN_COLUMNS}{_WITH_SYSTEM if may_ask else _WITHOUT_SYSTEM}"


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


def _is_within(status: int, outbox: bool | None) -> bool:
    """Whether the position is that of a transaction which is open."""
    if status == _IN_TRANSACTION and outbox:
        return True
    if status == _IN_TRANSACTION or status in _BUSY:
        raise InvalidRequest(
            "the connection is within a transaction: commit first, since what is not committed is "
            "in no index and before no position. (With an outbox, outbox=True gives the position "
            "that will be behind an open transaction)"
        )
    return False


def _lacks_privilege(error: Exception) -> bool:
    return getattr(error, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE


def _tuples(_: Any) -> Any:
    """A row factory, whatever the connection's own is."""
    return tuple


def _psycopg_row(connection: Any, query: str, *, ends: bool = True) -> Sequence[Any]:
    """`ends`: whether a transaction that the query begins is ended."""
    try:
        with connection.cursor(row_factory=_tuples) as cursor:
            row: Sequence[Any] = cursor.execute(query).fetchone()
            return row
    finally:
        # Outside autocommit the SELECT has begun a transaction, which nobody would end.
        if ends and not connection.autocommit:
            connection.rollback()


async def _psycopg_row_async(connection: Any, query: str, *, ends: bool = True) -> Sequence[Any]:
    try:
        async with connection.cursor(row_factory=_tuples) as cursor:
            await cursor.execute(query)
            row: Sequence[Any] = await cursor.fetchone()
            return row
    finally:
        if ends and not connection.autocommit:
            await connection.rollback()


async def _asyncpg_row(connection: Any, query: str, *, ends: bool = True) -> Sequence[Any]:
    del ends  # outside of a transaction, asyncpg's queries leave none open
    record = await connection.fetchrow(query)
    return tuple(record.values())


# Arithmetic --------------------------------------------------------------------------------------


def _position(row: Sequence[Any], asynchronous: bool | None, outbox: bool | None) -> Position:
    (written, inserted, is_off, page_bytes, file_bytes, has_outbox, xmax, file_name, system_id) = (
        row
    )
    if outbox is None:
        outbox = has_outbox
    if outbox:
        # Behind every transaction that has ended, our own among them.
        return _of_transactions(int(xmax), file_name, system_id)
    if asynchronous is None:
        asynchronous = is_off
    if asynchronous:
        # Such a commit is in the log, but perhaps not written yet.
        lsn = _reachable(LSN.parse(inserted), page_bytes, file_bytes)
    else:
        lsn = LSN.parse(written)
    return Position(system_id % 2**64, lsn, _timeline(file_name))


def _own(row: Sequence[Any]) -> Position:
    xid, file_name, system_id = row
    # Everything below a position is applied: it lies behind the transaction.
    return _of_transactions(int(xid) + 1, file_name, system_id)


def _of_transactions(xid: int, file_name: str, system_id: int) -> Position:
    return Position(system_id % 2**64, LSN(xid), _timeline(file_name) | TRANSACTIONS_FLAG)


def _timeline(file_name: str) -> int:
    return int(file_name[:8], 16)


def _reachable(inserted: LSN, page_bytes: int, file_bytes: int) -> LSN:
    """Where the last record ends, if the next one is to begin after a page's header."""
    if inserted % file_bytes == _FILE_HEADER_BYTES:
        return LSN(inserted - _FILE_HEADER_BYTES)
    if inserted % page_bytes == _PAGE_HEADER_BYTES:
        return LSN(inserted - _PAGE_HEADER_BYTES)
    return inserted
