"""Following a table: every kind of change is searchable, and the engine proves that it has what the table has."""

import dataclasses
import pathlib
import signal
import tempfile
from typing import LiteralString

import numpy as np
import psycopg
import pytest
from engine import vizinho
from following import Followed, clean_up, followed_table, lsn_number, unique_name, until, vectors
from pgvector import Vector
from proxy import Proxy
from psycopg import sql

DIMENSION = 32
COLUMNS: LiteralString = (
    "id bigint PRIMARY KEY, tenant bigint, lang text, tags text[], info jsonb, body text, embedding vector(32)"
)
OPTIONS = ("--attributes", "tenant,lang,tags,level=info->level:int8,flag=info->flag:bool", "--payload", "body,lang")


def fill(followed: Followed, first: int, count: int, seed: int = 1) -> None:
    made = vectors(count, DIMENSION, seed)
    with followed.connect(autocommit=False) as connection, connection.cursor() as cursor:
        statement = sql.SQL("COPY {} (id, tenant, lang, tags, info, body, embedding) FROM STDIN").format(
            sql.Identifier(followed.table)
        )
        with cursor.copy(statement) as copy:
            for i in range(count):
                number = first + i
                embedding = None if number % 40 == 7 else "[" + ",".join(str(x) for x in made[i]) + "]"
                copy.write_row(
                    (
                        number,
                        number % 5,
                        None if number % 11 == 0 else ["pt", "en", "de"][number % 3],
                        "{a,b}" if number % 2 else "{c,NULL}",
                        f'{{"level": {number % 7}, "flag": {"true" if number % 2 else "false"}}}',
                        f"text {number} — é",
                        embedding,
                    )
                )


def test_an_empty_directory_is_all_it_takes(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 2_000)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            # Inserts, updates of each kind of column, deletes, in one transaction and in many.
            fill(followed, 2_000, 500, seed=2)
            followed.execute("UPDATE {} SET tenant = 99, lang = NULL WHERE id %% 10 = 3")
            followed.execute("UPDATE {} SET info = '{{\"level\": 6}}', body = 'other' WHERE id BETWEEN 100 AND 120")
            followed.execute("UPDATE {} SET embedding = NULL WHERE id = 50")
            followed.execute("UPDATE {} SET embedding = array_fill(0, ARRAY[32])::vector WHERE id = 51")
            followed.execute("UPDATE {} SET embedding = %s WHERE id = 47", Vector(np.ones(DIMENSION)))
            followed.execute("DELETE FROM {} WHERE id BETWEEN 200 AND 299")
            followed.execute("UPDATE {} SET id = id + 100000 WHERE id BETWEEN 300 AND 320")
            followed.wait_until_in_step(engine)
            followed.check()
            with engine.client() as client:
                hits = client.search("docs", np.ones(DIMENSION, np.float32), k=1, exact=True, payload=True)
                assert hits[0].id == 47
                assert hits[0].payload == {"body": "text 47 — é", "lang": "de"}
                many = client.search("docs", np.ones(DIMENSION, np.float32), k=1000, exact=True, filter="tenant = 99")
                with followed.connect() as connection:
                    rows = connection.execute(
                        sql.SQL("SELECT id FROM {} WHERE tenant = 99 AND embedding IS NOT NULL").format(
                            sql.Identifier(followed.table)
                        )
                    ).fetchall()
                assert sorted(many.ids) == sorted(row[0] for row in rows)
            # All of it gone and some of it there again, in one transaction.
            with followed.connect(autocommit=False) as connection:
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(followed.table)))
                connection.execute(
                    sql.SQL("INSERT INTO {} (id, embedding) VALUES (1, %s), (2, %s)").format(
                        sql.Identifier(followed.table)
                    ),
                    (Vector(np.ones(DIMENSION)), Vector(-np.ones(DIMENSION))),
                )
            followed.wait_until_in_step(engine)
            followed.check()
            with engine.client() as client:
                assert sorted(client.search("docs", np.ones(DIMENSION, np.float32), k=10, exact=True).ids) == [1, 2]


