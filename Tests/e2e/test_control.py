"""The socket in the data directory, by which an operator commands a server."""

import pathlib
import resource
import subprocess

from engine import SECONDS_MAX, program
from following import COLUMNS, OPTIONS, fill, followed_table, until


def test_a_server_without_a_descriptor_takes_commands_when_it_has_one(database: str, tmp_path: pathlib.Path) -> None:
    with followed_table(database, tmp_path, COLUMNS, *OPTIONS) as followed:
        fill(followed, 0, 100)
        with followed.engine() as engine:
            followed.wait_until_in_step(engine)
            process = engine.process.pid
            soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
            # Fewer than it has open: it gets no more.
            resource.prlimit(process, resource.RLIMIT_NOFILE, (8, hard))
            status = subprocess.Popen(
                [program(), "status", "--data-dir", tmp_path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                until(lambda: f"refused:\n{engine.log}", lambda: "no command can be taken" in engine.log)
                resource.prlimit(process, resource.RLIMIT_NOFILE, (soft, hard))
                said, _ = status.communicate(timeout=SECONDS_MAX)
            finally:
                if status.poll() is None:
                    status.kill()
                    status.communicate()
            assert status.returncode == 0, said
            assert "docs: " in said
            followed.wait_until_in_step(engine)
            followed.check()
