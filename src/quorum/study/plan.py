"""What a study will train, as far as that is known before it has run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quorum.config import TrialConfig
from quorum.recipe import Recipe, recipe_of
from quorum.study.model import PublishedRow, Range, Settings, Stage, Study, canonical

# Settings that a recipe holds, epoch by epoch. Trials that differ in another one share no epoch.
IN_RECIPES = ("lr", "gamma", "step_size", "batch_size", "augment", "phases", "epochs", "seed")


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that will be run, or one that stands for several of an open search.

    Attributes:
        stage: number of its stage, from 0.
        settings: what it varies.
        config: all its settings.
        count: how many trials it stands for.
        listed: whether it is a trial by itself, and not one that stands for an open search.
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
    trials = []
    for values in stage.grid():
        settings = canonical(values)
        rows = tuple(row for row in stage.published if canonical(row.at) == settings)
        trials.append(PlannedTrial(number, settings, base.replace(**settings), 1, rows))
    return trials


def _searched(number: int, stage: Stage, base: TrialConfig) -> list[PlannedTrial]:
    """An open search: its longest trial for all of them, and, at no cost, each choice and each published row."""
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


def epochs_shared(planned: list[PlannedTrial]) -> int:
    """Epochs of one seed with those that several trials begin with trained once.

    Two trials share their first k epochs when the recipes of those and all settings outside recipes agree. The
    trials of an open search share nothing.
    """
    tree: dict[tuple[int | str, Recipe], int] = {}  # from an epoch's node (first a stem) and a recipe to the next node
    alone = 0
    for trial in planned:
        if not trial.listed:
            alone += trial.config.epochs * trial.count
            continue
        if not trial.count:
            continue
        node: int | str = trial.config.model_dump_json(exclude=set(IN_RECIPES))
        for epoch in range(1, trial.config.epochs + 1):
            node = tree.setdefault((node, recipe_of(trial.config, epoch)), len(tree))
    return len(tree) + alone
