"""Running the stages of a study: each trial is reported to Optuna when it begins and when it ends.

Optuna keeps its own storage, so a sweep that was killed knows which trials it had begun. `execute` has to be safe to
call again for trials that it has finished: then it yields their stored results.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState

from quorum.config import TrialConfig
from quorum.errors import StudyError
from quorum.metric_names import MEAN, trial_metric
from quorum.study.model import Stage, Study
from quorum.study.plan import possible
from quorum.study.results import StageResult, TrialRequest, TrialResult
from quorum.study.values import Range, Scalar, Settings, canonical_value, takes_integers
from quorum.tracking.patience import Patiently, at_once

OnBegin = Callable[[TrialRequest], None]
LookAhead = Callable[[Sequence[TrialResult]], Sequence[TrialConfig]]
"""Settings of trials that later stages may ask for, given the results of this one's trials that have ended."""
Execute = Callable[[Sequence[TrialRequest], LookAhead, OnBegin], Iterator[TrialResult]]
"""Runs trials, in any order.

Args:
    requests: the trials.
    look_ahead: which trials later stages may ask for.
    on_begin: to be called when the first training of a trial begins; not for one whose results are all stored.

Yields:
    Each result when it is known.
"""

SAMPLER_SEED = 0
SHOWN = 8  # digits of a run's id in the names of studies
FEW = 4  # trials that differ, of which importances can be told


def run_study(
    study: Study,
    first: TrialConfig,
    storage: optuna.storages.BaseStorage,
    name: str,
    execute: Execute,
    run_id: str,
    on_stage: Callable[[StageResult], None] = lambda _result: None,
    patiently: Patiently = at_once,
) -> list[StageResult]:
    """Run all stages, each around the best trial of the one before.

    Args:
        study: the stages.
        first: settings that the first stage starts from.
        storage: Optuna's.
        name: of the study; its stages' Optuna studies are called `dataset/name/stage (beginning of run_id)`.
        execute: runs trials over their seeds, or yields their results if they have been run.
        run_id: of the sweep.
        on_stage: called with each stage's result when its last trial has ended.
        patiently: makes the calls to the storage.

    Raises:
        StudyError: when all trials of a stage failed, so that the next stage has nothing to start from.
    """
    results: list[StageResult] = []
    base = first
    for number, stage in enumerate(study.stages):
        base = base.replace(**stage.set)
        full_name = f"{study.dataset}/{name}/{stage.name} ({run_id[:SHOWN]})"
        open_study = functools.partial(_open, storage, full_name, f"{run_id}/{stage.name}", study.metric)
        reported = Reported(patiently(open_study), study.metric, patiently)
        if stage.search == "grid":
            trials = _run_grid(study, number, base, reported, execute)
        else:
            trials = _run_tpe(stage, base, reported, execute)
        importances = patiently(reported.importances) if stage.search == "tpe" else {}
        result = StageResult(stage, tuple(trials), study.metric, importances)
        results.append(result)
        on_stage(result)
        if result.best is None:
            reasons = {seed.reason for trial in result.trials for seed in trial.seeds if seed.reason}
            raise StudyError(f"stage {stage.name!r}: all of its trials failed ({'; '.join(sorted(reasons))})")
        base = base.replace(**result.best.request.settings)
    return results


