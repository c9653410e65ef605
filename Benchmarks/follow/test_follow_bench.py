"""What the benchmark of following counts, without Postgres and without an engine."""

import os
import time

import pytest
from processors import Moment, Used, busy_of, fields_of, reaped_of, scheduled, ticks_of
from rates import read_report, script
from subject import percentiles

STAT = "4711 (a (nested) name) S 1 4711 4711 0 -1 4194560 1 2 3 4 250 50 1000 500 20 0 3 0 1 2 3"


def test_times_are_read_from_what_the_system_says() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    assert fields_of(STAT)[:2] == ["S", "1"]
    assert ticks_of(STAT) == pytest.approx(300 / ticks)
    assert reaped_of(STAT) == pytest.approx(1_500 / ticks)
    assert scheduled("1500000000 250000000 7\n") == Used(1.5, 0.25)
    # Idle and waiting for a disk is neither.
    assert busy_of("cpu  1 2 4 1000 2000 8 16 32 0 0") == pytest.approx(63 / ticks)


def test_work_is_counted_for_who_did_it() -> None:
    def moment() -> Moment:
        # No process has the highest number.
        return Moment({"me": os.getpid()}, {"whole": [os.getpid(), 2**22 + 1]}, {"parent": os.getpid()})

    before = moment()
    started = time.thread_time()
    while time.thread_time() - started < 0.2:
        sum(range(10_000))
    used = moment().since(before)
    mine = sum(busy for label, (busy, _) in used["used"].items() if label.startswith("me: "))
    assert 0.19 < mine < 0.4
    assert 0.19 < used["used"]["whole"][0] < 0.4


@pytest.mark.parametrize(
    ("lag", "latest"), [("rate limit schedule lag: avg 0.214 (max 1503.5) ms\n", 1.504), ("", 0.0)], ids=["rate", "all"]
)
def test_what_pgbench_says_is_read(lag: str, latest: float) -> None:
    text = (
        f"transaction type: x.sql\nlatency average = 2.513 ms\n{lag}tps = 998.123 (without initial connection time)\n"
    )
    assert read_report(text) == {"rows_a_second": 998.1, "latest_seconds": latest, "commit_ms": 2.513}
    with pytest.raises(ValueError, match="did not say"):
        read_report("pgbench: error: connection to server failed")


def test_scripts_draw_from_all_rows() -> None:
    for kind in ("attribute", "vector"):
        assert "\\set id random(0, 99)" in script(kind, 100)
        assert script(kind, 100).count("UPDATE") == 1


def test_percentiles_are_in_milliseconds() -> None:
    assert percentiles([]) == {}
    assert percentiles([0.001 * i for i in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "count": 101}