def test_a_restart_goes_on_where_it_was(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 1_200)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            fill(followed, 1_200, 100)
            followed.wait_until_in_step(engine)
            assert engine.end(by=signal.SIGTERM) == 0
        fill(followed, 1_300, 100)
        followed.execute("DELETE FROM {} WHERE id < 50")
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            assert "read and proved equal" not in engine.log, "nothing is loaded again"


def test_a_killed_engine_loses_nothing_and_brings_nothing_back(
    database: str, tmp_path: pathlib.Path, outbox: bool
) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 1_200)
        first = 1_200
        for round_number in range(4):
            with followed.engine() as engine:
                followed.wait_until_in_step(engine)
                followed.check()
                fill(followed, first, 50, seed=round_number)
                followed.execute("DELETE FROM {} WHERE id %% 17 = %s", round_number)
                first += 50
                if round_number % 2:
                    followed.wait_until_in_step(engine)
                # Leaving the block kills it.
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()


@pytest.mark.parametrize("dimension", [128, 384, 496, 768, 1536])
@pytest.mark.parametrize("text", [0, 900, 3000])
def test_values_that_are_not_sent(
    database: str, tmp_path: pathlib.Path, dimension: int, text: int, outbox: bool
) -> None:
    """Long values lie outside of their rows, and a change of another column leaves them out of what is sent."""
    columns = f"id bigint PRIMARY KEY, n bigint, body text, tags text[], embedding vector({dimension})"
    with followed_table(
        database,
        tmp_path,
        columns,
        "--attributes",
        "n,tags",
        "--payload",
        "body",
        outbox=outbox,
    ) as followed:
        made = vectors(30, dimension, 5)
        random = np.random.default_rng(3)
        # Letters that do not compress.
        bodies = ["".join(map(chr, random.integers(97, 123, text))) for _ in range(30)]
        tags = [[f"{body[:200]}{k}" for k in range(5)] for body in bodies]

        def insert(numbers: range, conflict: LiteralString = "") -> None:
            with followed.connect() as connection:
                for i in numbers:
                    connection.execute(
                        sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s) " + conflict).format(
                            sql.Identifier(followed.table)
                        ),
                        (i, i, bodies[i], tags[i], Vector(made[i])),
                    )

        insert(range(20))
        # Later all columns are sent with the old row, so a list of columns would not do.
        followed.publish_all_columns()
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            followed.execute("UPDATE {} SET n = n + 1 WHERE id < 5")  # another column
            followed.execute("UPDATE {} SET id = id + 1000 WHERE id IN (5, 6)")  # the key
            followed.execute("UPDATE {} SET embedding = NULL WHERE id = 7")
            followed.execute("UPDATE {} SET tags = NULL WHERE id = 8")
            followed.execute("UPDATE {} SET body = 'short' WHERE id = 9")
            insert(range(10, 25), "ON CONFLICT (id) DO UPDATE SET n = 77")
            with followed.connect(autocommit=False) as connection:
                # Changed several times in one transaction; a part of it rolled back.
                table = sql.Identifier(followed.table)
                connection.execute(sql.SQL("UPDATE {} SET n = 5 WHERE id = 1").format(table))
                connection.execute(
                    sql.SQL("UPDATE {} SET embedding = %s WHERE id = 1").format(table), (Vector(made[29]),)
                )
                connection.execute(sql.SQL("UPDATE {} SET n = 6 WHERE id = 1").format(table))
                connection.execute("SAVEPOINT s")
                connection.execute(sql.SQL("DELETE FROM {} WHERE id = 1").format(table))
                connection.execute("ROLLBACK TO SAVEPOINT s")
                connection.execute(sql.SQL("UPDATE {} SET id = 1001 WHERE id = 1").format(table))
                connection.execute(sql.SQL("UPDATE {} SET id = 1 WHERE id = 2").format(table))
                connection.execute(sql.SQL("UPDATE {} SET id = 2 WHERE id = 1001").format(table))
            followed.wait_until_in_step(engine)
            followed.check()
            followed.execute("ALTER TABLE {} REPLICA IDENTITY FULL")
            followed.execute("UPDATE {} SET n = n + 1 WHERE id < 12")
            followed.execute("UPDATE {} SET id = id + 2000 WHERE id IN (10, 11)")
            followed.execute("DELETE FROM {} WHERE id = 12")
            followed.wait_until_in_step(engine)
            followed.check()


