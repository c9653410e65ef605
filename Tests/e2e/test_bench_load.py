"""`bench load` drives a real server: what it reports, what it refuses, what it keeps. No figure of speed is judged."""

import json
import pathlib
import signal
import subprocess
import time
from typing import Any

import numpy as np
import pytest
from benching import bench, bench_program, report, settings
from engine import SECONDS_MAX, Engine
from numpy.typing import NDArray

QUESTIONS = pathlib.Path(__file__).resolve().parents[2] / "data" / "debian-10k.query.npy"
SHORT = ("--seconds", "0.5", "--warm-up", "0.1")


def load(engine: Engine, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    where = ("--server", engine.address, "--collection", "passages")
    return bench("load", *where, *SHORT, *arguments, **environment)


def check(points: list[dict[str, Any]]) -> None:
    """What holds of every step on a server that answers."""
    assert [one["kind"] for one in points] == ["ping", "search"] * (len(points) // 2)
    for one in points:
        assert one["errors"] == {}
        assert one["achieved_rate"] > 0
        latency = one["latency"]
        names = ("p50_us", "p90_us", "p95_us", "p99_us", "p999_us", "max_us")
        assert latency["p50_us"] > 0
        assert [latency[name] for name in names] == sorted(latency[name] for name in names)
        assert one["client_cpu_seconds_per_query"] > 0
        assert one["server_cpu_seconds_per_query"] > 0


def test_rates(sample_engine: Engine, tmp_path: pathlib.Path) -> None:
    files = ("--json", tmp_path / "load.json", "--html", tmp_path / "load.html")
    done = load(sample_engine, "--queries", str(QUESTIONS), "--rate", "80,40", "--clients", "3", *map(str, files))
    assert done.returncode == 0, done.stderr
    found = report(tmp_path / "load.json")
    assert found["command"] == "load"
    assert not found["interrupted"]
    check(found["load"])
    assert [one["target_rate"] for one in found["load"]] == [40, 40, 80, 80]
    assert {one["connections"] for one in found["load"]} == {3}
    assert found["data"]["rows"] == 10000
    assert found["data"]["queries"] == 300
    assert found["data"]["query_source"] == "file"
    told = settings(found)
    assert told["Vizinho", "process"] == f"{sample_engine.process.pid} (vizinho)"
    assert told["Vizinho", "storage"] == "int4x16"
    assert told["this run", "spacing"] == "poisson"
    assert any("coordinated omission" in sentence for sentence in found["method"])
    assert any("knee" in note or "Every rate" in note for note in found["notes"])
    assert "<html" in (tmp_path / "load.html").read_text()
    assert "answers a second" in done.stdout


def test_clients(sample_engine: Engine, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "load.json"
    told = ("--clients", "1,4", "--threads", "2", "--recall-target", "0.9", "--json", str(file))
    done = load(sample_engine, "--queries", str(QUESTIONS), *told)
    assert done.returncode == 0, done.stderr
    found = report(file)
    check(found["load"])
    assert [one["in_flight"] for one in found["load"]] == [1, 1, 4, 4]
    assert all("target_rate" not in one for one in found["load"])


def test_a_sweep_finds_the_knee(sample_engine: Engine, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "load.json"
    done = bench(
        *("load", "--server", sample_engine.address, "--collection", "passages", "--queries", QUESTIONS),
        *("--sweep", "--seconds", "0.3", "--warm-up", "0.1", "--json", file),
    )
    assert done.returncode == 0, done.stderr
    found = report(file)
    searches = [one for one in found["load"] if one["kind"] == "search"]
    clients = [one["in_flight"] for one in searches if "in_flight" in one]
    assert clients == [2**i for i in range(len(clients))]
    assert len(clients) > 1
    rates = [one["target_rate"] for one in searches if "target_rate" in one]
    assert rates == sorted(rates)
    assert rates
    assert any("knee" in note or "Every rate" in note for note in found["notes"])


def test_a_log_has_filters_of_its_own(
    sample_engine: Engine, questions: NDArray[np.float32], tmp_path: pathlib.Path
) -> None:
    asked = tmp_path / "asked.jsonl"
    lines = [{"vector": question.tolist(), "k": 3, "filter": "true"} for question in questions[:20]]
    # The collection has no attributes.
    lines[7]["filter"] = "tenant = 7"
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = tmp_path / "load.json"
    done = load(sample_engine, "--log", str(asked), "--rate", "100", "--json", str(file))
    assert done.returncode == 0, done.stderr
    found = report(file)
    assert found["data"]["query_source"] == "log"
    (search,) = [one for one in found["load"] if one["kind"] == "search"]
    assert search["errors"]["unknownAttribute"] > 0
    assert "tenant" in search["note"]


def test_an_interruption_keeps_what_was_measured(sample_engine: Engine, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "load.json"
    many = ",".join(["1"] * 500)
    process = subprocess.Popen(
        [
            bench_program(),
            *("load", "--server", sample_engine.address, "--collection", "passages", "--queries", QUESTIONS),
            *("--clients", many, *SHORT, "--json", file),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while not (file.is_file() and report(file)["load"]):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=SECONDS_MAX)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    found = report(file)
    assert found["interrupted"]
    assert 2 <= len(found["load"]) < 1000
    check(found["load"])
    assert "interrupted" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rate", "10", "--collection", "passagens"), ("passagens", "passages")),
        (("--rate", "10", "--filter", "tenant = 7"), ("unknownAttribute", "tenant")),
        (("--rate", "10", "--k", "20000"), ("invalidK",)),
        (("--rate", "ten"), ("--rate", "ten")),
        (("--rate", "10", "--sweep"), ("--rate", "--sweep")),
        (("--rate", "10", "--clients", "1,2"), ("--clients", "one number")),
        (("--clients", "1.5"), ("--clients", "whole")),
        (("--clients", "0"), ("--clients", "0")),
        ((), ("--rate", "--clients", "--sweep")),
        (("--rate", "10", "--ef", "10", "--recall-target", "0.9"), ("--ef", "--recall-target")),
        (("--rate", "10", "--recall-target", "0.1"), ("--recall-target", "0.8")),
        (("--rate", "10", "--log", "x"), ("--queries", "--log")),
        (("--rate", "10", "--server-pid", "999999999"), ("--server-pid", "999999999")),
        (("--rate", "10", "--server", "here"), ("host:port",)),
        (("--rate", "10", "--json", "/nowhere/at/all.json"), ("/nowhere/at/all.json",)),
    ],
)
def test_what_cannot_be_run_says_why(sample_engine: Engine, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    # Of an option that is given twice the last counts.
    done = load(sample_engine, "--queries", str(QUESTIONS), *arguments)
    assert done.returncode > 0
    for word in words:
        assert word in done.stderr


def test_queries_that_do_not_fit(sample_engine: Engine, questions: NDArray[np.float32], tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "short.npy", questions[:, :100])
    done = load(sample_engine, "--rate", "10", "--queries", str(tmp_path / "short.npy"))
    assert done.returncode > 0
    assert "100 dimensions" in done.stderr
    assert "384" in done.stderr
    np.save(tmp_path / "none.npy", questions[:0])
    done = load(sample_engine, "--rate", "10", "--queries", str(tmp_path / "none.npy"))
    assert done.returncode > 0
    assert "none.npy" in done.stderr
    (tmp_path / "asked.jsonl").write_text('{"vector": [1, 2]}\n{"vector": "x"}\n')
    done = load(sample_engine, "--rate", "10", "--log", str(tmp_path / "asked.jsonl"))
    assert done.returncode > 0
    assert "Query 1 of" in done.stderr


def test_a_server_that_is_not_there() -> None:
    done = bench("load", "--server", "127.0.0.1:1", "--collection", "x", "--queries", QUESTIONS, "--rate", "10")
    assert done.returncode > 0
    assert "127.0.0.1:1" in done.stderr
    assert "vizinho serve" in done.stderr
