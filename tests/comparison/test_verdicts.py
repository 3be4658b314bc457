"""Verdicts: when our mean confirms a published one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from quorum.comparison import tables
from quorum.comparison.rows import Row
from quorum.comparison.verdicts import half_width, verdict
from quorum.study.model import PublishedRow
from quorum.summary import Summary, summarize


def row(
    values: Sequence[float] = (0.51, 0.52, 0.53),
    test: Sequence[float] = (0.4, 0.5, 0.6),
    lr: float = 0.05,
    reason: str = "",
    **published: Any,
) -> Row:
    stated = PublishedRow.model_validate({"id": "a", "val_accuracy": 0.5, **published})
    return Row({"lr": lr}, stated, summarize(values), summarize(test), reason)


@pytest.mark.parametrize(
    ("published", "published_std", "mean", "std", "n", "expected"),
    [
        (0.446, 0.016, 0.446, None, 1, "reproduced"),
        (0.446, 0.000, 0.466, None, 1, "reproduced"),  # just within 0.02
        (0.446, 0.000, 0.467, None, 1, "better"),
        (0.446, 0.000, 0.425, None, 1, "differs"),
        (0.446, 0.016, 0.415, None, 1, "reproduced"),  # within two published std
        (0.446, 0.016, 0.413, None, 1, "differs"),
        (0.446, None, 0.500, 0.020, 3, "better"),  # half the interval is 0.0497
        (0.446, None, 0.495, 0.020, 3, "reproduced"),
        (0.446, None, 0.397, 0.020, 3, "reproduced"),
        (0.446, None, 0.390, 0.020, 3, "differs"),
        (0.446, None, 0.495, 0.001, 3, "better"),
    ],
)
def test_verdicts(
    published: float, published_std: float | None, mean: float, std: float | None, n: int, expected: str
) -> None:
    assert verdict(published, published_std, Summary(mean, std, n)) == expected


def test_the_interval_is_students() -> None:
    values = [0.41, 0.44, 0.47, 0.52]
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    low, high = stats.t.interval(0.95, 3, loc=mean, scale=std / 2)
    assert half_width(Summary(mean, std, 4)) == pytest.approx((high - low) / 2)
    assert half_width(Summary(0.5, None, 1)) == 0


def test_the_interval_covers_the_true_mean_in_95_of_100_cases() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.02, (4000, 3))
    inside = [abs(d.mean() - 0.5) <= half_width(summarize(d)) for d in draws]
    assert 0.94 < np.mean(inside) < 0.96


def test_rows_without_runs_or_numbers() -> None:
    assert row([]).verdict == "not run"
    assert row(val_accuracy=None, figure=14).verdict == "no number"
    assert row([], val_accuracy=None).verdict == "not run"
    assert row().ours.mean == pytest.approx(0.52)
    assert row().ours.std == pytest.approx(0.01)
    assert row([0.5]).ours.std is None


def test_a_table_says_it_all_and_drops_what_is_empty() -> None:
    table = tables.table([row(), row([], [], lr=0.1, reason="not run yet")])
    assert list(table.columns) == ["lr", "published", "ours", "n", "difference", "verdict", "our test", "id", "note"]
    assert list(table.iloc[0])[:7] == [
        "0.05",
        "0.5000",
        "0.5200 ± 0.0100",
        "3",
        "+0.0200",
        "reproduced",
        "0.5000 ± 0.1000",
    ]
    assert list(table.iloc[1]) == ["0.1", "0.5000", "–", "0", "–", "not run", "–", "a", "not run yet"]
    assert "note" not in tables.table([row()])
    assert tables.table([row(val_accuracy=None, figure=12)])["published"][0] == "figure 12"


def test_counts_and_bars() -> None:
    rows = [row(), row(std=0.01), row(lr=0.1, val_accuracy=0.9)]
    assert tables.counts(rows) == {"reproduced": 2, "differs": 1}
    bars = tables.bars(rows)
    assert list(bars["lr"]) == [0.05, 0.1]
    assert bars["published std"][0] == 0.01
