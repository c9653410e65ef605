"""Some rounds of the random workload with kills; scripts/soak runs many."""

import pathlib
from collections.abc import Iterator

import pytest
from soak import FAULTS, Cluster, soak


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A Postgres of its own, since it will be killed."""
    made = Cluster("soak-test")
    made.start()
    yield made
    made.destroy()


def test_whatever_goes_wrong_the_engine_has_what_the_table_has(
    cluster: Cluster, tmp_path: pathlib.Path, outbox: bool
) -> None:
    # Each fault once, and two more by chance.
    for number, fault in enumerate(FAULTS):
        soak(cluster, 1, seed=number, directory=tmp_path / str(number), faults=(fault,), outbox=outbox)
    soak(cluster, 2, seed=100, directory=tmp_path / "more", outbox=outbox)