def test_rows_that_enter_and_leave_the_publications_condition(database: str, tmp_path: pathlib.Path) -> None:
    columns: LiteralString = "id bigint, public int, n bigint, embedding vector(768), PRIMARY KEY (id, public)"
    with followed_table(database, tmp_path, columns, "--attributes", "n", prepares=False) as followed:
        followed.prepare("--where", "public = 1")
        made = vectors(40, 768, 6)
        with followed.connect() as connection:
            for i in range(40):
                connection.execute(
                    sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s)").format(sql.Identifier(followed.table)),
                    (i, 1 - i % 2, i, Vector(made[i])),
                )
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            followed.execute("UPDATE {} SET public = 1 WHERE id IN (1, 3, 5)")
            followed.execute("UPDATE {} SET public = 0 WHERE id IN (2, 4)")
            followed.execute("UPDATE {} SET n = 100 WHERE id IN (1, 6)")
            followed.wait_until_in_step(engine)
            followed.check()
            assert followed.statistics(engine)["rows"] == 21


def test_partitions(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    columns: LiteralString = "id bigint, part int, embedding vector(32), PRIMARY KEY (id, part)"
    name = unique_name("followed")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE TABLE {} ({}) PARTITION BY LIST (part)").format(sql.Identifier(name), sql.SQL(columns))
        )
        for part in range(3):
            connection.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({})").format(
                    sql.Identifier(f"{name}_{part}"), sql.Identifier(name), sql.Literal(part)
                )
            )
    followed = Followed(database, tmp_path, name, name, ("--id-columns", "id,part"), outbox)
    try:
        followed.prepare()
        made = vectors(90, DIMENSION, 8)
        with followed.connect() as connection:
            for i in range(90):
                connection.execute(
                    sql.SQL("INSERT INTO {} VALUES (%s, %s, %s)").format(sql.Identifier(name)),
                    (i, i % 3, Vector(made[i])),
                )
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            followed.execute("UPDATE {} SET part = 2 WHERE id < 10")  # from one partition into another
            followed.execute("DELETE FROM {} WHERE id BETWEEN 40 AND 50")
            followed.wait_until_in_step(engine)
            followed.check()
            # A partition goes without a word in the stream.
            with followed.connect() as connection:
                connection.execute(
                    sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(
                        sql.Identifier(name), sql.Identifier(f"{name}_1")
                    )
                )
            until("loaded anew", lambda: followed.verify().returncode == 0)
            with followed.connect() as connection:
                row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
            assert row is not None
            assert followed.statistics(engine)["rows"] == row[0]
    finally:
        clean_up(database, name)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(f"{name}_1")))


