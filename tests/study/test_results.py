"""The project's one definition of mean, std and best."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.config import TrialConfig
from quorum.study.model import Stage
from quorum.study.results import SeedResult, StageResult, TrialRequest, TrialResult
from quorum.summary import Summary, best_of, summarize

fractions = st.floats(0, 1)


def seed(number: int, accuracy: float | None) -> SeedResult:
    if accuracy is None:
        return SeedResult(number, f"run-{number}", reason="the loss is nan")
    metrics = {"best/val_accuracy": accuracy, "test/accuracy": accuracy / 2, "best/epoch": 3.0, "best/val_loss": 0.5}
    return SeedResult(number, f"run-{number}", metrics)


def trial(number: int, *accuracies: float | None) -> TrialResult:
    request = TrialRequest("lr", number, {}, TrialConfig())
    return TrialResult(request, "run", tuple(seed(i, accuracy) for i, accuracy in enumerate(accuracies)))


def test_std_is_the_sample_standard_deviation() -> None:
    assert summarize([1.0, 2.0, 3.0]) == Summary(2.0, 1.0, 3)
    assert summarize([2.0]) == Summary(2.0, None, 1)
    assert summarize(iter(())) == Summary(None, None, 0)


@given(st.lists(fractions, min_size=2, max_size=9))
def test_a_summary_is_that_of_the_standard_library(values: list[float]) -> None:
    assert summarize(values) == Summary(statistics.fmean(values), statistics.stdev(values), len(values))


@given(st.lists(st.none() | fractions, max_size=9))
def test_the_best_is_the_first_with_the_highest_value(values: list[float | None]) -> None:
    best = best_of(range(len(values)), lambda place: values[place])
    known = [value for value in values if value is not None]
    assert best == (values.index(max(known)) if known else None)


def test_a_seeds_metrics_by_name() -> None:
    one = seed(0, 0.5)
    assert (one.val_accuracy, one.test_accuracy, one.val_loss, one.best_epoch) == (0.5, 0.25, 0.5, 3)
    failed = seed(0, None)
    assert (failed.val_accuracy, failed.test_accuracy, failed.val_loss, failed.best_epoch) == (None,) * 4


def test_a_trials_metric_is_summarized_over_the_seeds_that_have_it() -> None:
    assert trial(0, 0.5, None, 0.7).of("best/val_accuracy") == summarize([0.5, 0.7])
    assert trial(0, 0.5).of("last/val_accuracy") == Summary(None, None, 0)


@pytest.mark.parametrize(
    ("accuracies", "best"), [((0.1, 0.3, 0.3), 1), ((None, 0.0), 1), ((None, None), 0), ((0.2, None), 0)]
)
def test_the_best_seed(accuracies: tuple[float | None, ...], best: int) -> None:
    assert trial(0, *accuracies).best_seed.seed == best


def test_the_best_trial_did_not_fail() -> None:
    trials = (trial(0, 0.5, 0.5), trial(1, 0.9, None), trial(2, 0.4, 0.8), trial(3, 0.6, 0.6))
    stage = Stage(name="lr")
    best = StageResult(stage, trials).best
    assert best is not None
    assert best.request.number == 2
    assert StageResult(stage, (trial(0, None),)).best is None
