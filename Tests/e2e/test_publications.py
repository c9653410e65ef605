"""A publication that is not there, or leaves the table out, for a while: what was changed meanwhile was never sent."""

import pathlib
from typing import LiteralString

from engine import Engine
from following import COLUMNS, OPTIONS, Followed, fill, followed_table, until
from psycopg import sql


def slots(followed: Followed) -> int:
    with followed.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", (followed.slot,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def change_between(followed: Followed, leave: LiteralString, enter: LiteralString, n: int) -> None:
    """Changes rows after the one statement and before the other, in which {0} is the publication and {1} the table."""
    name, table = sql.Identifier(followed.slot), sql.Identifier(followed.table)
    with followed.connect() as connection:
        connection.execute(sql.SQL(leave).format(name, table))
        connection.execute(sql.SQL("UPDATE {} SET n = %s WHERE id < 10").format(table), (n,))
        if enter:
            connection.execute(sql.SQL(enter).format(name, table))
        else:
            followed.prepare()


def until_equal(followed: Followed, engine: Engine) -> None:
    followed.wait_until_served(engine)
    until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)


def test_changes_before_there_is_a_publication(database: str, tmp_path: pathlib.Path) -> None:
    """A slot that is older than they are could never tell of them, nor of anything behind them."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, prepares=False) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            until("said", lambda: "nothing comes from Postgres" in engine.log)
            assert "has no publication" in engine.log
            assert slots(followed) == 0
            fill(followed, 300, 10)
            followed.prepare()
            followed.wait_until_in_step(engine)
            followed.check()
            assert followed.statistics(engine)["rows"] == 310


def test_a_publication_that_is_missing_at_one_change(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            change_between(followed, "DROP PUBLICATION {0}", "", n=77)
            until_equal(followed, engine)
            assert "There is no publication" in engine.log
            # It follows again.
            fill(followed, 300, 10)
            followed.wait_until_in_step(engine)
            followed.check()
        # The same while no engine looks.
        change_between(followed, "DROP PUBLICATION {0}", "", n=78)
        with followed.engine() as engine:
            until_equal(followed, engine)
            assert "There is no publication" in engine.log
            fill(followed, 310, 10)
            followed.wait_until_in_step(engine)
            followed.check()


def test_a_table_that_is_out_of_the_publication_for_a_while(database: str, tmp_path: pathlib.Path) -> None:
    """All is as it was whenever somebody looks."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            change_between(
                followed,
                "ALTER PUBLICATION {0} SET (publish = 'insert')",
                "ALTER PUBLICATION {0} SET (publish = 'insert, update, delete, truncate')",
                n=77,
            )
            until_equal(followed, engine)
            assert "the publication, or what it has of the table, was altered" in engine.log
            until("saved", lambda: engine.log.count("snapshot written") >= 2)
        change_between(followed, "ALTER PUBLICATION {0} DROP TABLE {1}", "ALTER PUBLICATION {0} ADD TABLE {1}", n=78)
        with followed.engine() as engine:
            until_equal(followed, engine)
            assert "not what it was when it was loaded" in engine.log


def test_a_column_that_is_made_anew(database: str, tmp_path: pathlib.Path) -> None:
    """Its default fills all rows, none of which is sent, and name and type are what they were."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 300)
        name, table = sql.Identifier(followed.slot), sql.Identifier(followed.table)
        with followed.connect() as connection:
            # One with a list of columns lets none of them go.
            connection.execute(sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(name, table))
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.execute("ALTER TABLE {} DROP COLUMN n, ADD COLUMN n bigint DEFAULT 77")
            until_equal(followed, engine)
            assert "columns of the table were made anew" in engine.log
