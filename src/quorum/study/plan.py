"""What a study will train, as far as that is known before it has run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quorum.config import TrialConfig
from quorum.study.model import PublishedRow, Stage, Study
from quorum.study.prefix import TrainingPath
from quorum.study.values import Range, Settings, canonical

MAX_POSSIBLE = 500  # trials of one later stage that are taken into account before it is their turn


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that will be run, or one that represents several of a search.

    Attributes:
        stage: number of its stage, from 0.
        settings: what it varies.
        config: all its settings.
        count: how many trials it represents.
        listed: whether it is a trial by itself, and not one that represents a search.
        published: what was published for it.
    """

    stage: int
    settings: Settings
    config: TrialConfig
    count: int
    published: tuple[PublishedRow, ...]
    listed: bool = True


def plan(
    study: Study, first: TrialConfig, best: Callable[[list[PlannedTrial]], PlannedTrial] = lambda trials: trials[0]
) -> list[PlannedTrial]:
    """The trials of all stages, in order.

    Args:
        study: the stages.
        first: settings that the first stage starts from.
        best: the trial of a stage that the next one goes on from; by default its first.
    """
    planned: list[PlannedTrial] = []
    base = first
    for number, stage in enumerate(study.stages):
        base = base.replace(**stage.set)
        trials = _listed(number, stage, base) if stage.search == "grid" else _searched(number, stage, base)
        planned += trials
        base = best(trials).config
    return planned


def _listed(number: int, stage: Stage, base: TrialConfig) -> list[PlannedTrial]:
    published = stage.published_at()
    return [
        PlannedTrial(number, at, base.replace(**at), 1, tuple(published.get(frozenset(at.items()), ())))
        for at in stage.grid()
    ]


def _searched(number: int, stage: Stage, base: TrialConfig) -> list[PlannedTrial]:
    """A search: its longest trial for all of them, and, at no cost, each choice and each published row."""
    ends = {name: interval.high for name, interval in stage.ranges.items() if isinstance(interval, Range)}
    longest = canonical({"epochs": int(ends["epochs"])}) if "epochs" in ends else {}
    searched = PlannedTrial(number, {}, base.replace(**longest), stage.budget, (), listed=False)
    choices = [
        PlannedTrial(number, canonical({name: value}), base.replace(**{name: value}), 0, (), listed=False)
        for name, interval in stage.ranges.items()
        if isinstance(interval, list)
        for value in interval
    ]
    rows = [
        PlannedTrial(number, canonical(row.at), base.replace(**canonical(row.at)), 0, (row,)) for row in stage.published
    ]
    return [searched, *choices, *rows]


def epochs_written(planned: list[PlannedTrial]) -> int:
    """Epochs of one seed with every trial trained by itself."""
    return sum(trial.config.epochs * trial.count for trial in planned)


def epochs_to_train(planned: list[PlannedTrial]) -> int:
    """Epochs of one seed that a sweep has to train: those that several trials begin with once.

    The trials of a search are not known before it has run, so each of them counts in full.
    """
    nodes = {node for trial in planned if trial.listed and trial.count for node in TrainingPath(trial.config).nodes}
    return len(nodes) + sum(trial.config.epochs * trial.count for trial in planned if not trial.listed)


def cost(planned: list[PlannedTrial], seeds: int) -> str:
    """What a study costs over some seeds, as the heads of study files say it."""
    trainings = seeds * sum(trial.count for trial in planned)
    written, to_train = seeds * epochs_written(planned), seeds * epochs_to_train(planned)
    return f"{trainings:,} trainings, {written:,} epochs written, {to_train:,} to train"


def possible(study: Study, number: int, configs: Sequence[TrialConfig]) -> list[TrialConfig]:
    """The trials that the stages after one may ask for, whichever of that stage's trials turns out best.

    Args:
        study: the stages.
        number: of the stage, from 0.
        configs: settings of that stage's trials.

    Returns:
        Their settings, without repetitions, as far as they can be known: not those of a search, or after one,
        and not those of stages so far ahead that there are more than MAX_POSSIBLE.
    """
    return [trial.config for trial in _possible(study, number, configs)]


def possible_trials(study: Study, planned: Sequence[PlannedTrial]) -> list[PlannedTrial]:
    """The trials that stages may ask for around other trials of the stages before than they are planned around.

    Args:
        study: the stages.
        planned: its trials, see `plan`.

    Returns:
        Each of them once, as far as `possible` knows them, without those that are planned.
    """
    found: dict[TrialConfig, PlannedTrial] = {}
    for number in range(len(study.stages)):
        configs = [trial.config for trial in planned if trial.stage == number and trial.listed and trial.count]
        found |= {trial.config: trial for trial in _possible(study, number, configs) if trial.config not in found}
    for trial in planned:
        found.pop(trial.config, None)
    return list(found.values())


def _possible(study: Study, number: int, configs: Sequence[TrialConfig]) -> list[PlannedTrial]:
    found: dict[TrialConfig, PlannedTrial] = {}
    bases = list(configs)
    for place, later in enumerate(study.stages[number + 1 :], number + 1):
        if later.search != "grid" or len(bases) * later.budget > MAX_POSSIBLE:
            break
        fixed = [base.replace(**later.set) for base in bases]
        trials = [PlannedTrial(place, at, base.replace(**at), 0, ()) for base in fixed for at in later.grid()]
        bases = list({trial.config: None for trial in trials})
        found |= {trial.config: trial for trial in trials if trial.config not in found}
    return list(found.values())
