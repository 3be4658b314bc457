"""Which weights a sweep keeps, and that it leaves those of others alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from quorum.metric_names import BEST_VAL_ACCURACY
from quorum.study.results import SeedResult, TrialRequest, TrialResult
from quorum.sweeps.weights import KeptWeights
from quorum.tracking.queries import get_training
from quorum.tracking.records import Record, TrainingRecord, TrialRecord
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.training.folders import WorkFolders
from quorum.training.prepare import Preparer
from tests.training.conftest import CONFIG

Trained = Callable[..., TrialResult]


@pytest.fixture
def sweep(preparer: Preparer) -> RunLog:
    return begin_run(preparer.store, "a sweep", Record(kind="sweep", key="k"))


@pytest.fixture
def trained(preparer: Preparer, folders: WorkFolders, sweep: RunLog) -> Trained:
    """Makes a trial of one seed whose weights wait."""

    def make(accuracy: float, number: int = 0, stage: str = "lr", of: str = "") -> TrialResult:
        origin = of or sweep.run_id
        begun = begin_run(preparer.store, "seed 0", TrainingRecord(kind="seed", sweep_run_id=origin))
        folders.bundle(begun.run_id).create()
        trial = begin_run(preparer.store, f"trial {number}", TrialRecord(kind="trial", sweep_run_id=sweep.run_id))
        seed = SeedResult(0, begun.run_id, {BEST_VAL_ACCURACY: accuracy}, reused=bool(of), source=of)
        return TrialResult(TrialRequest(stage, number, {}, CONFIG), trial.run_id, (seed,))

    return make


def kept(weights: KeptWeights) -> list[int]:
    return [trial.request.number for trial in weights._best]


def waits(folders: WorkFolders, trial: TrialResult) -> bool:
    return folders.bundle(trial.seeds[0].run_id).exists()


@pytest.fixture
def weights(preparer: Preparer, folders: WorkFolders, sweep: RunLog) -> KeptWeights:
    return KeptWeights(preparer, folders, preparer.store, sweep.run_id, count=2)


def test_of_equals_the_first_of_the_file_are_kept_whichever_ended_first(
    preparer: Preparer, folders: WorkFolders, sweep: RunLog, trained: Trained
) -> None:
    trials = [trained(1.0, number) for number in range(3)]
    for order in itertools.permutations(trials):
        weights = KeptWeights(preparer, folders, preparer.store, sweep.run_id, count=2)
        for trial in order:
            weights.add(trial)
        assert kept(weights) == [0, 1]


def test_an_earlier_stage_comes_first_among_equals(weights: KeptWeights, trained: Trained) -> None:
    first, second = trained(1.0, 5), trained(1.0, 0, stage="epochs")
    for trial in (first, second, trained(0.5, 1, stage="epochs")):
        weights.add(trial)
    assert kept(weights) == [5, 0]


def test_what_another_sweep_has_trained_waits_for_that_one(
    weights: KeptWeights, folders: WorkFolders, trained: Trained
) -> None:
    linked = [trained(accuracy, number, of="another") for number, accuracy in enumerate((0.1, 0.2))]
    own = [trained(accuracy, number) for number, accuracy in enumerate((0.3, 0.9, 0.8), 2)]
    for trial in linked + own:
        weights.add(trial)
    assert kept(weights) == [3, 4]
    assert [waits(folders, trial) for trial in linked + own] == [True, True, False, True, True]


@pytest.mark.parametrize("linked", [False, True])
def test_a_model_that_a_trial_of_another_sweep_points_at_is_not_deleted(
    weights: KeptWeights, preparer: Preparer, trained: Trained, linked: bool
) -> None:
    worst, *better = trained(0.1), trained(0.5, 1), trained(0.6, 2)
    client, run_id = preparer.store.client, worst.seeds[0].run_id
    training = get_training(preparer.store, run_id)
    model = client.create_logged_model(training.experiment_id, name="model", source_run_id=run_id)
    RunLog(preparer.store, training).set(model_id=model.model_id)
    if linked:
        record = TrialRecord(kind="trial", sweep_run_id="another", model_id=model.model_id)
        begin_run(preparer.store, "links it", record)
    for trial in (worst, *better):
        weights.add(trial)
    assert kept(weights) == [2, 1]
    assert (get_training(preparer.store, run_id).model_id == model.model_id) == linked
    assert bool(client.search_logged_models([training.experiment_id])) == linked
