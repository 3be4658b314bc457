"""`quorum.results`: what a store holds, as one data frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import pandas as pd

from quorum import metric_names
from quorum.api.own_folders import check_text
from quorum.api.session import tracking
from quorum.errors import ConfigError, unknown
from quorum.tracking.queries import history_frame, trainings, trials
from quorum.tracking.records import TrainingRecord, TrialRecord
from quorum.tracking.store import TrackingStore

Level = Literal["trial", "seed", "epoch"]
EPOCH_LR = "epoch_lr"  # the learning rate of an epoch, beside the setting `lr`
LEVELS: tuple[Level, ...] = ("trial", "seed", "epoch")


def results(dataset: str = "digits", *, level: Level = "trial") -> pd.DataFrame:
    """Every trial, seed or epoch of a data set that the store holds, newest first.

    Args:
        dataset: its name.
        level: `trial`: a row for each trial (a single training is one of one seed), with mean, std and n of every
            metric; `seed`: a row for each training with its metrics; `epoch`: a row for each epoch of each training.

    Returns:
        Columns: `run_id`, `name`, `status`, `stage`, `sweep_run_id` (and `seed`, `reason`), the settings by name, and
        the metrics by the names that they have in MLflow: accuracies are fractions, losses means in nats. An epoch's
        own learning rate is `epoch_lr`.

    Raises:
        ConfigError: for a level that is unknown.
        DataError: for text that is no name of a data set.
    """
    if level not in LEVELS:
        raise ConfigError(unknown("level", str(level), LEVELS))
    with tracking() as store:
        return stored_results(store, dataset, level)


def stored_results(store: TrackingStore, dataset: str, level: Level) -> pd.DataFrame:
    """`results` with its store open. Raises DataError for text that is no name of a data set."""
    check_text(dataset)
    if level == "trial":
        return trial_frame(trials(store, dataset))
    if level == "seed":
        return training_frame(trainings(store, dataset))
    frames = list(_epochs(store, dataset))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def trial_frame(records: Iterable[TrialRecord]) -> pd.DataFrame:
    """Trials as `results` has them."""
    return pd.DataFrame([_row(trial, _trial_metrics(trial)) for trial in records])


def training_frame(records: Iterable[TrainingRecord]) -> pd.DataFrame:
    """Trainings as `results` has them."""
    # The last epoch's learning rate would take the place of the setting.
    rows = [
        _row(
            training,
            {name: value for name, value in training.metrics.items() if name != metric_names.LR},
            seed=training.seed,
            reason=training.reason,
        )
        for training in records
    ]
    return pd.DataFrame(rows)


def _row(record: TrialRecord, metrics: dict[str, float] | Any, **more: Any) -> dict[str, Any]:
    place = {name: getattr(record, name) for name in ("run_id", "name", "status", "stage", "sweep_run_id")}
    settings = {name: _number(value) for name, value in record.params.items() if name != "seed"}
    return {**place, **more, **settings, **metrics}


def _trial_metrics(trial: TrialRecord) -> dict[str, float]:
    ends = (metric_names.MEAN, metric_names.STD, metric_names.TRIAL_N)
    return {name: value for name, value in trial.metrics.items() if name.endswith(ends)}


def _epochs(store: TrackingStore, dataset: str) -> Iterator[pd.DataFrame]:
    for training in trainings(store, dataset):
        frame = history_frame(store, training.run_id).rename(columns={metric_names.LR: EPOCH_LR})
        place = _row(training, {}, seed=training.seed)
        yield pd.concat([pd.DataFrame([place] * len(frame)), frame.reset_index(drop=True)], axis=1)


def _number(text: str) -> str | int | float:
    """A setting as the number that it is, or as text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
