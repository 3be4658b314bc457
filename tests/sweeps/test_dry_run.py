"""What a sweep would do, against what it does."""

from __future__ import annotations

import dataclasses

import pytest

from quorum.engine.history import EpochRecord
from quorum.study.model import Stage, Study
from quorum.study.plan import epochs_to_train, epochs_written, plan
from quorum.study.values import Range
from quorum.sweeps.checkpoints import state_bytes
from quorum.sweeps.dry_run import Forecast, forecast
from quorum.sweeps.run import SweepSettings
from quorum.tracking.records import TrainingRecord, training_identity
from quorum.tracking.runs import begin_run
from quorum.training.prepare import Preparer
from tests.training.conftest import CONFIG

BASE = CONFIG.replace(step_size=0, epochs=4)
STATE = state_bytes(CONFIG)
STUDY = Study(
    dataset=CONFIG.dataset,
    stages=(
        Stage(name="lr", vary={"lr": [0.02, 0.05]}),
        Stage(name="epochs", set={"lr": 0.05}, vary={"epochs": [2, 4, 6]}),
        Stage(name="step-size", set={"lr": 0.05, "epochs": 6}, vary={"step_size": [3, 5]}),
    ),
)


def of(preparer: Preparer, study: Study = STUDY, limit: float = 1e12, reuse: bool = True, jobs: int = 1) -> Forecast:
    return forecast(study, plan(study, BASE), SweepSettings((0, 1), reuse=reuse), preparer, jobs, limit)


def train(preparer: Preparer, seed: int, seconds: float, **settings: object) -> None:
    """A finished training, without the work."""
    prepared = preparer.prepare(BASE.replace(seed=seed, **settings))
    identity = training_identity(prepared.config, prepared.data_digest, prepared.numerics)
    with begin_run(preparer.store, "a training", TrainingRecord(kind="seed", **identity)) as log:
        log.params(prepared.config.model_dump())
        log.epochs([EpochRecord(1, {"epoch_seconds": seconds})])


def test_the_epochs_are_those_of_the_plan(preparer: Preparer) -> None:
    found, planned = of(preparer), plan(STUDY, BASE)
    assert (found.trainings, found.written) == (14, 2 * epochs_written(planned))
    assert found.to_train == 2 * epochs_to_train(planned) == 2 * (4 + 4 + 2 + 3 + 1)
    assert found.written == found.to_train + found.shared + found.reused
    assert found.reused == 2 * 4  # the stage `epochs` repeats a trial of `lr`
    assert [trial.reused for trial in found.trials] == [0, 0, 0, 2, 0, 0, 0]
    assert (found.seconds, found.unknown) == (None, [CONFIG.model])


def test_states_are_those_that_are_kept_at_one_time(preparer: Preparer) -> None:
    found = of(preparer)
    assert found.states > 0
    assert found.state_bytes == (found.states + 1) * STATE
    assert of(preparer, jobs=3).state_bytes == (found.states + 3) * STATE
    without = of(preparer, limit=0)
    assert (without.states, without.state_bytes, without.shared) == (0, STATE, 0)
    assert without.to_train > found.to_train


def test_what_the_store_holds_is_not_trained_and_tells_the_time(preparer: Preparer) -> None:
    before = of(preparer)
    for seed, seconds in ((0, 2.0), (1, 4.0)):
        train(preparer, seed, seconds, lr=0.02)
    found = of(preparer)
    assert found.trials[0].reused == 2
    assert (found.to_train, found.reused) == (before.to_train - 8, before.reused + 8)
    assert found.seconds == pytest.approx(3.0 * found.to_train)
    assert not found.unknown
    assert of(preparer, reuse=False).to_train == before.to_train
    another = dataclasses.replace(preparer.machine, numerics="another kind of machine")
    assert of(Preparer(preparer.data, another, preparer.store)).unknown == [CONFIG.model]


def test_a_search_counts_in_full(preparer: Preparer) -> None:
    search = Stage(name="s", search="tpe", ranges={"lr": Range(low=0.1, high=0.2)}, trials=5)
    found = of(preparer, Study(dataset=CONFIG.dataset, stages=(search,)))
    assert (found.trainings, found.written, found.to_train, found.shared) == (10, 40, 40, 0)
