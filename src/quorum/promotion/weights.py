"""The weights of candidates: kept by their sweep, or trained again, exactly."""

from __future__ import annotations

import dataclasses

from quorum import metric_names
from quorum.errors import RegistryError
from quorum.promotion.candidates import Candidate
from quorum.promotion.fresh_seeds import RunTrials
from quorum.promotion.recorded import best_training, config_of
from quorum.study.results import TrialRequest
from quorum.tracking.queries import get_training
from quorum.tracking.records import TrainingRecord
from quorum.tracking.run_log import RunLog
from quorum.tracking.store import TrackingStore
from quorum.versions import code_version

STAGE = "weights"


def train_again(store: TrackingStore, candidate: Candidate, numerics: str, run_trials: RunTrials) -> Candidate:
    """A candidate whose best seed is trained once more, since its weights were not kept.

    Args:
        store: the tracking store.
        candidate: without a logged model.
        numerics: class of the machine that trains.
        run_trials: trains trials over seeds, and keeps their weights.

    Returns:
        The candidate with a logged model, which its trial's run names too.

    Raises:
        RegistryError: where it was made by other code or on another class of machine, so that the same weights cannot
            be had, or comes out otherwise.
    """
    trial = candidate.trial
    before = best_training(store, trial)
    assert before is not None, "a candidate has a mean"
    name = f"trial {trial.name!r} (run {trial.run_id}) kept no weights"
    config = config_of(store, trial).replace(seed=0)
    code = code_version(config.model)
    for what, then, now in (("code", before.code_version, code), ("machines", before.numerics, numerics)):
        if then != now:
            raise RegistryError(
                f"{name}, and they cannot be had again exactly: it was made by other {what} ({then}, here {now}); run "
                "its sweep again with a higher keep="
            )
    request = TrialRequest(STAGE, 0, {"again": trial.run_id[:8]}, config)
    result = run_trials([request], (before.seed,))[0]
    again = get_training(store, result.best_seed.run_id)
    if changed := _differing(before, again):
        raise RegistryError(f"{name}, and came out otherwise when it was trained again: {changed}")
    RunLog(store, trial).set(model_id=again.model_id, best_seed_run=again.run_id)
    kept = dataclasses.replace(trial, model_id=again.model_id, best_seed_run=again.run_id)
    return dataclasses.replace(candidate, trial=kept)


def _differing(before: TrainingRecord, again: TrainingRecord) -> str:
    """The first result that two trainings do not share bit for bit, in words; "" where there is none."""
    for name, value in before.metrics.items():
        if name.startswith(metric_names.OF_TRAININGS) and again.metrics.get(name) != value:
            return f"{name} {value!r}, now {again.metrics.get(name)!r}"
    return ""
