"""What a trial has recorded of itself: its seeds' runs, and the settings that it can be trained with again."""

from __future__ import annotations

import json

from quorum.config import TrialConfig, parse_config
from quorum.errors import RegistryError
from quorum.tracking import schema
from quorum.tracking.queries import artifact
from quorum.tracking.records import TrialRecord
from quorum.tracking.store import TrackingStore


def seeds_of(trial: TrialRecord) -> dict[int, str]:
    """Run ids by seed of a trial, or of a single training."""
    if trial.kind == schema.TRAIN_KIND:
        return {int(trial.params["seed"]): trial.run_id}
    return {int(seed): run_id for seed, run_id in trial.seed_runs.items()}


def config_of(store: TrackingStore, trial: TrialRecord) -> TrialConfig:
    """The resolved settings of a trial, as one of its trainings kept them. Raises RegistryError where none did."""
    run_id = next(iter(seeds_of(trial).values()), trial.run_id)
    file = artifact(store, run_id, schema.CONFIG)
    if file is None:
        raise RegistryError(f"run {run_id} has no {schema.CONFIG}, so it cannot be trained again")
    return parse_config(TrialConfig, json.loads(file.read_text()), str(file))
