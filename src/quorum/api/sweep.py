"""`quorum.sweep`: a study file, every configuration over its seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from quorum import metric_names
from quorum.api.computing import end_of, folders_of, preparer_of
from quorum.api.engines import engine_of, placed
from quorum.api.options import SweepOptions
from quorum.api.own_folders import find_dataset
from quorum.api.session import divide, documented, tracking
from quorum.api.train import TrainedRun
from quorum.config import TrialConfig
from quorum.console import say
from quorum.data import FOLDER, is_folder
from quorum.engine.training import Progress
from quorum.errors import ConfigError, DataError, StudyError
from quorum.study.file import StudyFile, load_study
from quorum.study.find import find_study, is_file
from quorum.study.plan import plan, possible_trials
from quorum.study.results import StageResult, TrialResult
from quorum.sweeps.executors import Executor
from quorum.sweeps.page import stage_table, sweep_page
from quorum.sweeps.run import SweepOutcome, SweepSettings, run_sweep
from quorum.sweeps.runs import describe
from quorum.sweeps.seed_votes import vote_data, vote_table
from quorum.tracking.store import TrackingStore
from quorum.tracking.system_metrics import check_system_metrics
from quorum.training.check import check_settings, check_trials
from quorum.training.job import Job, Trained

FOLDER_STUDY = "lite0"  # of a folder of the user's own, unless another is asked for


@dataclass(frozen=True)
class Stage:
    """One table of a study, run.

    Attributes:
        name: of the stage.
        table: a row for each trial: the varied settings, `mean` and `std` of the validation accuracy over the seeds, of
            the epoch that the study is about (the best, unless its file says the last), `± 95%`, half its interval,
            `n`, `last mean` (or `best mean`), `test mean`, `test std`, and in some `published`, `difference`, `reused`
            and `note`.
    """

    name: str
    table: pd.DataFrame
    _result: StageResult = field(repr=False)
    _store: TrackingStore = field(repr=False)

    @property
    def best(self) -> dict[str, Any]:
        """The varied settings of the trial with the highest mean. Empty where none finished."""
        best = self._result.best
        return dict(best.request.settings) if best else {}

    def runs(self, number: int | None = None) -> list[TrainedRun]:
        """The trainings of a trial, one a seed, without those that failed.

        Args:
            number: its row in `table`; by default the best trial's.
        """
        trial = self._result.best if number is None else self._result.trials[number]
        return [TrainedRun.of(self._store, seed) for seed in (trial.seeds if trial else ()) if not seed.reason]


@dataclass(frozen=True)
class SweepRun:
    """A finished sweep.

    Attributes:
        run_id: of its MLflow run.
        stages: its tables by name, in the study's order.
        vote: members and vote with mean and std over the seeds, or None for a study without a vote.
        epochs: how many were `written` in the file, `trained`, `shared`, `reused`, and `spared` where a training ended
            before its last epoch.
        page: its description, Markdown.
        views: links to its `trials` and `curves` in the MLflow UI.
    """

    run_id: str
    stages: Mapping[str, Stage]
    vote: pd.DataFrame | None
    epochs: Mapping[str, int]
    page: str
    views: Mapping[str, str]
    _outcome: SweepOutcome = field(repr=False)

    @classmethod
    def of(cls, store: TrackingStore, outcome: SweepOutcome) -> SweepRun:
        """The run of an outcome."""
        return cls(
            run_id=outcome.run_id,
            stages={r.stage.name: Stage(r.stage.name, stage_table(r), r, store) for r in outcome.results},
            vote=None if outcome.vote is None else vote_table(outcome.study, outcome.vote),
            epochs=outcome.cost.data()["epochs"],
            page=sweep_page(outcome.study, outcome.results, outcome.vote, outcome.cost),
            views=outcome.views,
            _outcome=outcome,
        )

    @property
    def best(self) -> str:
        """The best trial of the last stage and its mean, on one line."""
        last = self._outcome.results[-1]
        best = last.best
        assert best is not None, "a stage without a finished trial ends the sweep with an error"
        return f"{describe(best.request)} at {best.of(last.metric).mean:.4f}"

    def data(self) -> dict[str, Any]:
        """All of it as a JSON value."""
        outcome = self._outcome
        stages = [
            {"name": result.stage.name, "trials": [_trial_data(trial) for trial in result.trials]}
            for result in outcome.results
        ]
        data = {"run_id": self.run_id, "dataset": outcome.study.dataset, "stages": stages, "views": dict(self.views)}
        data |= outcome.cost.data()
        return data if outcome.vote is None else {**data, "vote": vote_data(outcome.vote)}


def _trial_data(trial: TrialResult) -> dict[str, Any]:
    val, test, last = (
        trial.of(name)
        for name in (metric_names.BEST_VAL_ACCURACY, metric_names.TEST_ACCURACY, metric_names.LAST_VAL_ACCURACY)
    )
    return {
        "settings": trial.request.settings,
        "mean": val.mean,
        "std": val.std,
        "n": val.n,
        "last_mean": last.mean,
        "last_std": last.std,
        "test_mean": test.mean,
        "test_std": test.std,
        "run_id": trial.run_id,
        "reused": sum(seed.reused for seed in trial.seeds),
        "failed": [f"seed {seed.seed}: {seed.reason}" for seed in trial.seeds if seed.reason],
    }


@documented(SweepOptions, "study", trial=True)
def sweep(study: str | Path | None = None, **settings: Any) -> SweepRun:
    """Run a study, or go on with it where it was interrupted.

    Settings of a trial replace those of the study's base.

    Args:
        study: its file, or its name in `sweeps/DATASET/`; by default the name of the model.

    Raises:
        OutOfTimeError: where `max_hours` are over before it is finished.
        QuorumError: for a study or setting that is wrong, or data or weights that are missing.
    """
    given = settings if study is None else {"study": str(study), **settings}
    options, trial = divide(SweepOptions, given, trial=True)
    with tracking(options) as store:
        return run_study_file(options, trial, store)


def run_study_file(
    options: SweepOptions,
    overrides: Mapping[str, Any],
    store: TrackingStore,
    make_executor: Callable[[], Executor[Job, Progress | Trained]] | None = None,
) -> SweepRun:
    """`sweep` with its options checked and its store open.

    Args:
        options: which study, which seeds.
        overrides: settings of a trial that replace those of the study's base.
        store: the tracking store.
        make_executor: makes what does the trainings; by default the engine that the options name.
    """
    until = end_of(options.max_hours)
    options, source, given, first = open_study(options, overrides, store)
    _tell_missing_folds(first.folds, options.seeds)
    if options.system_metrics:
        check_system_metrics()
    settings = settings_of(options, until)
    options = placed(options)
    folders = folders_of(options)
    with engine_of(options) as engine:
        preparer = preparer_of(options, first, store, folders, engine.machine, elsewhere=engine.elsewhere)
        make_executor = make_executor or engine.make_executor
        return SweepRun.of(store, run_sweep(source, given, settings, preparer, folders, make_executor))


def open_study(
    options: SweepOptions, overrides: Mapping[str, Any], store: TrackingStore
) -> tuple[SweepOptions, StudyFile, Mapping[str, Any], TrialConfig]:
    """The study that the options name.

    Returns:
        The options with the folder of its data set, the study, the settings that replace those of its base, and what it
        starts from.

    Raises:
        QuorumError: for a study that cannot be run, as far as that is known without images and weights.
    """
    if "seed" in overrides:
        raise ConfigError("seed: a sweep runs over several seeds; give seeds=", setting="seed")
    options, source = _study(options, overrides, store)
    given = {key: value for key, value in overrides.items() if key != "dataset"}
    return options, source, given, _check(source, given)


def settings_of(options: SweepOptions, until: float = math.inf) -> SweepSettings:
    """How a study is run, as the options say.

    Args:
        options: the options.
        until: when trainings stop, in seconds since 1970.
    """
    return SweepSettings(
        options.seeds,
        options.keep,
        options.reuse,
        options.state_gb,
        options.optuna_storage,
        options.system_metrics,
        until,
    )


def _study(options: SweepOptions, overrides: Mapping[str, Any], store: TrackingStore) -> tuple[SweepOptions, StudyFile]:
    """The study that is meant, and the options with the folder of its data set."""
    given, source = overrides.get("dataset"), None
    if given is None and options.study is not None and is_file(options.study):
        source = load_study(Path(options.study))
        given = source.study.dataset
    try:
        options, dataset = find_dataset(options, given, store)
    except DataError as error:
        raise error if source is None else StudyError(f"{source.at(('dataset',))}: {error}") from error
    own = is_folder(dataset)
    usual = FOLDER_STUDY if own else TrialConfig.model_fields["model"].default
    name = options.study or str(overrides.get("model", usual))
    return options, find_study(options.sweeps_dir, name, dataset, FOLDER if own else None)


def _tell_missing_folds(folds: int, seeds: Sequence[int]) -> None:
    """Say where seeds leave some folds of a partition out."""
    parts = folds * len({seed // folds for seed in seeds}) if folds else 0
    if len(seeds) < parts:
        say(f"folds={folds}: these seeds validate on {len(seeds)} of {parts} parts; seeds 0 to {folds - 1} are a whole")


def _check(source: StudyFile, overrides: Mapping[str, Any]) -> TrialConfig:
    """Check a study as far as that needs neither images nor weights, whichever trials of its stages turn out best.
    Returns the settings that it starts from."""
    first = source.study.first_config(overrides)
    planned = plan(source.study, first)
    check_trials(source, [*planned, *possible_trials(source.study, planned)], check_settings, overrides)
    return first
