"""Verdicts: when our mean confirms a published one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from quorum.comparison import tables
from quorum.comparison.rows import Row
from quorum.comparison.verdicts import seeds_that_settle, verdict
from quorum.inference import Interval
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
    return Row({"lr": lr}, stated, summarize(values), test=summarize(test), reason=reason)


@pytest.mark.parametrize(
    ("published", "ours", "expected"),
    [
        # three published runs that hardly scatter
        (Summary(0.446, 0.000, 3), Summary(0.446, 0.002, 3), "reproduced"),
        (Summary(0.446, 0.000, 3), Summary(0.4627, 0.0015, 3), "reproduced"),  # 0.0167 and half a width of 0.0026
        (Summary(0.446, 0.000, 3), Summary(0.466, 0.002, 3), "inconclusive"),
        (Summary(0.446, 0.000, 3), Summary(0.476, 0.002, 3), "higher"),
        (Summary(0.446, 0.000, 3), Summary(0.416, 0.002, 3), "lower"),
        # 0.016 leaves 0.027 by itself: never reproduced by more seeds
        (Summary(0.446, 0.016, 3), Summary(0.446, 0.005, 3), "compatible"),
        (Summary(0.446, 0.016, 3), Summary(0.402, 0.048, 3), "inconclusive"),  # what was called reproduced
        (Summary(0.446, 0.016, 3), Summary(0.446, 0.100, 3), "inconclusive"),  # our noise is not rewarded
        (Summary(0.446, 0.016, 3), Summary(0.540, 0.005, 3), "higher"),
        (Summary(0.160, 0.085, 3), Summary(0.160, 0.005, 3), "inconclusive"),  # nothing can be said of such a row
        # a single published run is one draw with our spread
        (Summary(0.446, None, 1), Summary(0.446, 0.002, 3), "reproduced"),
        (Summary(0.446, None, 1), Summary(0.446, 0.010, 3), "inconclusive"),
        (Summary(0.446, None, 1), Summary(0.500, 0.002, 3), "higher"),
        # fewer than three seeds
        (Summary(0.446, 0.000, 3), Summary(0.446, 0.0001, 2), "inconclusive"),
        (Summary(0.446, 0.016, 3), Summary(0.446, None, 1), "inconclusive"),
        # the same in all seeds, as a network is that does not learn
        (Summary(0.092, 0.000, 3), Summary(0.0916, 0.0, 3), "reproduced"),
        (Summary(0.09, None, 1), Summary(0.0916, 0.0, 3), "reproduced"),
    ],
)
def test_verdicts(published: Summary, ours: Summary, expected: str) -> None:
    assert verdict(published, ours).word == expected


def test_the_old_row_that_was_reproduced_against_everything_is_not_any_more() -> None:
    """AlexNet at 0.4021 ± 0.0481 was called reproduced against 13 of the 15 rows of its tables."""
    tables_of_the_report = [0.092, 0.298, 0.446, 0.344, 0.160, 0.328, 0.434, 0.451, 0.498, 0.321, 0.476, 0.504]
    words = {verdict(Summary(mean, 0.01, 3), Summary(0.4021, 0.0481, 3)).word for mean in tables_of_the_report}
    assert words <= {"inconclusive", "higher", "lower"}


def test_nothing_is_reproduced_with_a_failed_seed_or_beyond_the_margin() -> None:
    published, ours = Summary(0.446, 0.000, 3), Summary(0.446, 0.002, 3)
    assert verdict(published, ours, failed=True).word == "inconclusive"
    assert verdict(published, ours, 0.001).word == "inconclusive"
    assert verdict(published, Summary(0.456, 0.001, 3), 0.005).word == "higher"


def test_how_many_seeds_would_settle_it() -> None:
    published, ours = Summary(0.446, 0.000, 3), Summary(0.451, 0.02, 3)
    seeds = seeds_that_settle(published, ours)
    assert seeds is not None
    assert verdict(published, Summary(0.451, 0.02, seeds)).word == "reproduced"
    assert verdict(published, Summary(0.451, 0.02, seeds - 1)).word == "inconclusive"
    assert seeds_that_settle(Summary(0.160, 0.085, 3), Summary(0.160, 0.005, 3)) is None
    assert seeds_that_settle(published, Summary(0.45, None, 1)) == 3


def test_rows_without_runs_or_numbers() -> None:
    assert row([]).verdict == "not run"
    assert row(val_accuracy=None, figure=14).verdict == "no number"
    assert row([], val_accuracy=None).verdict == "not run"
    assert row().ours.mean == pytest.approx(0.52)
    assert row().ours.std == pytest.approx(0.01)
    assert row([0.5]).ours.std is None


def test_a_table_says_it_all_and_drops_what_is_empty() -> None:
    table = tables.table([row(), row([], [], lr=0.1, reason="not run yet")])
    first, second = table.to_dict("records")
    assert first == {
        "lr": "0.05",
        "published": "0.5000",
        "ours": "0.5200 ± 0.0100",
        "95% interval": "[0.4952, 0.5448]",
        "best epoch": "–",
        "last epoch": "–",
        "n": "3",
        "difference": "+0.0200 [-0.014, +0.054]",
        "verdict": "inconclusive",
        "our test": "0.5000 ± 0.1000",
        "id": "a",
        "note": "more seeds would not settle it",
    }
    assert (second["ours"], second["n"], second["verdict"], second["note"]) == ("–", "0", "not run", "not run yet")
    tested = dataclasses.replace(row(), test_interval=Interval(0.4, 0.6))
    assert list(tables.table([tested, row()])["test interval"]) == ["[0.4000, 0.6000]", "–"]
    assert "note" not in tables.table([row(values=(0.5, 0.5001, 0.4999))])
    assert tables.table([row(val_accuracy=None, figure=12)])["published"][0] == "figure 12"


def test_counts_and_bars() -> None:
    rows = [row(), row(std=0.01), row(lr=0.1, val_accuracy=0.9)]
    assert tables.counts(rows) == {"lower": 1, "inconclusive": 2}
    bars = tables.bars(rows)
    assert list(bars["lr"]) == [0.05, 0.1]
    assert bars["published std"][0] == 0.01
