"""How far a sweep is: trainings by number, each shared epoch once, the time that is left."""

from __future__ import annotations

import pytest

from quorum.config import TrialConfig
from quorum.study.model import Stage, Study
from quorum.study.plan import plan
from quorum.study.prefix import TrainingPath
from quorum.study.values import Range
from quorum.sweeps import progress
from quorum.sweeps.progress import SweepProgress

BASE = TrialConfig(model="scratch-simple", epochs=2, step_size=0)
STUDY = Study(
    dataset="digits",
    base={"model": "scratch-simple", "epochs": 2, "step_size": 0},
    stages=(Stage(name="lr", vary={"lr": [0.1, 0.2]}), Stage(name="epochs", vary={"epochs": [2, 4]})),
)


def path(seed: int, **settings: object) -> TrainingPath:
    return TrainingPath(BASE.replace(seed=seed, **settings))


def begun() -> SweepProgress:
    """The first stage of STUDY over two seeds."""
    sweep = SweepProgress((0, 1), plan(STUDY, STUDY.first_config({})))
    sweep.ask("lr", 2, 0, [path(seed, lr=lr) for lr in (0.1, 0.2) for seed in (0, 1)])
    return sweep


def test_trainings_are_numbered_and_shared_epochs_count_once() -> None:
    sweep = begun()
    assert (sweep.trainings, sweep.epochs_left()) == (8, 2 * (2 + 2 + 2))  # the second stage begins as the first has
    assert sweep.time_left() == ""  # nothing is known yet
    assert sweep.begin() == "training 1 of 8"
    sweep.trained(path(0, lr=0.1), 1, 30.0)
    assert (sweep.epochs_left(), sweep.time_left()) == (11, "6 min left in all")
    assert sweep.begin() == "training 2 of 8"
    assert sweep.time_left() == "3 min left in all"  # side by side


def test_what_need_not_be_trained_is_not_left() -> None:
    sweep = begun()
    sweep.begin()
    sweep.restored(path(0, lr=0.1), 2)
    assert sweep.epochs_left() == 10
    sweep.begin()
    sweep.trained(path(1, lr=0.1), 1, 1.0)
    sweep.end(path(1, lr=0.1))  # early stopping, or a failure
    assert sweep.epochs_left() == 8
    sweep.ask("epochs", 2, stored=2, paths=[path(seed, lr=0.2, epochs=4) for seed in (0, 1)])
    assert sweep.epochs_left() == 8  # another rate than was planned is the best: all four epochs, two of them asked for
    assert sweep.begin() == "training 5 of 8"


def test_trials_of_a_search_share_nothing_and_are_asked_for_one_by_one() -> None:
    study = STUDY.model_copy(
        update={"stages": (Stage(name="s", search="tpe", ranges={"lr": Range(low=0.1, high=0.2)}, trials=3),)}
    )
    sweep = SweepProgress((0, 1), plan(study, study.first_config({})))
    assert (sweep.trainings, sweep.epochs_left()) == (6, 12)
    sweep.ask("s", 1, 0, [path(seed, lr=0.15) for seed in (0, 1)])
    assert (sweep.trainings, sweep.epochs_left()) == (6, 12)


def test_trials_that_nobody_has_planned_count_when_they_are_asked_for() -> None:
    sweep = SweepProgress((0, 1))
    sweep.ask("fresh", 1, 0, [path(seed) for seed in (0, 1)])
    assert (sweep.trainings, sweep.epochs_left()) == (2, 4)


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "interactive", lambda: True)
    sweep = begun()
    sweep.begin()
    sweep.trained(path(0, lr=0.1), 1, 30.0)
    sweep.close()
    shown = capfd.readouterr().err
    assert "sweep, training 1 of 8" in shown
    assert "1/12" in shown
    assert "6 min left in all" in shown
