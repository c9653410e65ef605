"""The Python client's own tests against a live server, which it leaves out when there is none."""

import os
import re
import subprocess
import sys

from engine import REPOSITORY, SECONDS_MAX, Engine


def test_the_clients_live_tests_pass(sample_engine: Engine) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_live.py"],
        cwd=REPOSITORY / "clients" / "python",
        env={**os.environ, "VIZINHO_TEST_SERVER": sample_engine.address, "VIZINHO_TEST_COLLECTION": "passages"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b\d+ passed in ", done.stdout), done.stdout
