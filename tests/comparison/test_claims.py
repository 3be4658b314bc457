"""Claims: effects with intervals, and what they say of a report's conclusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from quorum.comparison.claims import Known, describe, judge, table
from quorum.comparison.trainings import StoredTrainings
from quorum.study.claims import Claim, row_key
from quorum.study.model import PublishedRow, Study
from quorum.study.results import SeedResult
from quorum.voting.seed_votes import VotingTrial, vote_by_seed

STUDY = Study.model_validate({"dataset": "digits", "stages": [{"name": "lr", "vary": {"lr": [0.1]}}]})


def known(identity: str, values: Sequence[float], test: float = 0.0, **more: Any) -> Known:
    seeds = {
        n: SeedResult(n, f"{identity}-{n}", {"best/val_accuracy": value, "test/accuracy": value + test})
        for n, value in enumerate(values)
    }
    row = PublishedRow.model_validate({"id": identity, **more})
    return Known(STUDY, row, StoredTrainings(finished=seeds))


def no_history(_run_id: str) -> pd.DataFrame:
    raise AssertionError("no epochs are needed")


def outcome(check: dict[str, Any], *systems: Known) -> str:
    claim = Claim.model_validate({"id": "c", "says": "So it is.", "checks": [check]})
    by_key = {row_key(system.row.id, {}): system for system in systems}
    [judged] = judge([claim], by_key, no_history)
    return judged.outcome


A, B = {"id": "a"}, {"id": "b"}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0.8, 0.81, 0.82), (0.7, 0.71, 0.72), "holds"),
        ((0.7, 0.71, 0.72), (0.8, 0.81, 0.82), "does not hold"),
        ((0.7, 0.81, 0.72), (0.8, 0.71, 0.72), "undecided"),
        ((0.5, 0.7, 0.9), (0.49, 0.689, 0.891), "holds"),  # seed by seed it is plain, and not from the two means
        ((0.8,), (0.7,), "undecided"),  # nothing is known of the spread
        ((), (0.7,), "not run"),
    ],
)
def test_a_difference(a: Sequence[float], b: Sequence[float], expected: str) -> None:
    assert outcome({"difference": [A, B], "above": 0}, known("a", a), known("b", b)) == expected


def balanced(identity: str, values: Sequence[float]) -> Known:
    """Trainings that are equally accurate, with these balanced accuracies."""
    metrics = [{"best/val_accuracy": 0.5, "best/val_balanced_accuracy": value} for value in values]
    seeds = {n: SeedResult(n, f"{identity}-{n}", found) for n, found in enumerate(metrics)}
    return Known(STUDY, PublishedRow(id=identity), StoredTrainings(finished=seeds))


def test_another_metric() -> None:
    a, b = balanced("a", (0.8, 0.81, 0.82)), balanced("b", (0.7, 0.71, 0.72))
    check = {"difference": [A, B], "metric": "balanced_accuracy", "above": 0.05}
    assert outcome(check, a, b) == "holds"
    assert outcome({**check, "metric": "accuracy"}, a, b) == "does not hold"
    assert outcome({**check, "metric": "macro_f1"}, a, b) == "not run"
    assert outcome({"mean": A, "metric": "balanced_accuracy", "above": 0.7}, a) == "holds"


def test_a_row_that_was_not_run_at_all() -> None:
    assert outcome({"difference": [A, B], "above": 0}, known("a", (0.8, 0.81))) == "not run"


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"above": 0.7}, "holds"),
        ({"above": 0.9}, "does not hold"),
        ({"above": 0.8}, "undecided"),
        ({"below": 0.9}, "holds"),
    ],
)
def test_a_mean(bound: dict[str, float], expected: str) -> None:
    assert outcome({"mean": A, **bound}, known("a", (0.79, 0.8, 0.81))) == expected


def test_equality_needs_narrow_intervals() -> None:
    check = {"difference": [A, B], "within": 0.004}
    near, wide = known("b", (0.8, 0.801, 0.799)), known("b", (0.79, 0.82, 0.8))
    assert outcome(check, known("a", (0.801, 0.8015, 0.8)), near) == "holds"
    assert outcome(check, known("a", (0.8, 0.8, 0.8)), wide) == "undecided"
    assert outcome(check, known("a", (0.9, 0.9, 0.9)), near) == "does not hold"


def test_test_minus_validation() -> None:
    check = {"test_minus_validation": A, "within": 0.02}
    assert outcome(check, known("a", (0.8, 0.7, 0.6), test=0.01)) == "holds"
    assert outcome(check, known("a", (0.8, 0.7, 0.6), test=0.05)) == "does not hold"


def test_failing() -> None:
    check = {"fails": A}
    assert outcome(check, known("a", (0.09, 0.1, 0.1), fails_below=0.12)) == "holds"
    assert outcome(check, known("a", (0.09, 0.1, 0.5), fails_below=0.12)) == "undecided"
    assert outcome(check, known("a", (0.5, 0.5, 0.5), fails_below=0.12)) == "does not hold"
    diverged = Known(STUDY, PublishedRow(id="a"), StoredTrainings(failed=dict.fromkeys(range(3), "nan")))
    assert outcome(check, diverged) == "holds"
    assert outcome(check, known("a", ())) == "not run"


def test_what_later_epochs_gained() -> None:
    histories = {
        "a-0": pd.DataFrame({"epoch": [1, 2, 3, 4], "val/accuracy": [0.5, 0.7, 0.72, 0.71]}),
        "a-1": pd.DataFrame({"epoch": [1, 2, 3, 4], "val/accuracy": [0.5, 0.7, 0.69, 0.73]}),
    }
    claim = Claim.model_validate({"id": "c", "says": "", "checks": [{"gain": {"id": "a", "epoch": 2}, "above": 0}]})
    [judged] = judge([claim], {row_key("a", {}): known("a", (0.72, 0.73))}, histories.__getitem__)
    [effect] = judged.effects
    assert effect.value == pytest.approx(0.025)
    assert (effect.n, effect.outcome) == (2, "undecided")


def test_a_vote_against_its_best_member() -> None:
    frame = pd.DataFrame({"split": ["val"] * 4, "file": list("abcd"), "true": list("xyxy"), "predicted": list("xyxx")})
    right = frame.assign(predicted=list("xyxy"))
    members = [
        VotingTrial("one", 0.9, {0: frame, 1: frame, 2: right}),
        VotingTrial("two", 0.8, dict.fromkeys(range(3), right)),
    ]
    vote = vote_by_seed([*members, VotingTrial("three", 0.7, dict.fromkeys(range(3), right))])
    system = Known(STUDY, PublishedRow(id="a"), vote=vote)
    assert outcome({"vote_minus_best": A, "above": 0}, system) == "undecided"  # 0.25, 0.25, 0
    assert outcome({"vote_minus_best": A, "above": 0}, Known(STUDY, PublishedRow(id="a"))) == "not run"


def test_all_checks_have_to_hold_and_the_table_has_a_line_for_each() -> None:
    checks = [{"mean": A, "above": 0.5}, {"mean": A, "above": 0.9}]
    claims = [
        Claim.model_validate({"id": "both", "says": "Much.", "checks": checks}),
        Claim.model_validate({"id": "none", "says": "Not tried."}),
    ]
    judged = judge(claims, {row_key("a", {}): known("a", (0.79, 0.8, 0.81))}, no_history)
    assert [one.outcome for one in judged] == ["does not hold", "not run"]
    lines = table(judged)
    assert list(lines["claim"]) == ["both", "", "none"]
    assert list(lines["outcome"]) == ["holds", "does not hold", "not run"]
    assert lines["check"].iloc[0] == "a above 0.5"
    assert judged[0].data()["effects"][0]["interval"] == [
        pytest.approx(0.77516, abs=1e-5),
        pytest.approx(0.82484, abs=1e-5),
    ]


def test_checks_in_words() -> None:
    check = {"difference": [{"id": "a", "at": {"lr": 0.1}}, B], "within": 0.004}
    other = {"mean": A, "metric": "balanced_accuracy", "above": 0}
    claim = Claim.model_validate({"id": "c", "says": "", "checks": [check, {"fails": A}, other]})
    assert [describe(one) for one in claim.checks] == [
        "a at lr=0.1 − b within ± 0.004",
        "a fails",
        "a, balanced accuracy above 0",
    ]