@dataclass(frozen=True)
class Reported:
    """A stage's study in Optuna's storage.

    Attributes:
        study: it.
        metric: of a training, whose mean over the seeds a trial is reported with.
        patiently: makes the calls to the storage.
    """

    study: optuna.Study
    metric: str
    patiently: Patiently

    def end(self, number: int, result: TrialResult) -> None:
        """Tell Optuna the mean of a running trial's metric, or that it failed, with what its dashboard shows beside it;
        nothing of one that has ended."""
        state = TrialState.FAIL if result.failed else None
        value = None if result.failed else result.of(self.metric).mean
        self.patiently(lambda: self._describe(number, result))
        self.patiently(lambda: self.study.tell(number, value, state=state, skip_if_finished=True))

    def _describe(self, number: int, result: TrialResult) -> None:
        """Give a running trial attributes: std and n of the metric over the seeds, its value and run for each seed."""
        storage, summary = self.study._storage, result.of(self.metric)
        trial = optuna.Trial(self.study, storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number))
        values = {str(seed.seed): seed.metrics[self.metric] for seed in result.seeds if self.metric in seed.metrics}
        runs = {str(seed.seed): seed.run_id for seed in result.seeds}
        with contextlib.suppress(UpdateFinishedTrialError):
            for name, value in {"std": summary.std, "n": summary.n, "seeds": values, "run_ids": runs}.items():
                trial.set_user_attr(name, value)

    def importances(self) -> dict[str, float]:
        """The share of the variance between trials that each setting explains (fANOVA), the largest first; none of
        fewer than FEW trials, or where all are equally good."""
        found = {trial.value for trial in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
        if len(found) < FEW:
            return {}
        evaluator = FanovaImportanceEvaluator(seed=SAMPLER_SEED)
        return optuna.importance.get_param_importances(self.study, evaluator=evaluator)


def _open(storage: optuna.storages.BaseStorage, name: str, old_name: str, metric: str) -> optuna.Study:
    """A stage's study, made unless it is there, also by the name that it had before."""
    try:
        storage.get_study_id_from_name(old_name)
        name = old_name
    except KeyError:
        pass  # the rule: only sweeps that an earlier version began have it
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([trial_metric(metric) + MEAN])
    return study


def _run_grid(study: Study, number: int, base: TrialConfig, reported: Reported, execute: Execute) -> list[TrialResult]:
    """All listed combinations, requested at once and numbered in the file's order.

    `execute` may begin them in another order, so Optuna's numbers differ: a trial in its storage is found by its
    settings.
    """
    stage = study.stages[number]
    requests = [_request(stage, base, place, settings) for place, settings in enumerate(stage.grid())]
    trials = _GridTrials(reported, [request.settings for request in requests])
    results: dict[int, TrialResult] = {}
    look_ahead = functools.partial(_possible, study, number, requests)
    for result in execute(requests, look_ahead, trials.begin):
        trials.end(result)
        results[result.request.number] = result
    return [results[request.number] for request in requests]


def _possible(
    study: Study, number: int, requests: Sequence[TrialRequest], ended: Sequence[TrialResult]
) -> list[TrialConfig]:
    """What later stages may ask for: of the trials of a stage that have ended, only the best can be its best."""
    best = StageResult(study.stages[number], tuple(sorted(ended, key=_number)), study.metric).best
    beaten = {_number(result) for result in ended if result is not best}
    return possible(study, number, [request.config for request in requests if request.number not in beaten])


def _number(result: TrialResult) -> int:
    return result.request.number


class _GridTrials:
    """The trials of a grid in Optuna's storage, each added when it begins.

    No sampler is asked: what a grid tries is known. GridSampler would read every trial for each that it proposes, and
    stop its study with the last.
    """

    def __init__(self, reported: Reported, grid: Sequence[Settings]) -> None:
        self._reported = reported
        names = grid[0].keys()
        self._distributions = {name: _distribution_of([settings[name] for settings in grid]) for name in names}
        reported.patiently(self._read)

    def _read(self) -> None:
        stored = self._reported.study.get_trials(deepcopy=False)
        self._count = len(stored)
        self._numbers = {frozenset(trial.params.items()): trial.number for trial in stored}
        self._ended = {trial.number for trial in stored if trial.state.is_finished()}

    def begin(self, request: TrialRequest) -> None:
        """Add a trial as running, in one transaction, unless it is there."""

        def again() -> None:
            self._read()
            self._add(request)

        self._reported.patiently(lambda: self._add(request), again)

    def _add(self, request: TrialRequest) -> None:
        key = frozenset(request.settings.items())
        if key not in self._numbers:
            running = optuna.trial.create_trial(
                state=TrialState.RUNNING, params=request.settings, distributions=self._distributions
            )
            self._reported.study.add_trial(running)
            self._numbers[key] = self._count  # this process alone writes to the study
            self._count += 1

    def end(self, result: TrialResult) -> None:
        """Report a result, unless it has been."""
        self.begin(result.request)
        number = self._numbers[frozenset(result.request.settings.items())]
        if number not in self._ended:
            self._reported.end(number, result)
            self._ended.add(number)


def _run_tpe(stage: Stage, base: TrialConfig, reported: Reported, execute: Execute) -> list[TrialResult]:
    """A search, one trial after the other: each depends on those before."""
    distributions = {name: _distribution(name, stage.ranges[name]) for name in stage.varied}
    results = []
    for number in range(stage.budget):
        # A sampler of its own for each trial, so that an interrupted search goes on as it would have.
        reported.study.sampler = optuna.samplers.TPESampler(
            seed=SAMPLER_SEED + number, multivariate=True, n_startup_trials=stage.random_trials
        )
        ask = functools.partial(_ask, reported.study, number, distributions)
        settings = reported.patiently(ask)
        (result,) = execute([_request(stage, base, number, settings)], lambda _ended: [], lambda _request: None)
        reported.end(number, result)
        results.append(result)
    return results


def _request(stage: Stage, base: TrialConfig, number: int, settings: Settings) -> TrialRequest:
    return TrialRequest(stage.name, number, settings, base.replace(**settings))


def _ask(optuna_study: optuna.Study, number: int, distributions: dict[str, BaseDistribution]) -> Settings:
    """The settings of a search's trial by number: those it has, or, for the next number, new ones.

    A process that is killed while it asks leaves a trial without some of its settings. Opening it again and
    suggesting them completes it; those that it has are returned as they are.
    """
    trials = optuna_study.get_trials(deepcopy=False)
    if number == len(trials):
        return dict(optuna_study.ask(distributions).params)
    frozen = trials[number]
    if frozen.state.is_finished() or set(frozen.params) == set(distributions):
        return dict(frozen.params)
    trial = optuna.Trial(optuna_study, frozen._trial_id)
    for name, distribution in distributions.items():
        if name in frozen.params and name not in trial.relative_params and not distribution.single():
            # The next one's draw comes after this one's.
            optuna_study.sampler.sample_independent(optuna_study, frozen, name, distribution)
        trial._suggest(name, distribution)
    return dict(trial.params)


def _distribution_of(values: Sequence[Scalar]) -> BaseDistribution:
    """What a grid's values are taken from, as Optuna's plots need it: an interval, or the choices.

    Optuna stores it with every trial, so it is small where that is possible.
    """
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        whole = [value for value in numbers if isinstance(value, int)]
        if len(whole) == len(numbers):
            return IntDistribution(min(whole), max(whole))
        return FloatDistribution(min(numbers), max(numbers))
    return CategoricalDistribution(list(dict.fromkeys(values)))


def _distribution(name: str, interval: Range | list[Scalar]) -> BaseDistribution:
    """What a search takes a setting from."""
    if isinstance(interval, list):
        return CategoricalDistribution([canonical_value(name, value) for value in interval])
    if takes_integers(name, interval):
        return IntDistribution(int(interval.low), int(interval.high), log=interval.log, step=int(interval.step or 1))
    return FloatDistribution(interval.low, interval.high, log=interval.log, step=interval.step)
