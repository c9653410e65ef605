"""How new an answer is where nothing follows: positions of a real Postgres, asked of a collection that stands still."""

import asyncio
import json

import psycopg
import pytest
from engine import Engine, vizinho
from vizinho import ErrorCode, NotFresh, Position, RequestRejected, position_of, position_of_async


def test_positions_are_those_of_the_rebuild(sample_engine: Engine, sample_database: str) -> None:
    async def ask() -> Position:
        async with await psycopg.AsyncConnection.connect(sample_database) as connection:
            return await position_of_async(connection)

    with sample_engine.client() as client, psycopg.connect(sample_database) as connection:
        result = client.search_by_id("passages", 17, 3)
        here = position_of(connection)
        for position in (here, asyncio.run(ask())):
            assert (position.system_id, position.timeline) == (result.position.system_id, result.position.timeline)
            assert position.applied_lsn >= result.position.applied_lsn
        statistics = client.statistics("passages")
        assert statistics["applied_lsn"] == str(result.position.applied_lsn)
        assert (statistics["system_id"], statistics["timeline"]) == (here.system_id, here.timeline)
        assert statistics["follow_state"] == "none"

        # What it has is as new as what it had; a later commit it will never have, and says so without waiting.
        assert list(client.search_by_id("passages", 17, 3, after=str(result.position)).ids) == list(result.ids)
        assert client.fetch("passages", 17, after=result.position).found.all()
        connection.execute("CREATE TABLE IF NOT EXISTS written ()")
        connection.commit()
        with pytest.raises(NotFresh, match="does not follow"):
            client.search_by_id("passages", 17, 3, after=position_of(connection), wait=60, timeout=600)
        with pytest.raises(NotFresh, match="does not follow"):
            client.search_by_id("passages", 17, 3, strong=True, wait=60, timeout=600)
        for foreign in (here._replace(system_id=here.system_id + 1), here._replace(timeline=here.timeline + 1)):
            with pytest.raises(RequestRejected) as refusal:
                client.search_by_id("passages", 17, 3, after=foreign)
            assert refusal.value.code == ErrorCode.POSITION_FOREIGN


def test_a_query_says_how_new_its_answer_must_be(sample_engine: Engine) -> None:
    where = ("query", "--server", sample_engine.address, "--collection", "passages", "--id", "17", "--json")
    plain = json.loads(vizinho(*where).stdout)
    for lsn in (plain["applied_lsn"], "0/1"):
        done = vizinho(*where, "--min-lsn", lsn, "--wait", "0")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == plain
    for options, words in (
        (("--min-lsn", "FFFFFFFF/0", "--wait", "60000"), ("FFFFFFFF/0", plain["applied_lsn"], "does not follow")),
        (("--strong",), ("does not follow",)),
        (("--min-lsn", "yesterday"), ("--min-lsn", "yesterday")),
        (("--min-lsn", "0/1", "--strong"), ("--min-lsn", "--strong")),
        (("--wait", "5"), ("--wait", "--min-lsn")),
        (("--strong", "--wait", "60001"), ("--wait", "60001", "60000")),
    ):
        done = vizinho(*where, *options)
        assert done.returncode > 0
        for word in words:
            assert word in done.stderr
