"""Many rows at once: the load, the stream by itself, a burst beside searches, and starts that have to catch up."""

import os
import signal
import time

import psycopg
import vizinho
from psycopg import sql
from rates import Searcher
from subject import (
    COLLECTION,
    NAME,
    TABLE,
    Floats,
    Numbers,
    Server,
    change_range,
    say,
    wait_until_in_step,
    wait_until_linked,
)


def loading(server: Server, rows: int) -> Numbers:
    """A start with an empty data directory, until it is served: reading, linking, the proof and the first snapshot."""
    say(f"the load of {rows:,} rows …")
    server.launch()
    before = server.moment([os.getpid()])
    started = time.perf_counter()
    server.wait_until_served()
    seconds = time.perf_counter() - started
    used = server.moment([os.getpid()]).since(before)
    logged = server.logged("read and proved equal")
    reading, linking = float(logged["reading"]), float(logged["linking"])
    return {
        "seconds": round(seconds, 3),
        "reading_seconds": reading,
        "linking_seconds": linking,
        "calibrating_seconds": float(logged["calibrating"]),
        "read_rows_a_second": round(rows / max(reading, 1e-3)),
        "linked_rows_a_second": round(rows / max(linking, 1e-3)),
        "processors": used,
    }


def decoding(connection: "psycopg.Connection[tuple[int]]", slot: str) -> tuple[float, int]:
    """Seconds in which a session decodes what a slot has, and how many messages: what a walsender needs at least."""
    started = time.perf_counter()
    row = connection.execute(
        "SELECT count(*) FROM pg_logical_slot_peek_binary_changes"
        "(%s, NULL, NULL, 'proto_version', '2', 'publication_names', %s, 'binary', 'true')",
        (slot, NAME),
    ).fetchone()
    return time.perf_counter() - started, row[0] if row else 0


def streamed(server: Server, base: Floats, queries: Floats, kind: str, rows: int, in_each: int, shift: int) -> Numbers:
    """The server is held while rows change, so that nothing but the stream runs when it goes on."""
    rows = min(rows, len(base))
    say(f"the stream of {rows:,} {kind}s, {in_each:,} in each transaction …")
    with psycopg.connect(server.url, autocommit=True) as connection, server.client() as client:
        wait_until_linked(client)
        wait_until_in_step(client, vizinho.position_of(connection))
        slot = f"{NAME}_decoding"
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
        server.signal(signal.SIGSTOP)
        try:
            started = time.perf_counter()
            change_range(server.url, kind, rows, len(base), in_each, shift)
            written = time.perf_counter() - started
            decoded, messages = decoding(connection, slot)
            connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
            token = vizinho.position_of(connection, asynchronous=True)
            before = server.moment([os.getpid()])
        finally:
            server.signal(signal.SIGCONT)
        started = time.perf_counter()
        client.search(COLLECTION, queries[0], k=10, after=token, wait=60, timeout=100)
        visible = time.perf_counter() - started
        used = server.moment([os.getpid()]).since(before)
        wait_until_linked(client)
        linked = time.perf_counter() - started
        whole = server.moment([os.getpid()]).since(before)
    return {
        "kind": kind,
        "rows": rows,
        "rows_in_each": in_each,
        "written_seconds": round(written, 3),
        "decoding_alone_seconds": round(decoded, 3),
        "messages": messages,
        "visible_seconds": round(visible, 3),
        "visible_rows_a_second": round(rows / visible),
        "linked_seconds": round(linked, 3),
        "linked_rows_a_second": round(rows / linked),
        "processors_until_visible": used,
        "processors_until_linked": whole,
    }


def burst(server: Server, base: Floats, queries: Floats, rows: int) -> Numbers:
    """Many vectors changed in one transaction: when they are visible, when they are linked, and what searches pay."""
    rows = min(rows, len(base))
    say(f"a burst of {rows:,} rows …")
    with psycopg.connect(server.url) as connection, server.client() as client:
        wait_until_linked(client)
        searcher = Searcher(queries)
        time.sleep(1)
        started = time.perf_counter()
        # Every vector becomes that of another row.
        connection.execute(
            sql.SQL(
                "UPDATE {0} AS t SET embedding = o.embedding FROM {0} AS o WHERE t.id < %s AND o.id = (t.id + 7) %% %s"
            ).format(sql.Identifier(TABLE)),
            (rows, len(base)),
        )
        connection.commit()
        committed = time.perf_counter()
        mine = [os.getpid(), searcher.pid]
        before = server.moment(mine)
        client.search(COLLECTION, queries[0], k=10, after=vizinho.position_of(connection), wait=60)
        visible = time.perf_counter()
        used = server.moment(mine).since(before)
        tail_most = wait_until_linked(client)
        linked = time.perf_counter()
        whole = server.moment(mine).since(before)
        searched = searcher.stop()
    return {
        "rows": rows,
        "statement_seconds": round(committed - started, 3),
        "visible_seconds": round(visible - committed, 3),
        "linked_seconds": round(linked - committed, 3),
        "tail_rows_most": tail_most,
        "search_ms": searched,
        "processors_until_visible": used,
        "processors_until_linked": whole,
    }


def sustained(server: Server, base: Floats, queries: Floats, kind: str) -> Numbers:
    """How many rows a second one session changes, a hundred in a transaction, and how far behind the server is then."""
    say(f"sustained, {kind} …")
    rows = min(20_000, len(base))
    with psycopg.connect(server.url, autocommit=True) as connection, server.client() as client:
        before = server.moment([os.getpid()])
        started = time.perf_counter()
        change_range(server.url, kind, rows, len(base), 100, 11)
        committed = time.perf_counter()
        token = vizinho.position_of(connection, asynchronous=True)
        client.search(COLLECTION, queries[0], k=10, after=token, wait=60)
        applied = time.perf_counter()
        used = server.moment([os.getpid()]).since(before)
    return {
        "kind": kind,
        "rows": rows,
        "written_rows_a_second": round(rows / (committed - started)),
        "applied_rows_a_second": round(rows / (applied - started)),
        "behind_seconds": round(applied - committed, 3),
        "processors": used,
    }


def restarts(server: Server, base: Floats) -> Numbers:
    """Seconds until it serves and is in step: after a clean end, after SIGKILL, with 100,000 changes to catch up."""
    say("starts …")
    times: Numbers = {}
    for name in ("clean", "killed", "behind"):
        server.end(signal.SIGTERM if name == "clean" else signal.SIGKILL)
        token = None
        if name == "behind":
            rows = min(50_000, len(base))
            for _ in range(max(1, 100_000 // rows)):
                change_range(server.url, "attribute", rows, len(base), 1_000, 0)
            with psycopg.connect(server.url, autocommit=True) as connection:
                token = vizinho.position_of(connection, asynchronous=True)
        started = time.perf_counter()
        server.start()
        times[f"{name}_served"] = round(time.perf_counter() - started, 3)
        before = server.moment([os.getpid()])
        with server.client() as client:
            wait_until_in_step(client, token)
        times[f"{name}_in_step"] = round(time.perf_counter() - started, 3)
        times[f"{name}_processors"] = server.moment([os.getpid()]).since(before)
    return times
