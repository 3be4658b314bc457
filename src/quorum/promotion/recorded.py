"""What a trial has recorded of itself: its seeds' runs, and the settings that it can be trained with again."""

from __future__ import annotations

import dataclasses
import json

from quorum.config import TrialConfig, parse_config
from quorum.errors import RegistryError
from quorum.metric_names import BEST_VAL_ACCURACY
from quorum.summary import best_of
from quorum.tracking import schema
from quorum.tracking.queries import artifact, get_training
from quorum.tracking.records import TrainingRecord, TrialRecord
from quorum.tracking.store import TrackingStore


def seeds_of(trial: TrialRecord) -> dict[int, str]:
    """Run ids by seed of a trial, or of a single training."""
    if trial.kind == schema.TRAIN_KIND:
        return {whole_number(trial.params["seed"]): trial.run_id}
    return {int(seed): run_id for seed, run_id in trial.seed_runs.items()}


def whole_number(text: str) -> int:
    """A setting that is a whole number, as a run keeps it: `mlflow run` logs what was typed, which may be 3.0."""
    return int(float(text))


def best_training(store: TrackingStore, trial: TrialRecord) -> TrainingRecord | None:
    """The training of a trial's best seed, whether its weights were kept or not; None where no seed finished."""
    if trial.best_seed_run:
        return get_training(store, trial.best_seed_run)
    trainings = [get_training(store, run_id) for run_id in seeds_of(trial).values()]
    return best_of(trainings, lambda one: one.metrics.get(BEST_VAL_ACCURACY))


def with_stored_weights(store: TrackingStore, trial: TrialRecord) -> TrialRecord:
    """A trial with the logged model of its best seed. A sweep that reuses the seed of another one keeps no weights of
    it; the other may have kept them."""
    best = None if trial.model_id else best_training(store, trial)
    if best is None or not best.model_id:
        return trial
    return dataclasses.replace(trial, model_id=best.model_id, best_seed_run=best.run_id)


def config_of(store: TrackingStore, trial: TrialRecord) -> TrialConfig:
    """The resolved settings of a trial, as one of its trainings kept them. Raises RegistryError where none did."""
    run_id = next(iter(seeds_of(trial).values()), trial.run_id)
    file = artifact(store, run_id, schema.CONFIG)
    if file is None:
        raise RegistryError(f"run {run_id} has no {schema.CONFIG}, so it cannot be trained again")
    return parse_config(TrialConfig, json.loads(file.read_text()), str(file))
