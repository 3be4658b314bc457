"""The runs below a sweep's: named, found again, and which of their trainings count."""

from __future__ import annotations

import dataclasses

import pytest

from quorum.study.results import SeedResult, TrialRequest
from quorum.sweeps.runs import OpenTrial, SweepRuns, close_as_failed, describe, title
from quorum.tracking.queries import get_record
from quorum.tracking.records import Record, TrialRecord
from quorum.tracking.run_log import RunLog, close_run
from quorum.tracking.runs import begin_run
from quorum.training.prepare import Preparer
from tests.training.conftest import CONFIG

REQUEST = TrialRequest("lr", 0, {"lr": 0.01}, CONFIG)
SEEDS = (0, 1)


@pytest.fixture
def log(preparer: Preparer) -> RunLog:
    return begin_run(preparer.store, "a sweep", Record(kind="sweep", key="k"))


def finish(runs: SweepRuns, trial: OpenTrial, seed: int, accuracy: float, start: int = 0) -> SeedResult:
    log = runs.begin_seed(trial, trial.prepared.with_seed(seed), f"seed {seed}", start, "other" if start else None)
    metrics = {"best/val_accuracy": accuracy, "test/accuracy": accuracy}
    log.metrics(metrics)
    close_run(log, None)
    return SeedResult(seed, log.run_id, metrics, shared_epochs=start)


def test_a_trial_is_named_by_what_it_varies() -> None:
    assert describe(REQUEST) == "lr=0.01"
    assert title(REQUEST) == "lr=0.01"
    assert title(dataclasses.replace(REQUEST, stage="rates")) == "rates: lr=0.01"
    assert title(dataclasses.replace(REQUEST, settings={})) == "lr: base"


def test_what_has_ended_is_found_by_a_sweep_that_goes_on(preparer: Preparer, log: RunLog) -> None:
    runs, trial = SweepRuns(log, SEEDS, reuse=True), OpenTrial(REQUEST, preparer.prepare(CONFIG))
    assert runs.stored_result(trial) is None
    assert runs.stored_seeds(trial) == {}
    trial.results[0] = finish(runs, trial, 0, 0.5)
    again, resumed = SweepRuns(log, SEEDS, reuse=True), OpenTrial(REQUEST, trial.prepared)
    assert again.stored_result(resumed) is None
    [stored] = again.stored_seeds(resumed).values()
    assert (stored.val_accuracy, stored.reused) == (0.5, False)
    trial.results[1] = finish(runs, trial, 1, 0.7, start=1)
    whole = runs.finish(trial)
    found = SweepRuns(log, SEEDS, reuse=True).stored_result(OpenTrial(REQUEST, trial.prepared))
    assert found is not None
    assert found.run_id == whole.run_id
    assert [(seed.val_accuracy, seed.shared_epochs) for seed in found.seeds] == [(0.5, 0), (0.7, 1)]


def test_trainings_of_another_sweep_are_linked_unless_that_is_not_wanted(preparer: Preparer, log: RunLog) -> None:
    other = begin_run(preparer.store, "another sweep", Record(kind="sweep", key="other"))
    finish(SweepRuns(other, SEEDS, reuse=True), OpenTrial(REQUEST, preparer.prepare(CONFIG)), 1, 0.6)
    trial = OpenTrial(REQUEST, preparer.prepare(CONFIG))
    linked = SweepRuns(log, SEEDS, reuse=True).stored_seeds(trial)
    assert {seed: result.reused for seed, result in linked.items()} == {1: True}
    assert SweepRuns(log, SEEDS, reuse=False).stored_seeds(trial) == {}


def test_one_that_diverged_counts_as_ended_and_one_that_failed_otherwise_does_not(
    preparer: Preparer, log: RunLog
) -> None:
    runs, trial = SweepRuns(log, SEEDS, reuse=True), OpenTrial(REQUEST, preparer.prepare(CONFIG))
    for seed, diverged in ((0, True), (1, False)):
        failed = runs.begin_seed(trial, trial.prepared.with_seed(seed), f"seed {seed}", 0, None)
        close_as_failed(failed, "the loss is nan" if diverged else "its worker died", 1, diverged=diverged)
    stored = SweepRuns(log, SEEDS, reuse=True).stored_seeds(OpenTrial(REQUEST, trial.prepared))
    assert {seed: result.reason for seed, result in stored.items()} == {0: "the loss is nan"}


def test_runs_of_other_settings_in_the_same_place_are_not_gone_on_with(preparer: Preparer, log: RunLog) -> None:
    """The stage before has another best trial since a training was done again that had failed."""
    runs, trial = SweepRuns(log, SEEDS, reuse=True), OpenTrial(REQUEST, preparer.prepare(CONFIG))
    trial.results = {seed: finish(runs, trial, seed, 0.5) for seed in SEEDS}
    old = runs.finish(trial)
    other = dataclasses.replace(REQUEST, config=CONFIG.replace(momentum=0.5))
    again, asked = SweepRuns(log, SEEDS, reuse=True), OpenTrial(other, preparer.prepare(other.config))
    assert again.stored_result(asked) is None
    assert again.stored_seeds(asked) == {}
    asked.results = {seed: finish(again, asked, seed, 0.6) for seed in SEEDS}
    new = again.finish(asked)
    before = {old.run_id, *(seed.run_id for seed in old.seeds)}
    assert before.isdisjoint({new.run_id, *(seed.run_id for seed in new.seeds)})
    assert again.superseded == before
    for wanted, result in ((trial, old), (asked, new)):
        found = SweepRuns(log, SEEDS, reuse=True).stored_result(OpenTrial(wanted.request, wanted.prepared))
        assert found is not None
        assert found.run_id == result.run_id


def test_a_trial_has_the_mean_of_the_seeds_that_it_has_in_the_end(preparer: Preparer, log: RunLog) -> None:
    runs, trial = SweepRuns(log, SEEDS, reuse=True), OpenTrial(REQUEST, preparer.prepare(CONFIG))
    lost = runs.begin_seed(trial, trial.prepared.with_seed(1), "seed 1", 0, None)
    close_as_failed(lost, "its worker died", 1, diverged=False)
    trial.results = {0: finish(runs, trial, 0, 0.5), 1: SeedResult(1, lost.run_id, reason="its worker died")}
    runs.finish(trial)
    again, resumed = SweepRuns(log, SEEDS, reuse=True), OpenTrial(REQUEST, trial.prepared)
    resumed.results = again.stored_seeds(resumed)
    resumed.results[1] = finish(again, resumed, 1, 0.7)
    metrics = get_record(preparer.store, TrialRecord, again.finish(resumed).run_id).metrics
    assert metrics["val_accuracy/n"] == 2
    assert metrics["val_accuracy/mean"] == pytest.approx(0.6)


def test_a_seed_that_diverged_for_another_trial_of_the_same_settings_is_not_trained_again(
    preparer: Preparer, log: RunLog
) -> None:
    runs, trial = SweepRuns(log, SEEDS, reuse=True), OpenTrial(REQUEST, preparer.prepare(CONFIG))
    diverged = runs.begin_seed(trial, trial.prepared.with_seed(0), "seed 0", 0, None)
    close_as_failed(diverged, "the loss is nan", 1, diverged=True)
    twin = OpenTrial(dataclasses.replace(REQUEST, number=1), trial.prepared)
    [stored] = SweepRuns(log, SEEDS, reuse=True).stored_seeds(twin).values()
    assert (stored.run_id, stored.reason, stored.reused) == (diverged.run_id, "the loss is nan", True)
