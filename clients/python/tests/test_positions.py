"""`position_of`: what it asks of connections of psycopg and asyncpg, which it does not import."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from vizinho import LSN, InvalidRequest, Position, position_of, position_of_async

WRITTEN, INSERTED = LSN(0x16_B374D848), LSN(0x16_B374E900)
PAGE, FILE = 8_192, 16 << 20
SYSTEM, TIMELINE = 7_412_233_445_566_778_899, 3
#: The id of an open transaction, and one past the last that has ended.
XID, XMAX = 5_000_000_123, 5_000_000_200


class PrivilegeError(Exception):
    sqlstate = "42501"


class Database:
    """What a connection of any driver asks."""

    def __init__(self) -> None:
        self.written, self.inserted = WRITTEN, INSERTED
        self.is_off = False
        self.may_ask_for_the_system = True
        self.has_outbox = False
        self.in_transaction = False
        self.asked: list[str] = []

    def answer(self, query: str) -> tuple[Any, ...]:
        self.asked.append(query)
        if "has_function_privilege" in query:
            return (self.may_ask_for_the_system,)
        if "FROM pg_control_system()" in query and not self.may_ask_for_the_system:
            raise PrivilegeError("permission denied for function pg_control_system")
        system = SYSTEM if "FROM pg_control_system()" in query else 0
        file = f"{TIMELINE:08X}{self.written >> 32:08X}{(self.written & 0xFFFFFFFF) // FILE:08X}"
        if "pg_current_xact_id()" in query:
            return str(XID), file, system
        log = (str(self.written), str(self.inserted), self.is_off, PAGE, FILE)
        return (*log, self.has_outbox, str(XMAX), file, system)


class Cursor:
    def __init__(self, connection: Any, row_factory: Callable[[Any], Callable[[Any], Any]]) -> None:
        self.connection = connection
        self.make_row = row_factory(self)
        self.row: Any = None

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, query: str) -> Cursor:
        if not self.connection.autocommit:
            self.connection.database.in_transaction = True
        self.row = self.make_row(self.connection.database.answer(query))
        return self

    def fetchone(self) -> Any:
        return self.row


class AsyncCursor(Cursor):
    async def __aenter__(self) -> AsyncCursor:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def execute(self, query: str) -> AsyncCursor:  # type: ignore[override]
        super().execute(query)
        return self

    async def fetchone(self) -> Any:
        return self.row


class Info:
    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def transaction_status(self) -> int:
        return 2 if self.database.in_transaction else 0


class Connection:
    def __init__(self, database: Database, *, autocommit: bool = False) -> None:
        self.database = database
        self.autocommit = autocommit
        self.info = Info(database)

    def cursor(self, *, row_factory: Any) -> Cursor:
        return Cursor(self, row_factory)

    def rollback(self) -> None:
        self.database.in_transaction = False


class AsyncConnection:
    def __init__(self, database: Database, *, autocommit: bool = False) -> None:
        self.database = database
        self.autocommit = autocommit
        self.info = Info(database)

    def cursor(self, *, row_factory: Any) -> AsyncCursor:
        return AsyncCursor(self, row_factory)

    async def rollback(self) -> None:
        self.database.in_transaction = False


class PoolConnectionProxy:
    def __init__(self, database: Database) -> None:
        self.database = database

    def is_in_transaction(self) -> bool:
        return self.database.in_transaction

    async def fetchrow(self, query: str) -> dict[str, Any]:
        return {f"column {n}": value for n, value in enumerate(self.database.answer(query))}


# The packages are told apart by the modules of their classes; a subclass has one of its own.
Connection.__module__ = AsyncConnection.__module__ = "psycopg"
PoolConnectionProxy.__module__ = "asyncpg.pool"


class MyConnection(Connection):
    pass


class MyAsyncConnection(AsyncConnection):
    pass


Ask = Callable[..., Position]


def asynchronous(made: Callable[[Database], Any]) -> Ask:
    def ask(database: Database, **options: Any) -> Position:
        return asyncio.run(position_of_async(made(database), **options))

    return ask


DRIVERS: dict[str, Ask] = {
    "psycopg": lambda database, **options: position_of(Connection(database), **options),
    "psycopg subclass, autocommit": lambda database, **options: position_of(
        MyConnection(database, autocommit=True), **options
    ),
    "psycopg async": asynchronous(AsyncConnection),
    "psycopg async subclass, autocommit": asynchronous(
        lambda database: MyAsyncConnection(database, autocommit=True)
    ),
    "asyncpg": asynchronous(PoolConnectionProxy),
}


@pytest.fixture(params=list(DRIVERS))
def ask(request: pytest.FixtureRequest) -> Ask:
    return DRIVERS[request.param]


def test_one_select_gives_a_position_of_all_three(ask: Ask) -> None:
    database = Database()
    assert ask(database) == Position(SYSTEM, WRITTEN, TIMELINE)
    assert len(database.asked) == 1
    assert not database.in_transaction, "the SELECT's transaction was left open"


def test_a_role_that_may_not_ask_for_the_system_gets_the_rest(ask: Ask) -> None:
    database = Database()
    database.may_ask_for_the_system = False
    assert ask(database) == Position(0, WRITTEN, TIMELINE)
    assert len(database.asked) == 2
    assert not database.in_transaction, "a transaction was left open"


def test_other_errors_are_the_drivers(ask: Ask) -> None:
    class Standby(Database):
        def answer(self, query: str) -> tuple[Any, ...]:
            self.asked.append(query)
            raise RuntimeError("recovery is in progress")

    database = Standby()
    with pytest.raises(RuntimeError, match="recovery"):
        ask(database)
    assert len(database.asked) == 1
    assert not database.in_transaction, "a transaction was left open"


def test_within_a_transaction_there_is_none(ask: Ask) -> None:
    database = Database()
    database.in_transaction = True
    with pytest.raises(InvalidRequest, match="commit first"):
        ask(database)
    assert not database.asked


@pytest.mark.parametrize(
    ("is_off", "told", "expected"),
    [
        (False, None, WRITTEN),
        (True, None, INSERTED),
        (False, True, INSERTED),
        (True, False, WRITTEN),
    ],
)
def test_what_is_not_written_yet_counts_where_commits_do_not_wait(
    ask: Ask, is_off: bool, told: bool | None, expected: LSN
) -> None:
    database = Database()
    database.is_off = is_off
    assert ask(database, asynchronous=told).applied_lsn == expected


@pytest.mark.parametrize(
    ("inserted", "expected"),
    [
        (5 * FILE + 40, 5 * FILE),
        (5 * FILE + 24, 5 * FILE),
        (5 * FILE + 3 * PAGE + 24, 5 * FILE + 3 * PAGE),
        (5 * FILE + 3 * PAGE + 40, 5 * FILE + 3 * PAGE + 40),
        (5 * FILE + 3 * PAGE + 32, 5 * FILE + 3 * PAGE + 32),
        (5 * FILE + 3 * PAGE, 5 * FILE + 3 * PAGE),
        (5 * FILE, 5 * FILE),
    ],
)
def test_a_position_behind_a_pages_header_is_never_reached(inserted: int, expected: int) -> None:
    database = Database()
    database.is_off = True
    database.inserted = LSN(inserted)
    assert DRIVERS["psycopg"](database).applied_lsn == expected
    # What is written ends with a record.
    database.is_off = False
    database.written = LSN(inserted)
    assert DRIVERS["psycopg"](database).applied_lsn == inserted


def of_transactions(xid: int, system: int = SYSTEM) -> Position:
    return Position(system, LSN(xid), TIMELINE | 1 << 31)


@pytest.mark.parametrize(
    ("has_outbox", "told", "expected"),
    [
        (True, None, of_transactions(XMAX)),
        (True, True, of_transactions(XMAX)),
        (False, True, of_transactions(XMAX)),
        (True, False, Position(SYSTEM, WRITTEN, TIMELINE)),
        (False, False, Position(SYSTEM, WRITTEN, TIMELINE)),
    ],
)
def test_with_an_outbox_it_is_behind_every_transaction_that_has_ended(
    ask: Ask, has_outbox: bool, told: bool | None, expected: Position
) -> None:
    database = Database()
    database.has_outbox = has_outbox
    position = ask(database, outbox=told)
    assert position == expected
    assert position.counts_transactions == (expected.applied_lsn == XMAX)
    assert Position.parse(str(position)) == position
    assert len(database.asked) == 1, "as many questions as without"
    assert not database.in_transaction


def test_what_does_not_wait_for_the_log_has_its_id_all_the_same(ask: Ask) -> None:
    database = Database()
    database.has_outbox = database.is_off = True
    assert ask(database) == of_transactions(XMAX)


@pytest.mark.parametrize("may_ask", [False, True])
def test_with_an_outbox_there_is_one_within_a_transaction(ask: Ask, may_ask: bool) -> None:
    database = Database()
    database.in_transaction = True
    database.may_ask_for_the_system = may_ask
    assert ask(database, outbox=True) == of_transactions(XID + 1, SYSTEM if may_ask else 0)
    assert database.in_transaction, "the caller's transaction was ended"


def test_within_a_transaction_it_must_be_said(ask: Ask) -> None:
    database = Database()
    database.in_transaction = database.has_outbox = True
    for told in (None, False):
        with pytest.raises(InvalidRequest, match="commit first"):
            ask(database, outbox=told)
    assert not database.asked


@pytest.mark.parametrize("status", [1, 3], ids=["active", "failed"])
def test_a_transaction_in_which_nothing_can_be_asked(status: int) -> None:
    class Stuck(Connection):
        def __init__(self, database: Database) -> None:
            super().__init__(database)
            self.info = StuckInfo(database)

    class StuckInfo(Info):
        @property
        def transaction_status(self) -> int:
            return status

    database = Database()
    with pytest.raises(InvalidRequest, match="commit first"):
        position_of(Stuck(database), outbox=True)
    assert not database.asked


@pytest.mark.parametrize("connection", [None, object(), AsyncConnection(Database())], ids=repr)
def test_other_connections_are_refused(connection: Any) -> None:
    with pytest.raises(InvalidRequest, match="position_of takes"):
        position_of(connection)


@pytest.mark.parametrize("connection", [None, object(), Connection(Database())], ids=repr)
def test_other_connections_are_refused_asynchronously(connection: Any) -> None:
    with pytest.raises(InvalidRequest, match="position_of_async takes"):
        asyncio.run(position_of_async(connection))
