"""A connection whose other end is gone without a word: nobody may take that for a table in which nothing changes."""

import dataclasses
import pathlib
import tempfile
import time

from following import COLUMNS, OPTIONS, fill, followed_table, until
from proxy import Proxy


def test_a_connection_on_which_nothing_comes_any_more(database: str, tmp_path: pathlib.Path, outbox: bool) -> None:
    with (
        followed_table(database, tmp_path, COLUMNS, *OPTIONS, outbox=outbox) as followed,
        tempfile.TemporaryDirectory() as sockets,
        Proxy(database, pathlib.Path(sockets)) as proxy,
    ):
        fill(followed, 0, 500)
        through = dataclasses.replace(followed, url=proxy.url, serving=("--silence-seconds", "3"))
        with through.engine() as engine:
            followed.wait_until_in_step(engine)
            # Nothing happens for longer than that; but Postgres answers when it is asked.
            time.sleep(4)
            assert followed.statistics(engine)["follow_state"] == "in step"
            assert "nothing comes from Postgres" not in engine.log
            proxy.mode = "stall"
            fill(followed, 500, 10)
            until("stalled", lambda: followed.statistics(engine)["follow_state"] == "stalled")
            assert followed.statistics(engine)["rows"] == 500
            proxy.mode = "pass"
            followed.wait_until_in_step(engine)
            followed.check()
            assert followed.statistics(engine)["rows"] == 510
