"""`quorum.show`: what one run holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from quorum.api.results import training_frame, trial_frame
from quorum.api.session import tracking
from quorum.tracking import schema
from quorum.tracking.queries import mean_history, run_beginning, search, seeds_of
from quorum.tracking.records import TrainingRecord, TrialRecord
from quorum.tracking.store import TrackingStore


@dataclass(frozen=True)
class StoredRun:
    """What a run holds.

    Attributes:
        run_id, name, status: of the run.
        kind: sweep, trial, seed or train, or what else made it.
        dataset: name of the data set.
        reason: why it failed or was stopped, or "".
        settings: as they were logged, by name.
        metrics: the last value of each, by the names that they have in MLflow. Accuracies are fractions.
        runs: the runs below it, as `quorum.results` has them: of a sweep its trials, of a trial its trainings.
        history: a row for each epoch, of a trial the mean over its seeds: `epoch` (from 1) and each metric. Empty for
            other kinds of runs.
    """

    run_id: str
    name: str
    kind: str
    status: str
    dataset: str
    reason: str
    settings: Mapping[str, str]
    metrics: Mapping[str, float]
    runs: pd.DataFrame
    history: pd.DataFrame

    @classmethod
    def of(cls, store: TrackingStore, record: TrainingRecord) -> StoredRun:
        """The run of a record."""
        seeds = seeds_of(store, record)
        if record.kind in (schema.SWEEP_KIND, schema.CONFIRM_KIND):
            below = search(store, TrialRecord, sweep_run_id=record.run_id, order_by="attributes.start_time ASC")
            runs = trial_frame(trial for trial in below if trial.kind in (schema.TRIAL_KIND, schema.FRESH_KIND))
        else:
            runs = training_frame(seeds.values() if record.seed_runs else ())
        return cls(
            run_id=record.run_id,
            name=record.name,
            kind=record.kind or "run",
            status=record.status,
            dataset=record.dataset,
            reason=record.reason,
            settings=record.params,
            metrics=record.metrics,
            runs=runs,
            history=mean_history(store, [seed.run_id for seed in seeds.values()]),
        )


def show(run: str) -> StoredRun:
    """What a run holds: its settings, metrics, epochs, and the runs below it.

    Args:
        run: its id, or the first of its digits.

    Raises:
        RegistryError: where no run, or more than one, has an id that begins so.
    """
    with tracking() as store:
        return StoredRun.of(store, run_beginning(store, run))