def test_a_changed_table_is_loaded_anew(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            # Columns that are not followed come and go.
            followed.execute("ALTER TABLE {} ADD COLUMN note text DEFAULT 'x'")
            fill(followed, 300, 10)
            followed.wait_until_in_step(engine)
            followed.check()
            followed.execute("ALTER TABLE {} DROP COLUMN note")
            fill(followed, 310, 10)
            followed.wait_until_in_step(engine)
            followed.check()
            # The type of one that is followed changes: rows are rewritten, and nothing of that is sent. (Postgres
            # refuses it while a list of columns stands in the publication.)
            followed.publish_all_columns()
            followed.execute("ALTER TABLE {} ALTER COLUMN tenant TYPE integer USING (tenant + 1)::integer")
            fill(followed, 320, 10)

            def is_equal() -> bool:
                return followed.verify().returncode == 0

            until(f"loaded anew:\n{engine.log}", is_equal)
            assert "loaded anew" in engine.log or "not in step any more" in engine.log


def test_a_changed_type_and_no_change_after_it(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    """What was told of the table stands in the journal, and nothing else is told until somebody writes."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 300)
        # Postgres refuses to change the type while a list of columns stands in the publication.
        followed.publish_all_columns()
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.execute("UPDATE {} SET tenant = 9 WHERE id = 1")
            followed.wait_until_in_step(engine)
            followed.execute("ALTER TABLE {} ALTER COLUMN tenant TYPE integer USING (tenant + 1)::integer")
            until(lambda: f"noticed:\n{engine.log}", lambda: "not in step any more" in engine.log)
            until(
                lambda: f"in step again:\n{engine.log}",
                lambda: followed.statistics(engine)["follow_state"] == "in step",
            )
            followed.check()
            assert "could not catch up" not in engine.log
            assert engine.log.count("read and proved equal") == 2, "one load at the start, and one more"
            until("saved", lambda: not (tmp_path / "collections/docs/STALE").exists())
            assert engine.end(by=signal.SIGTERM) == 0
        # A start reads it once more.
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            fill(followed, 300, 10)
            followed.execute("UPDATE {} SET tenant = 77 WHERE id < 5")
            followed.wait_until_in_step(engine)
            followed.check()
            assert "read and proved equal" not in engine.log, "nothing is loaded again"


def test_a_key_that_is_checked_late_is_refused(database: str, tmp_path: pathlib.Path) -> None:
    """Where rows change places, two have one key between two changes, and the one would be lost."""
    columns: LiteralString = "id bigint PRIMARY KEY DEFERRABLE, embedding vector(32)"
    with followed_table(database, tmp_path, columns, prepares=False) as followed:
        followed.execute("ALTER TABLE {} REPLICA IDENTITY FULL")
        made = vectors(10, DIMENSION, 4)
        with followed.connect() as connection:
            for number, vector in enumerate(made):
                connection.execute(
                    sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(sql.Identifier(followed.table)),
                    (number, Vector(vector)),
                )
            refused = vizinho(
                "prepare",
                *("--postgres", database, "--table", followed.table, "--metric", "cosine", *followed.source, "--apply"),
            )
            assert refused.returncode != 0
            for word in ("deferrable", "CREATE UNIQUE INDEX", "--outbox"):
                assert word in refused.stderr, refused.stderr
            connection.execute(
                sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(
                    sql.Identifier(followed.slot), sql.Identifier(followed.table)
                )
            )
            with followed.engine() as engine:
                until(lambda: f"refused:\n{engine.log}", lambda: "is deferrable" in engine.log)
                with engine.client() as client:
                    assert not client.collections()
                # What the refusal says to run is all it takes.
                followed.execute("CREATE UNIQUE INDEX ON {} (id)")
                followed.wait_until_in_step(engine)
                followed.execute("UPDATE {} SET id = id + 100 WHERE id < 3")
                followed.wait_until_in_step(engine)
                followed.check()


def test_a_slot_that_is_dropped_is_made_anew(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            with followed.connect() as connection:
                until(
                    "dropped",
                    lambda: _drop_slot(connection, followed.slot),
                )
            fill(followed, 300, 50)
            until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)
            with engine.client() as client:
                assert client.statistics("docs")["rows"] == 350 - 9


def _drop_slot(connection: "psycopg.Connection[tuple[object, ...]]", slot: str) -> bool:
    connection.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        " WHERE slot_name = %s AND active_pid IS NOT NULL",
        (slot,),
    )
    try:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    except psycopg.errors.ObjectInUse:
        return False
    return True


def test_a_recreated_slot_is_noticed(database: str, tmp_path: pathlib.Path) -> None:
    """Somebody drops the slot and makes another of its name while the engine is away: changes in between are gone."""
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 300)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
        with followed.connect() as connection:
            until("dropped", lambda: _drop_slot(connection, followed.slot))
            fill(followed, 300, 50)
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (followed.slot,))
        with followed.engine() as engine:
            followed.wait_until_served(engine)
            until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)
            assert "loaded anew" in engine.log


def test_what_is_missing_is_said_with_the_sql_that_mends_it(
    database: str, tmp_path: pathlib.Path, outbox: bool
) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, prepares=False, outbox=outbox) as followed:
        printed = vizinho(
            "prepare",
            *("--postgres", database, "--table", followed.table, "--metric", "cosine"),
            *(*followed.source, *OPTIONS),
        )
        assert printed.returncode == 0, printed.stderr
        assert ("CREATE OR REPLACE TRIGGER" if outbox else "CREATE PUBLICATION") in printed.stdout
        with followed.engine() as engine:
            until("said", lambda: ("prepare --outbox" if outbox else "PUBLICATION") in engine.log)
            # What it prints is what is needed.
            with followed.connect() as connection:
                connection.execute(printed.stdout.encode())
            fill(followed, 0, 100)
            followed.wait_until_in_step(engine)
            followed.check()


def test_a_row_that_cannot_be_held_stops_the_collection_and_says_so(
    database: str, tmp_path: pathlib.Path, outbox: bool
) -> None:
    columns: LiteralString = "id bigint PRIMARY KEY, embedding vector"
    with followed_table(database, tmp_path, columns, "--dimension", "32", outbox=outbox) as followed:
        made = vectors(10, DIMENSION, 9)
        with followed.connect() as connection:
            insert = sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(sql.Identifier(followed.table))
            for i in range(10):
                connection.execute(insert, (i, Vector(made[i])))
            with followed.engine() as engine:
                followed.wait_until_in_step(engine)
                connection.execute(insert, (10, Vector(np.ones(7))))
                until("stale", lambda: followed.statistics(engine)["follow_state"] == "stale")
                assert "10" in str(followed.statistics(engine)["follow_reason"])
                connection.execute(sql.SQL("DELETE FROM {} WHERE id = 10").format(sql.Identifier(followed.table)))
                until(f"in step again:\n{engine.log}", lambda: followed.verify().returncode == 0)


def test_a_difference_is_found_named_and_mended(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    """Values that are others when they arrive than they were when Postgres sent them."""
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
    ):
        fill(followed, 0, 400)
        with dataclasses.replace(followed, url=proxy.url).engine() as engine:
            followed.wait_until_in_step(engine)
            proxy.forgery = (b"as it was written", b"as it was not so.")
            followed.execute("UPDATE {} SET body = 'as it was written' WHERE id IN (12, 13, 14)")
            followed.wait_until_in_step(engine)
            proxy.forgery = None
            done = followed.verify()
            assert done.returncode == 1, done.stdout
            assert all(number in done.stdout for number in ("12", "13", "14")), done.stdout
            mended = followed.verify("--repair")
            assert "3" in mended.stdout
            # No journal has what was mended, and the one that there is has what was not.
            assert engine.end(by=signal.SIGKILL) == -signal.SIGKILL
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            followed.check()
            assert "read and proved equal" not in engine.log, "nothing is loaded again"


def test_a_rebuild_beside_searches(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed:
        fill(followed, 0, 3_000)
        with followed.engine() as engine, engine.client() as client:
            followed.wait_until_in_step(engine)
            before = lsn_number(str(client.statistics("docs")["applied_lsn"]))
            done = vizinho("rebuild", "--data-dir", tmp_path, "--collection", "docs")
            assert done.returncode == 0, done.stderr
            assert lsn_number(str(client.statistics("docs")["applied_lsn"])) >= before
            followed.check()
            # Another collection of the same table, with other settings, and gone again.
            other = vizinho(
                "rebuild",
                *("--data-dir", tmp_path, "--table", followed.table, "--metric", "l2"),
                *("--collection", "other", "--storage", "f32", "--attributes", "tenant"),
            )
            assert other.returncode == 0, other.stderr
            fill(followed, 3_000, 100)
            followed.wait_until_in_step(engine)
            assert vizinho("verify", "--data-dir", tmp_path, "--collection", "other").returncode == 0
            followed.check()
            assert vizinho("drop", "--data-dir", tmp_path, "--collection", "other").returncode == 0
            assert [one.name for one in client.collections()] == ["docs"]
            status = vizinho("status", "--data-dir", tmp_path)
            assert status.returncode == 0
            assert "docs: in step" in status.stdout
