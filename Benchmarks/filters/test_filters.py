"""What the comparison of filters counts, without an engine: sizes, regions, recall, and answers that are wrong."""

import numpy as np
import pytest
from page import Measured, Series, page
from selectivity import Workload, judge, unit
from table import Filter, Table, below, nearest_cells, of_document, shorter
from tenants import owners, quantiles, sizes, wrong


@pytest.fixture
def table() -> Table:
    base = unit(np.random.default_rng(1).normal(size=(3_000, 8)).astype(np.float32))
    return Table.of(base, 1)


def test_a_share_of_the_rows_matches(table: Table) -> None:
    for share in (0.01, 0.5):
        condition = below(table, share)
        assert condition.rows.sum() == (table.share < share).sum()
        assert condition.rows.mean() == pytest.approx(share, abs=0.03)
        assert condition.text == f"share < {share}"


def test_regions_are_near_or_far(table: Table) -> None:
    query = table.base[7]
    near, far = (nearest_cells(table, query, 0.1, farthest=farthest) for farthest in (False, True))
    for condition in (near, far):
        assert 0.1 < condition.rows.mean() < 0.11
        cells = condition.parameters[0]
        assert condition.text == f"cell in ({', '.join(map(str, cells))})"
        assert (np.isin(table.cell, cells) == condition.rows).all()
    assert (table.base[near.rows] @ query).mean() > 0.5
    assert (table.base[far.rows] @ query).mean() < -0.5
    assert near.rows[7]


def test_texts_make_columns() -> None:
    base = unit(np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32))
    table = Table.of(base, 1, [("it's", "a b c"), ("b", "d"), ("it's", "e f"), ("c", "")])
    assert of_document(table, 2).text == "title = 'it''s'"
    assert of_document(table, 2).rows.tolist() == [True, False, True, False]
    assert shorter(table, 0.5).rows.tolist() == [False, False, False, True]


def test_answers_are_judged_by_their_rows(table: Table) -> None:
    query = table.base[0]
    rows = np.arange(3_000) < 100
    condition = Filter("", "", (), rows)
    order = np.argsort(-(table.base[:100] @ query))
    kth = float(1 - table.base[order[2]] @ query)
    workload = Workload("", 0.1, [condition], [kth], [3])

    def answer(*found: int) -> list[tuple[int, float]]:
        return [(row, 0.0) for row in found]

    best = order.tolist()

    def judged(*found: int) -> tuple[int, int, int]:
        """How many of the three were found, whether the answer is short, and how many rows lie outside."""
        recall, short, outside = judge(table, query[None], workload, [answer(*found)])
        return round(3 * recall), short, outside

    assert judged(*best[:3]) == (3, 0, 0)
    assert judged(*best[:2]) == (2, 1, 0)
    assert judged(*best[:2], best[50]) == (2, 0, 0)
    assert judged(*best[:2], 500) == (2, 0, 1)
    assert judged(best[0], best[0], best[1]) == (2, 1, 0)
    assert judged() == (0, 1, 0)
    assert wrong(table, query, condition, answer(*best[:2], 500), answer(*best[:3]))
    assert wrong(table, query, condition, answer(*best[:2]), answer(*best[:3]))


def test_tenants_have_sizes_with_a_long_tail() -> None:
    size = sizes(1_000, 100_000, 10, 5_000, 1)
    assert size.min() >= 10
    assert size.max() <= 5_000
    assert size.sum() <= 100_000
    assert size.sum() > 95_000
    tenant = owners(size, 100_000, 1)
    counts = np.bincount(tenant, minlength=1_001)
    assert (counts[1:] == size).all()
    assert quantiles([0.001, 0.002, 0.003])["p50"] == pytest.approx(2)


def test_a_page_says_what_is_short() -> None:
    series = {"a": Series(0.5, 3, 0, 1_234.0), "b": Series(1.0, 0, 2, 10.0)}
    about = {
        "rows": 10,
        "dimension": 8,
        "k": 10,
        "queries": 2,
        "rounds": 1,
        "storage": "f32",
        "measured": "today",
        "base": "x.npy",
        "seed": 1,
        "machine": {"cpu": "a processor", "instructions": "avx2", "processors": 2, "memory_gib": 4},
    }
    text = page("title", about, [Measured("anywhere", 0.1, 1.0, series)])
    assert "| 10 % | 1 | 0.500, 1,234, **3 short** | 1.000, 10 |" in text
    assert "in all answers together: 2." in text
