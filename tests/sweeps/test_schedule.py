"""Which training waits for which, and which states are kept how long."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.config import TrialConfig
from quorum.study.file import load_study
from quorum.study.plan import plan, possible
from quorum.study.prefix import TrainingPath
from quorum.sweeps.schedule import Running, Schedule
from tests.conftest import ROOT
from tests.study.test_prefix import BASE, configs


@dataclass
class Memory:
    """Kept states that are names alone, as many as there is room for."""

    room: int = 10_000
    nodes: set[str] = field(default_factory=set)
    reserved: set[str] = field(default_factory=set)

    def reserve(self, node: str, config: TrialConfig) -> bool:
        if len(self.nodes | self.reserved) == self.room:
            return False
        self.reserved.add(node)
        return True

    def write(self, node: str) -> None:
        self.reserved.remove(node)
        self.nodes.add(node)

    def drop(self, nodes: Iterable[str]) -> None:
        self.nodes -= set(nodes)
        self.reserved -= set(nodes)


def scheduled(configs: Iterable[TrialConfig], room: int = 10_000) -> tuple[Schedule[int], Memory]:
    memory = Memory(room)
    schedule: Schedule[int] = Schedule(memory)
    schedule.plan({TrainingPath(config): number for number, config in enumerate(configs)})
    return schedule, memory


def run(schedule: Schedule[int], memory: Memory, jobs: int, ends: Collection[str] = ()) -> int:
    """Run a schedule, always that training an epoch further which has the most left. Returns the epochs trained.

    Args:
        schedule: it.
        memory: its states.
        jobs: that run side by side.
        ends: nodes at which trainings stop early; the state there is kept as that of the next epoch that is wanted.
    """
    trained = 0

    def last(one: Running[int]) -> int:
        return next((e for e, node in enumerate(one.path.nodes, 1) if node in ends), one.path.config.epochs)

    while True:
        while len(schedule.running) < jobs and (started := schedule.start()) is not None:
            if started.start:
                assert started.path.nodes[started.start - 1] in memory.nodes
            started.epoch = min(started.start, last(started))
        if not schedule.running:
            return trained
        under_way: Running[int] = max(schedule.running, key=lambda one: last(one) - one.epoch)
        if under_way.epoch < last(under_way):
            under_way.epoch += 1
            trained += 1
            later = (
                under_way.path.config.epochs if under_way.path.nodes[under_way.epoch - 1] in ends else under_way.epoch
            )
            if wanted := under_way.keep & set(range(under_way.epoch, later + 1)):
                memory.write(under_way.path.nodes[min(wanted) - 1])
        if under_way.epoch == last(under_way):
            schedule.end(under_way)


@given(st.lists(configs, min_size=1, max_size=8, unique=True), st.integers(1, 4))
def test_every_epoch_is_trained_once_whatever_runs_side_by_side(listed: list[TrialConfig], jobs: int) -> None:
    schedule, memory = scheduled(listed)
    assert run(schedule, memory, jobs) == len({node for config in listed for node in TrainingPath(config).nodes})
    assert not schedule.waiting
    assert not memory.nodes | memory.reserved  # no state outlives the last training that needs it


@pytest.mark.slow
@given(st.lists(configs, min_size=1, max_size=8, unique=True), st.integers(1, 4), st.data())
def test_trainings_that_stop_early_leave_none_waiting(
    listed: list[TrialConfig], jobs: int, data: st.DataObject
) -> None:
    """What others waited for is kept where it stopped, so that no epoch is trained twice."""
    paths = [TrainingPath(config) for config in listed]
    ends = data.draw(st.sets(st.sampled_from(sorted({node for path in paths for node in path.nodes}))))
    schedule, memory = scheduled(listed)
    stops = [next((e for e, node in enumerate(path.nodes, 1) if node in ends), len(path.nodes)) for path in paths]
    trained = {node for path, stop in zip(paths, stops, strict=True) for node in path.nodes[:stop]}
    assert run(schedule, memory, jobs, ends) == len(trained)
    assert not schedule.waiting
    assert not memory.nodes | memory.reserved


@given(st.lists(configs, min_size=1, max_size=8, unique=True), st.integers(1, 4), st.integers(0, 3))
def test_without_room_epochs_are_trained_again(listed: list[TrialConfig], jobs: int, room: int) -> None:
    schedule, memory = scheduled(listed, room)
    shared = len({node for config in listed for node in TrainingPath(config).nodes})
    assert shared <= run(schedule, memory, jobs) <= sum(config.epochs for config in listed)
    assert not schedule.waiting
    assert not memory.nodes | memory.reserved


@given(st.lists(configs, min_size=2, max_size=8, unique=True), st.data())
def test_a_training_that_fails_takes_no_other_with_it(listed: list[TrialConfig], data: st.DataObject) -> None:
    schedule, memory = scheduled(listed)
    begun = schedule.start()
    assert begun is not None
    begun.epoch = data.draw(st.integers(begun.start, begun.path.config.epochs))
    for epoch in begun.keep:
        if epoch <= begun.epoch:
            memory.write(begun.path.nodes[epoch - 1])
    schedule.end(begun)
    assert not memory.reserved
    left = {node for path in schedule.waiting for node in path.nodes}
    there = {node for path in schedule.waiting for node in path.nodes[: path.deepest(memory.nodes)]}
    assert run(schedule, memory, 2) == len(left - there)


def test_a_training_does_not_wait_for_a_state_that_will_not_be_kept() -> None:
    longer = BASE.replace(epochs=20)
    schedule, _ = scheduled([BASE, longer])
    first = schedule.start()
    assert first is not None
    assert first.keep == {10}
    assert schedule.start() is None
    schedule, _ = scheduled([BASE, longer], room=0)
    assert schedule.start() is not None
    assert schedule.start() is not None


def test_the_three_tables_of_alexnet_are_trained_in_960_epochs() -> None:
    """Stage after stage as a sweep runs them: which trials come later is known, or looked ahead at."""
    study = load_study(ROOT / "sweeps" / "caltech101" / "alexnet.yaml").study
    planned = plan(study, study.first_config({}))
    schedule, memory = scheduled([])
    trained, most, done = 0, 0, set[TrialConfig]()
    for number in range(len(study.stages)):
        listed = [trial.config for trial in planned if trial.stage == number]
        new = [config for config in listed if config not in done]  # the others are linked
        waiting, ahead = (
            [TrainingPath(config.replace(seed=seed)) for config in some for seed in range(3)]
            for some in (new, possible(study, number, listed))
        )
        schedule.plan(dict.fromkeys(waiting, number), ahead)
        trained += run(schedule, memory, 1)
        most = max(most, len(memory.nodes))
        done |= set(listed)
    assert trained == 960
    assert most == 9  # after the first table: epochs 10, 20 and 30 of one learning rate, for each seed
    assert not memory.nodes


def test_the_end_of_a_training_leaves_what_another_is_about_to_write() -> None:
    """Both were to keep the state after epoch 10, which the first of them passed by."""
    schedule, memory = scheduled([BASE, BASE.replace(epochs=20)])
    first = schedule.start()
    assert first is not None
    second = Running(TrainingPath(BASE.replace(epochs=20)), 1, 0, first.keep)
    schedule.running.append(second)
    schedule.end(first)
    assert memory.reserved == first.kept_nodes
    schedule.end(second)
    assert not memory.reserved
