"""What a user gets wrong on the command line: an exit code, one clear message, no crash and no secret."""

import pathlib

import psycopg
import pytest
from engine import Engine, vizinho

SECRET = "do-not-print-me"


def refusal(*arguments: str | pathlib.Path) -> str:
    """Runs what must fail; returns the message."""
    done = vizinho(*arguments)
    assert done.returncode > 0, f"ended with {done.returncode}: {done.stdout}{done.stderr}"
    assert "Fatal error" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert done.stderr.strip()
    return done.stderr


def source(url: str, table: str = "passages", metric: str = "cosine") -> tuple[str, ...]:
    return ("--postgres", url, "--table", table, "--collection", "passages", "--metric", metric)


def test_help_names_the_subcommands() -> None:
    done = vizinho("--help")
    assert done.returncode == 0
    for subcommand in ("rebuild", "serve", "query", "snapshot"):
        assert subcommand in done.stdout


def test_an_unknown_subcommand_is_refused() -> None:
    assert "unbuild" in refusal("unbuild")


def test_an_unknown_metric_says_what_is_allowed(sample_database: str, tmp_path: pathlib.Path) -> None:
    message = refusal("rebuild", "--data-dir", tmp_path, *source(sample_database, metric="hamming"))
    for word in ("metric", "hamming", "cosine", "inner_product", "l2"):
        assert word in message


def test_a_missing_table_is_named(sample_database: str, tmp_path: pathlib.Path) -> None:
    assert "no_such_table" in refusal("rebuild", "--data-dir", tmp_path, *source(sample_database, "no_such_table"))
    assert not list(tmp_path.rglob("*snapshot*"))


def test_a_table_without_vectors_is_refused(sample_database: str, tmp_path: pathlib.Path) -> None:
    with psycopg.connect(sample_database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS plain (id bigint PRIMARY KEY, body text)")
    message = refusal("rebuild", "--data-dir", tmp_path, *source(sample_database, "plain"))
    assert "plain" in message
    assert "vector" in message


def test_an_unreachable_postgres_is_named_without_its_password(tmp_path: pathlib.Path) -> None:
    # Nothing listens on port 1.
    message = refusal("rebuild", "--data-dir", tmp_path, *source(f"postgresql://someone:{SECRET}@127.0.0.1:1/vizinho"))
    assert "127.0.0.1" in message


def test_a_malformed_url_is_refused_without_its_password(tmp_path: pathlib.Path) -> None:
    refusal("rebuild", "--data-dir", tmp_path, *source(f"postgresql://someone:{SECRET}@127.0.0.1:notaport/vizinho"))


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:"])
def test_an_address_that_is_none_is_refused(sample_index: pathlib.Path, address: str) -> None:
    assert "listen" in refusal("serve", "--data-dir", sample_index, "--listen", address)


def test_a_port_that_is_taken_is_named(sample_engine: Engine, sample_database: str, tmp_path: pathlib.Path) -> None:
    assert vizinho("rebuild", "--data-dir", tmp_path, *source(sample_database)).returncode == 0
    message = refusal("serve", "--data-dir", tmp_path, "--listen", sample_engine.address)
    assert str(sample_engine.port) in message


def test_a_missing_data_directory_is_named(tmp_path: pathlib.Path) -> None:
    assert "missing" in refusal("serve", "--data-dir", tmp_path / "missing", "--listen", "127.0.0.1:0")


def test_a_broken_snapshot_is_named_and_not_served(sample_database: str, tmp_path: pathlib.Path) -> None:
    assert vizinho("rebuild", "--data-dir", tmp_path, *source(sample_database)).returncode == 0
    largest = max((file for file in tmp_path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0x10
    largest.write_bytes(content)
    assert largest.name in refusal("serve", "--data-dir", tmp_path, "--listen", "127.0.0.1:0")
