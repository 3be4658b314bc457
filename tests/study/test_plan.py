"""What a study will cost: the epochs as written, and those that are left when trials share their beginnings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.config import TrialConfig
from quorum.recipe import recipe_of
from quorum.study.file import load_study
from quorum.study.model import Stage, Study
from quorum.study.plan import PlannedTrial, epochs_to_train, epochs_written, plan, possible_trials
from quorum.study.values import Range
from tests.conftest import ROOT


def planned(name: str) -> list[PlannedTrial]:
    study = load_study(ROOT / "sweeps" / f"{name}.yaml").study
    return plan(study, study.first_config({}))


def test_the_three_tables_of_alexnet_from_scratch() -> None:
    trials = planned("caltech101/alexnet")
    assert [sum(t.config.epochs for t in trials if t.stage == stage) for stage in range(3)] == [150, 200, 300]
    assert 3 * epochs_written(trials) == 1950
    assert 3 * epochs_to_train(trials) == 960


def test_the_published_rows_stand_with_their_trials() -> None:
    trials = planned("caltech101/alexnet")
    assert [row.val_accuracy for row in trials[0].published] == [0.09, 0.092]
    assert sum(len(trial.published) for trial in trials) == 16


def one(**changes: object) -> PlannedTrial:
    return PlannedTrial(0, {}, TrialConfig(model="scratch-simple", epochs=10).replace(**changes), 1, ())


@pytest.mark.parametrize(
    ("changes", "new"),
    [
        ({}, 0),
        ({"epochs": 15}, 5),
        ({"step_size": 4}, 6),
        ({"lr": 0.5}, 10),
        ({"batch_size": 8}, 10),
        ({"phases": "1:all,8:classifier"}, 3),
        ({"augment": "flip"}, 10),
        ({"momentum": 0.5}, 10),
        ({"optimizer": "adam"}, 10),
        ({"gamma": 0.5}, 0),  # never applied: 20 epochs would have to pass first
    ],
)
def test_a_second_trial_costs_what_it_does_not_share(changes: dict[str, object], new: int) -> None:
    assert epochs_to_train([one(), one(**changes)]) == 10 + new


settings = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([0.1, 0.01]),
        "epochs": st.integers(1, 8),
        "step_size": st.integers(0, 4),
        "batch_size": st.sampled_from([8, 16]),
        "phases": st.sampled_from(["all", "classifier", "1:classifier,3:all"]),
        "momentum": st.sampled_from([0.0, 0.9]),
    }
)


@given(st.lists(settings, min_size=1, max_size=6))
def test_shared_epochs_are_the_distinct_beginnings(listed: list[dict[str, object]]) -> None:
    trials = [one(**changes) for changes in listed]
    beginnings = set()
    for trial in trials:
        recipes = [recipe_of(trial.config, epoch) for epoch in range(1, trial.config.epochs + 1)]
        beginnings |= {(trial.config.momentum, tuple(recipes[:k])) for k in range(1, len(recipes) + 1)}
    assert epochs_to_train(trials) == len(beginnings) <= epochs_written(trials)


def test_an_open_search_shares_nothing(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        """\
dataset: digits
base: {model: scratch-simple, epochs: 4}
stages:
  - name: open
    search: tpe
    trials: 5
    ranges: {lr: {low: 0.01, high: 0.1, log: true}, augment: [none, flip], epochs: {low: 2, high: 6}}
    published: [{id: found, at: {lr: 0.03, epochs: 5}, val_accuracy: 0.9}]
"""
    )
    study = load_study(file).study
    trials = plan(study, study.first_config({}))
    assert epochs_written(trials) == epochs_to_train(trials) == 30  # at most: five times the longest
    assert [trial.count for trial in trials] == [5, 0, 0, 0]  # each choice is checked, once
    assert [trial.listed for trial in trials] == [False, False, False, True]
    assert (trials[3].config.lr, trials[3].config.epochs) == (0.03, 5)


def test_a_stage_goes_on_from_the_best_of_the_one_before() -> None:
    study = load_study(ROOT / "sweeps" / "digits" / "scratch-simple.yaml").study
    first = study.first_config({})
    best = plan(study, first, lambda trials: trials[-1])
    assert {t.config.lr for t in best if t.stage == 1} == {0.05}
    assert {t.config.lr for t in plan(study, first) if t.stage == 1} == {0.01}


def test_other_trials_that_may_be_best_have_trials_after_them() -> None:
    study = Study(
        dataset="digits",
        stages=(
            Stage(name="lr", vary={"lr": [0.1, 0.2, 0.3]}),
            Stage(name="search", search="tpe", trials=5, ranges={"momentum": Range(low=0.1, high=0.9)}),
            Stage(name="epochs", set={"lr": 0.5}, vary={"epochs": [1, 2]}),
            Stage(name="batch-size", vary={"batch_size": [8, 16]}),
        ),
    )
    trials = plan(study, TrialConfig())
    found = possible_trials(study, trials)
    assert [(trial.stage, trial.config.epochs, trial.config.batch_size) for trial in found] == [(3, 2, 8), (3, 2, 16)]
    assert [trial.settings for trial in found] == [{"batch_size": 8}, {"batch_size": 16}]
    without = study.model_copy(update={"stages": study.stages[::3]})
    found = possible_trials(without, plan(without, TrialConfig()))
    assert [(t.config.lr, t.config.batch_size) for t in found] == [(lr, size) for lr in (0.2, 0.3) for size in (8, 16)]
