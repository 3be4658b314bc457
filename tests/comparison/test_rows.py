"""Rows of a comparison: what was published beside what is stored, and why something is missing."""

from __future__ import annotations

import pandas as pd
import pytest

from quorum.comparison.rows import row_data, trial_row, vote_row
from quorum.comparison.trainings import StoredTrainings
from quorum.config import TrialConfig
from quorum.study.model import PublishedRow
from quorum.study.plan import PlannedTrial
from quorum.study.results import SeedResult
from quorum.voting.seed_votes import VotingTrial, vote_by_seed

PUBLISHED = PublishedRow(id="a", val_accuracy=0.5, std=0.01)
TRIAL = PlannedTrial(0, {"lr": 0.1}, TrialConfig(lr=0.1), 1, (PUBLISHED,))


def stored(*accuracies: float) -> StoredTrainings:
    seeds = {
        seed: SeedResult(seed, f"r{seed}", {"best/val_accuracy": accuracy, "test/accuracy": accuracy})
        for seed, accuracy in enumerate(accuracies)
    }
    return StoredTrainings("d", seeds)


def test_ours_beside_theirs() -> None:
    row = trial_row(PUBLISHED, TRIAL, stored(0.5, 0.52))
    assert (row.verdict, row.ours.n, row.reason) == ("reproduced", 2, "")
    data = row_data("study", "lr", row)
    assert data["mean"] == pytest.approx(0.51)
    assert (data["id"], data["settings"], data["published"]) == ("a", {"lr": 0.1}, 0.5)
    assert trial_row(None, TRIAL, stored(0.5)).verdict == "no number"


def test_why_there_is_nothing() -> None:
    assert trial_row(PUBLISHED, TRIAL, StoredTrainings()).reason == "not run yet"
    assert trial_row(PUBLISHED, TRIAL, StoredTrainings(begun=True)).reason == "begun, not finished"
    failed = trial_row(PUBLISHED, TRIAL, StoredTrainings(failed={1: "nan", 0: "inf"}))
    assert (failed.verdict, failed.reason) == ("not run", "seed 0 failed: inf; seed 1 failed: nan")


def test_a_vote_is_a_row() -> None:
    frame = pd.DataFrame({"split": ["val", "test"], "file": ["a", "b"], "true": ["x", "y"], "predicted": ["x", "x"]})
    vote = vote_by_seed([VotingTrial("one", 0.5, {0: frame}), VotingTrial("two", 0.4, {0: frame})])
    row = vote_row(PUBLISHED, vote, "")
    assert (row.ours.mean, row.test.mean, row.verdict) == (1.0, 0.0, "better")
    assert vote_row(None, None, "not run yet: one").reason == "not run yet: one"
