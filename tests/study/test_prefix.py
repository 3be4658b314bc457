"""The tree of a sweep: what trainings share, which one waits for which, and which states are kept how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.config import TrialConfig
from quorum.recipe import recipe_of
from quorum.study.file import load_study
from quorum.study.plan import plan, possible
from quorum.study.prefix import TrainingPath, forks
from quorum.sweep.schedule import Running, Schedule
from tests.conftest import ROOT

BASE = TrialConfig(model="scratch-simple", epochs=10)

configs = st.builds(
    BASE.replace,
    lr=st.sampled_from([0.1, 0.01]),
    epochs=st.integers(1, 9),
    step_size=st.integers(0, 4),
    batch_size=st.sampled_from([8, 16]),
    phases=st.sampled_from(["all", "classifier", "1:classifier,3:all"]),
    momentum=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 1),
)


def alike(one: TrialConfig, other: TrialConfig) -> int:
    """Number of epochs that two trainings begin with alike, epoch by epoch."""
    if (one.momentum, one.seed) != (other.momentum, other.seed):
        return 0
    shorter = min(one.epochs, other.epochs)
    differ = (e for e in range(1, shorter + 1) if recipe_of(one, e) != recipe_of(other, e))
    return next(differ, shorter + 1) - 1


@given(configs, configs)
def test_paths_share_the_epochs_that_are_alike(one: TrialConfig, other: TrialConfig) -> None:
    assert (
        TrainingPath(one).shared(TrainingPath(other))
        == TrainingPath(other).shared(TrainingPath(one))
        == alike(one, other)
    )


def test_a_fork_is_where_another_leaves_or_ends() -> None:
    others = [BASE.replace(step_size=4), BASE.replace(epochs=6), BASE.replace(epochs=20), BASE.replace(lr=1.0)]
    assert forks(TrainingPath(BASE), [TrainingPath(other) for other in others]) == {4, 6, 10}


def run(schedule: Schedule, jobs: int) -> int:
    """Run a schedule, always that training an epoch further which has the most left. Returns the epochs trained."""
    trained = 0
    while True:
        while len(schedule.running) < jobs and (started := schedule.start()) is not None:
            started.epoch = started.start
            if started.start:
                assert started.path.nodes[started.start - 1] in schedule.kept
        if not schedule.running:
            return trained
        under_way: Running = max(schedule.running, key=lambda one: one.path.config.epochs - one.epoch)
        if under_way.epoch < under_way.path.config.epochs:
            under_way.epoch += 1
            trained += 1
            if under_way.epoch in under_way.keep:
                schedule.kept.add(under_way.path.nodes[under_way.epoch - 1])
        if under_way.epoch == under_way.path.config.epochs:
            schedule.end(under_way)
        schedule.kept -= schedule.superfluous()


@given(st.lists(configs, min_size=1, max_size=8, unique=True), st.integers(1, 4))
def test_every_epoch_is_trained_once_whatever_runs_side_by_side(listed: list[TrialConfig], jobs: int) -> None:
    paths = [TrainingPath(config) for config in listed]
    schedule = Schedule(list(paths))
    assert run(schedule, jobs) == len({node for path in paths for node in path.nodes})
    assert not schedule.waiting
    assert not schedule.kept  # no state outlives the last training that needs it


@given(st.lists(configs, min_size=2, max_size=8, unique=True), st.data())
def test_a_training_that_fails_takes_no_other_with_it(listed: list[TrialConfig], data: st.DataObject) -> None:
    schedule = Schedule([TrainingPath(config) for config in listed])
    begun = schedule.start()
    assert begun is not None
    begun.epoch = data.draw(st.integers(begun.start, begun.path.config.epochs))
    schedule.kept |= {begun.path.nodes[epoch - 1] for epoch in begun.keep if epoch <= begun.epoch}
    schedule.end(begun)
    left = {node for path in schedule.waiting for node in path.nodes}
    there = {node for path in schedule.waiting for node in path.nodes[: path.deepest(schedule.kept)]}
    assert run(schedule, 2) == len(left - there)


def test_a_training_does_not_wait_for_a_state_that_will_not_be_kept() -> None:
    schedule = Schedule([TrainingPath(BASE), TrainingPath(BASE.replace(epochs=20))])
    first = schedule.start()
    assert first is not None
    assert first.keep == {10}
    assert schedule.start() is None
    first.keep = frozenset()  # there was no room for it
    assert schedule.start() is not None


def test_the_three_tables_of_alexnet_are_trained_in_960_epochs() -> None:
    """Stage after stage as a sweep runs them: which trials come later is known, or looked ahead at."""
    study = load_study(ROOT / "sweeps" / "caltech101" / "alexnet.yaml").study
    planned = plan(study, study.first_config({}))
    schedule, trained, most, done = Schedule(), 0, 0, set()
    for number in range(len(study.stages)):
        listed = [trial.config for trial in planned if trial.stage == number]
        new = [config for config in listed if config not in done]  # the others are linked
        seeds = range(3)
        schedule.waiting = [TrainingPath(config.replace(seed=seed)) for config in new for seed in seeds]
        ahead = possible(study, number, listed)
        schedule.possible = [TrainingPath(config.replace(seed=seed)) for config in ahead for seed in seeds]
        schedule.kept -= schedule.superfluous()
        trained += run(schedule, 1)
        most = max(most, len(schedule.kept))
        done |= set(listed)
    assert trained == 960
    assert most == 9  # after the first table: epochs 10, 20 and 30 of one learning rate, for each seed
    assert not schedule.kept


@pytest.mark.parametrize(("number", "distinct"), [(0, 9), (1, 5), (2, 0)])
def test_later_stages_are_looked_ahead_at(number: int, distinct: int) -> None:
    study = load_study(ROOT / "sweeps" / "caltech101" / "alexnet.yaml").study
    planned = plan(study, study.first_config({}))
    ahead = possible(study, number, [trial.config for trial in planned if trial.stage == number])
    assert len(ahead) == distinct
    assert set(ahead) == {trial.config for trial in planned if trial.stage > number}


def test_whichever_trial_turns_out_best_is_looked_ahead_from() -> None:
    study = load_study(ROOT / "sweeps" / "digits" / "scratch-simple.yaml").study
    listed = [trial.config for trial in plan(study, study.first_config({})) if trial.stage == 0]
    assert {(c.lr, c.batch_size) for c in possible(study, 0, listed)} == {
        (lr, size) for lr in (0.01, 0.02, 0.05) for size in (16, 32, 64)
    }
