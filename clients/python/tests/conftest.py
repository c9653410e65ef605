"""The fixture that runs a test with each client."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from driving import Driver


@pytest.fixture(params=["async", "uvloop", "sync"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    threads = threading.active_count()
    made = Driver(request.param)
    yield made
    made.close()
    assert threading.active_count() <= threads, "a client left a thread behind"
