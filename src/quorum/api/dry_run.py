"""`quorum.dry_run`: what a sweep would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from quorum.api.computing import folders_of, preparer_of
from quorum.api.engines import engine_of, placed
from quorum.api.options import SweepOptions
from quorum.api.session import divide, documented, tracking
from quorum.api.sweep import open_study, settings_of
from quorum.study.plan import plan
from quorum.sweeps.checkpoints import room
from quorum.sweeps.dry_run import Forecast, forecast
from quorum.sweeps.run import GIGABYTE
from quorum.sweeps.runs import describe_settings
from quorum.tracking.store import TrackingStore
from quorum.training.check import check_trials


@dataclass(frozen=True)
class DryRun:
    """What a sweep would do. Stages after the first are taken to go on from the first trial of the one before.

    Attributes:
        study: name of the study's file.
        dataset: name of its data set.
        trials: a row for each trial: `stage`, `trial` (its varied settings; a search has one row for all), `trials`,
            `epochs` of each training (of a search at most), `trainings`, and `reused`, those of them that need not be
            done.
        trainings: of all trials and seeds.
        epochs: how many are `written` in the file, would be `trained`, are `shared` by trainings and `reused` from
            finished ones.
        states: states that are kept to be shared, at most at one time.
        state_bytes: bytes of disk for those and for the states of the trainings under way.
        minutes: that it would take, from the last runs of its networks on this data set and kind of machine; None where
            one has none.
        unknown: networks that have no such run.
    """

    study: str
    dataset: str
    trials: pd.DataFrame
    trainings: int
    epochs: Mapping[str, int]
    states: int
    state_bytes: int
    minutes: float | None
    unknown: tuple[str, ...]


@documented(SweepOptions, "study", trial=True)
def dry_run(study: str | Path | None = None, **settings: Any) -> DryRun:
    """What `sweep` would do with the same settings. Opens the data set, trains nothing and makes no run.

    Args:
        study: its file, or its name in `sweeps/DATASET/`; by default the name of the model.

    Raises:
        QuorumError: for a study or setting that is wrong, or data or weights that are missing.
    """
    given = settings if study is None else {"study": str(study), **settings}
    options, trial = divide(SweepOptions, given, trial=True)
    with tracking(options) as store:
        return forecast_study_file(options, trial, store)


def forecast_study_file(options: SweepOptions, overrides: Mapping[str, Any], store: TrackingStore) -> DryRun:
    """`dry_run` with its options checked and its store open."""
    options, source, given, first = open_study(options, overrides, store)
    options = placed(options)
    folders, planned = folders_of(options), plan(source.study, first)
    with engine_of(options) as engine:
        preparer = preparer_of(options, first, store, folders, engine.machine, elsewhere=engine.elsewhere)
        check_trials(source, planned, preparer.prepare, given)
        limit = options.state_gb * GIGABYTE
        if options.storage is None:
            limit = room(limit, options.work_dir)
        found = forecast(source.study, planned, settings_of(options), preparer, options.jobs, limit)
    return DryRun(
        study=source.file.stem,
        dataset=source.study.dataset,
        trials=_table(found, [stage.name for stage in source.study.stages], len(options.seeds)),
        trainings=found.trainings,
        epochs={
            "written": found.written,
            "trained": found.to_train,
            "shared": found.shared,
            "reused": found.reused,
        },
        states=found.states,
        state_bytes=found.state_bytes,
        minutes=None if found.seconds is None else found.seconds / 60 / options.jobs,
        unknown=tuple(found.unknown),
    )


def _table(found: Forecast, stages: list[str], seeds: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "stage": stages[one.stage],
                "trial": describe_settings(one.trial.settings) if one.trial.listed else "search",
                "trials": one.trial.count,
                "epochs": one.trial.config.epochs,
                "trainings": one.trial.count * seeds,
                "reused": one.reused,
            }
            for one in found.trials
        ]
    )
