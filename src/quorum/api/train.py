"""`quorum.train`: one configuration, one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from quorum.api.computing import device_of, end_of, folders_of, preparer_of
from quorum.api.load import Predictor, load_model
from quorum.api.options import TrainOptions
from quorum.api.own_folders import find_dataset
from quorum.api.session import divide, documented, tracking
from quorum.config import TrialConfig, parse_config
from quorum.engine.device import Machine
from quorum.study.results import SeedResult
from quorum.tracking.queries import get_training, history_frame, predictions
from quorum.tracking.store import TrackingStore
from quorum.tracking.system_metrics import check_system_metrics
from quorum.training import job
from quorum.training.single import Work, train_one


@dataclass(frozen=True)
class TrainedRun:
    """A finished training.

    Attributes:
        run_id: of its MLflow run.
        metrics: what came out, by name: `best/epoch`, `best/val_accuracy`, `last/val_accuracy`, `test/accuracy` and so
            on. Accuracies are fractions, losses mean cross-entropies in nats.
        reused: whether it had been trained before and was not trained again.
    """

    run_id: str
    metrics: Mapping[str, float]
    reused: bool
    _store: TrackingStore = field(repr=False)

    @classmethod
    def of(cls, store: TrackingStore, result: SeedResult) -> TrainedRun:
        """The run of a result."""
        return cls(result.run_id, dict(result.metrics), result.reused, store)

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row for each epoch: `epoch` (from 1), `train/loss`, `val/accuracy` and every other metric of epochs."""
        return history_frame(self._store, self.run_id)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What it predicted for each image of the validation and test split: `split`, `file`, `true`, `predicted` and
        `probability`."""
        return predictions(self._store, self.run_id)

    @property
    def settings(self) -> dict[str, str]:
        """Its settings as they were logged."""
        return dict(get_training(self._store, self.run_id).params)

    def model(self) -> Predictor:
        """The network of the best epoch, ready to predict.

        Raises:
            RegistryError: where its weights were not kept.
        """
        return load_model(self._store, f"runs:/{self.run_id}/model")


@documented(TrainOptions, trial=True)
def train(**settings: Any) -> TrainedRun:
    """Train one configuration with one seed, go on where it was interrupted, or return the run that holds the result.

    Raises:
        OutOfTimeError: where `max_hours` are over before it is finished.
        QuorumError: for a setting that is wrong, data or weights that are missing, or a training that diverged.
    """
    options, trial = divide(TrainOptions, settings, trial=True)
    with tracking(options) as store:
        return run_training(options, trial, store)


def run_training(
    options: TrainOptions, trial: Mapping[str, Any], store: TrackingStore, work: Work = job.train
) -> TrainedRun:
    """`train` with its options checked and its store open.

    Args:
        options: what to do with it.
        trial: settings of the trial.
        store: the tracking store.
        work: does the training, see `quorum.training.job.train`.
    """
    if options.system_metrics:
        check_system_metrics()
    until = end_of(options.max_hours)
    options, dataset = find_dataset(options, trial.get("dataset"), store)
    config = parse_config(TrialConfig, {**trial, "dataset": dataset}, "the settings")
    folders = folders_of(options)
    preparer = preparer_of(options, config, store, folders, Machine.here(device_of(options)))
    result = train_one(
        config,
        preparer,
        folders,
        reuse=options.reuse,
        work=work,
        until=until,
        watched=options.system_metrics,
    )
    return TrainedRun.of(store, result)
