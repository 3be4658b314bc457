"""Running the stages of a study: Optuna proposes trials, `execute` runs them, Optuna is told.

Optuna keeps its own storage, so a study that was killed knows which trials it had begun. `execute` has to be safe to
call again for trials that it has finished: then it yields the results that stand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from quorum.config import TrialConfig
from quorum.errors import StudyError
from quorum.metric_names import BEST_VAL_ACCURACY
from quorum.study.model import Range, Settings, Stage, Study, canonical
from quorum.study.plan import possible
from quorum.study.results import StageResult, TrialRequest, TrialResult

Execute = Callable[[Sequence[TrialRequest], Sequence[TrialConfig]], Iterator[TrialResult]]
"""Runs trials, given also the settings of those that later stages may ask for. Yields each result when it is known."""

SAMPLER_SEED = 0


def open_storage(file: Path) -> optuna.storages.RDBStorage:
    """Optuna's SQLite storage, created under a lock: two processes that create it at once would collide."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        return optuna.storages.RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": 60}})


def run_study(
    study: Study,
    first: TrialConfig,
    storage: optuna.storages.BaseStorage,
    name: str,
    execute: Execute,
    on_stage: Callable[[StageResult], None] = lambda _result: None,
) -> list[StageResult]:
    """Run all stages, each around the best trial of the one before.

    Args:
        study: the stages.
        first: settings that the first stage starts from.
        storage: Optuna's.
        name: of this sweep; its Optuna studies are `name/stage`.
        execute: runs trials over their seeds, or yields their results if they have been run.
        on_stage: told of each stage when its last trial is done.

    Raises:
        StudyError: when no trial of a stage finished, so that there is nothing to go on from.
    """
    results: list[StageResult] = []
    base = first
    for number, stage in enumerate(study.stages):
        base = base.replace(**stage.set)
        run = _run_grid if stage.search == "grid" else _run_tpe
        ahead = functools.partial(possible, study, number)
        result = StageResult(stage, tuple(run(stage, base, storage, f"{name}/{stage.name}", execute, ahead)))
        results.append(result)
        on_stage(result)
        if result.best is None:
            reasons = {seed.reason for trial in result.trials for seed in trial.seeds if seed.reason}
            raise StudyError(f"stage {stage.name!r}: none of its trials finished ({'; '.join(sorted(reasons))})")
        base = base.replace(**result.best.request.settings)
    return results


Ahead = Callable[[Sequence[TrialConfig]], list[TrialConfig]]  # from a stage's trials to those that may come after


def _run_grid(
    stage: Stage,
    base: TrialConfig,
    storage: optuna.storages.BaseStorage,
    name: str,
    execute: Execute,
    ahead: Ahead,
) -> list[TrialResult]:
    """All listed combinations. They are asked for at once and run in the file's order."""
    grid = [canonical(settings) for settings in stage.grid()]
    distributions: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(list(dict.fromkeys(settings[key] for settings in grid))) for key in stage.varied
    }
    sampler = optuna.samplers.GridSampler({key: d.choices for key, d in _categorical(distributions)}, SAMPLER_SEED)
    optuna_study = _create(storage, name, sampler)
    asked = [_ask(optuna_study, number, distributions) for number in range(len(grid))]
    # All is asked by now. When the last trial is told, GridSampler would stop its study, which only Optuna's own loop
    # allows.
    optuna_study.sampler = optuna.samplers.RandomSampler()
    by_place = sorted(range(len(asked)), key=lambda number: grid.index(asked[number]))
    requests = [_request(stage, base, number, asked[number]) for number in by_place]
    results = {}
    for result in execute(requests, ahead([request.config for request in requests])):
        _tell(optuna_study, result)
        results[result.request.number] = result
    return [results[number] for number in by_place]


def _run_tpe(
    stage: Stage,
    base: TrialConfig,
    storage: optuna.storages.BaseStorage,
    name: str,
    execute: Execute,
    _ahead: Ahead,
) -> list[TrialResult]:
    """An open search, one trial after the other: each depends on those before."""
    distributions = {key: _distribution(key, stage.ranges[key]) for key in stage.varied}
    optuna_study = _create(storage, name, None)
    results = []
    for number in range(stage.budget):
        # A sampler of its own for each trial, so that a search that was interrupted goes on as it would have.
        optuna_study.sampler = optuna.samplers.TPESampler(seed=SAMPLER_SEED + number, multivariate=True)
        settings = _ask(optuna_study, number, distributions)
        (result,) = execute([_request(stage, base, number, settings)], [])
        _tell(optuna_study, result)
        results.append(result)
    return results


def _request(stage: Stage, base: TrialConfig, number: int, settings: Settings) -> TrialRequest:
    return TrialRequest(stage.name, number, settings, base.replace(**settings))


def _tell(optuna_study: optuna.Study, result: TrialResult) -> None:
    """Tell Optuna what came out, unless it knows."""
    number = result.request.number
    if optuna_study.get_trials(deepcopy=False)[number].state == TrialState.RUNNING:
        if result.failed:
            optuna_study.tell(number, state=TrialState.FAIL)
        else:
            optuna_study.tell(number, result.of(BEST_VAL_ACCURACY).mean)


def _create(
    storage: optuna.storages.BaseStorage, name: str, sampler: optuna.samplers.BaseSampler | None
) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name=name, direction="maximize", sampler=sampler, load_if_exists=True
    )


def _ask(optuna_study: optuna.Study, number: int, distributions: dict[str, BaseDistribution]) -> Settings:
    """The settings of a trial by number: those it has, or, for the next number, new ones.

    A process that is killed while it asks leaves a trial without some of its settings. Opening it again and
    suggesting them completes it; what is there already is returned as it is.
    """
    trials = optuna_study.get_trials(deepcopy=False)
    if number == len(trials):
        return dict(optuna_study.ask(distributions).params)
    frozen = trials[number]
    if frozen.state.is_finished() or set(frozen.params) == set(distributions):
        return dict(frozen.params)
    trial = optuna.Trial(optuna_study, frozen._trial_id)
    for key, distribution in distributions.items():
        trial._suggest(key, distribution)
    return dict(trial.params)


def _categorical(distributions: dict[str, BaseDistribution]) -> list[tuple[str, CategoricalDistribution]]:
    return [(key, d) for key, d in distributions.items() if isinstance(d, CategoricalDistribution)]


def _distribution(name: str, interval: Range | list[str | int | float | bool]) -> BaseDistribution:
    if isinstance(interval, list):
        return CategoricalDistribution([canonical({name: value})[name] for value in interval])
    if TrialConfig.model_fields[name].annotation is int:
        step = int(interval.step) if interval.step else 1
        return IntDistribution(int(interval.low), int(interval.high), log=interval.log, step=step)
    return FloatDistribution(interval.low, interval.high, log=interval.log, step=interval.step)
