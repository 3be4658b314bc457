"""Rows of a comparison: what was published beside what is stored, and why something is missing."""

from __future__ import annotations

import pandas as pd
import pytest

from quorum.comparison.rows import row_data, trial_row, vote_row
from quorum.comparison.tables import table
from quorum.comparison.trainings import StoredTrainings
from quorum.config import TrialConfig
from quorum.inference import Interval
from quorum.study.model import PublishedRow, Study
from quorum.study.plan import PlannedTrial
from quorum.study.results import SeedResult
from quorum.voting.seed_votes import VotingTrial, vote_by_seed

PUBLISHED = PublishedRow(id="a", val_accuracy=0.5, std=0.01)
TRIAL = PlannedTrial(0, {"lr": 0.1}, TrialConfig(lr=0.1), 1, (PUBLISHED,))


def stored(*accuracies: float) -> StoredTrainings:
    seeds = {
        seed: SeedResult(
            seed,
            f"r{seed}",
            {
                "best/val_accuracy": accuracy,
                "last/val_accuracy": accuracy - 0.1,
                "test/accuracy": accuracy,
                "last/test_accuracy": accuracy - 0.2,
            },
        )
        for seed, accuracy in enumerate(accuracies)
    }
    return StoredTrainings(finished=seeds)


STUDY = Study.model_validate({"dataset": "digits", "stages": [{"name": "lr", "vary": {"lr": [0.1]}}]})
LAST = STUDY.model_copy(update={"accuracy": "last"})


def test_ours_beside_theirs() -> None:
    row = trial_row(PUBLISHED, TRIAL, stored(0.5, 0.505, 0.495), STUDY, "a note")
    assert (row.verdict, row.ours.n, row.reason) == ("reproduced", 3, "a note")
    data = row_data("study", "lr", row)
    assert data["mean"] == pytest.approx(0.5)
    assert (data["id"], data["settings"], data["published"]) == ("a", {"lr": 0.1}, 0.5)
    assert (data["best_mean"], data["last_mean"]) == (pytest.approx(0.5), pytest.approx(0.4))
    assert data["collapsed"]
    assert data["interval"] == [pytest.approx(0.48758, abs=1e-5), pytest.approx(0.51242, abs=1e-5)]
    assert trial_row(None, TRIAL, stored(0.5), STUDY).verdict == "no number"


def test_the_study_says_which_epoch_is_meant() -> None:
    row = trial_row(PUBLISHED, TRIAL, stored(0.5, 0.505, 0.495), LAST)
    assert row.ours.mean == pytest.approx(0.4)
    assert row.test.mean == pytest.approx(0.3)
    assert row.verdict == "lower"


def test_a_published_test_figure_is_judged_too() -> None:
    published = PublishedRow(id="a", val_accuracy=0.5, test_accuracy=0.7)
    row = trial_row(published, TRIAL, stored(0.5, 0.501, 0.499), STUDY)
    assert row.test_judged is not None
    assert (row.verdict, row.test_judged.word) == ("reproduced", "lower")
    assert row_data("study", "lr", row)["test_verdict"] == "lower"
    assert trial_row(PUBLISHED, TRIAL, stored(0.5), STUDY).test_judged is None


def test_a_row_that_has_to_fail() -> None:
    published = PublishedRow(id="a", fails_below=0.12)
    diverged = StoredTrainings(failed=dict.fromkeys(range(3), "nan"))
    assert trial_row(published, TRIAL, diverged, STUDY).verdict == "reproduced"
    assert trial_row(published, TRIAL, stored(0.09, 0.1, 0.11), STUDY).verdict == "reproduced"
    assert trial_row(published, TRIAL, stored(0.09, 0.1, 0.5), STUDY).verdict == "inconclusive"
    assert trial_row(published, TRIAL, stored(0.4, 0.5, 0.5), STUDY).verdict == "higher"
    assert trial_row(published, TRIAL, stored(0.09), STUDY).verdict == "inconclusive"
    assert trial_row(published, TRIAL, StoredTrainings(), STUDY).verdict == "not run"


def test_why_there_is_nothing() -> None:
    assert trial_row(PUBLISHED, TRIAL, StoredTrainings(), STUDY).reason == "not run yet"
    assert trial_row(PUBLISHED, TRIAL, StoredTrainings(begun=True), STUDY).reason == "begun, not finished"
    failed = trial_row(PUBLISHED, TRIAL, StoredTrainings(failed={1: "nan", 0: "inf"}), STUDY)
    assert (failed.verdict, failed.reason) == ("failed", "seed 0 failed: inf; seed 1 failed: nan")
    full = StoredTrainings(begun=True, ended={0: "the disk is full"})
    for row in (PUBLISHED, PublishedRow(id="a", fails_below=0.12)):
        ended = trial_row(row, TRIAL, full, STUDY)
        assert (ended.verdict, ended.failed) == ("not run", 0)
        assert ended.reason == "begun, not finished; seed 0 ended with an error: the disk is full"
    some = stored(0.5, 0.505, 0.495)
    some.failed[3] = "nan"
    assert trial_row(PUBLISHED, TRIAL, some, STUDY).verdict == "inconclusive"  # never reproduced with a failed seed


def test_no_number_of_seeds_settles_a_row_of_which_one_failed() -> None:
    few = trial_row(PUBLISHED, TRIAL, stored(0.5, 0.505), STUDY)
    assert (few.verdict, row_data("study", "lr", few)["seeds_that_settle"]) == ("inconclusive", 3)
    assert table([few])["note"][0] == "about 3 seeds would settle it; collapse"
    some = stored(0.5, 0.505)
    some.failed[2] = "nan"
    failed = trial_row(PUBLISHED, TRIAL, some, STUDY)
    assert (failed.verdict, row_data("study", "lr", failed)["seeds_that_settle"]) == ("inconclusive", None)
    note = "a seed failed, so more of them would not reproduce it; collapse; seed 2 failed: nan"
    assert table([failed])["note"][0] == note
    two = StoredTrainings(failed=dict.fromkeys(range(2), "nan"))
    assert trial_row(PublishedRow(id="a", fails_below=0.12), TRIAL, two, STUDY).seeds_that_settle == 3


def test_a_vote_is_a_row() -> None:
    frame = pd.DataFrame({"split": ["val", "test"], "file": ["a", "b"], "true": ["x", "y"], "predicted": ["x", "x"]})
    seeds = dict.fromkeys(range(3), frame)
    vote = vote_by_seed([VotingTrial("one", 0.5, seeds), VotingTrial("two", 0.4, seeds)])
    row = vote_row(PUBLISHED, vote, "")
    assert (row.ours.mean, row.test.mean, row.verdict) == (1.0, 0.0, "higher")
    assert row.test_interval == Interval(0, 0)
    assert vote_row(None, None, "not run yet: one").reason == "not run yet: one"
