"""What trials have recorded of themselves."""

from __future__ import annotations

from quorum.promotion.recorded import seeds_of
from quorum.tracking.records import TrialRecord


def test_the_seeds_of_a_trial_and_of_a_training() -> None:
    trial = TrialRecord(kind="trial", run_id="t", seed_runs={"0": "a", "7": "b"})
    assert seeds_of(trial) == {0: "a", 7: "b"}
    for text in ("7", "7.0"):  # as it was typed
        assert seeds_of(TrialRecord(kind="train", run_id="r", params={"seed": text})) == {7: "r"}
