"""The weights that a sweep keeps: those of its best trials' best seeds, and of no others that it has trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from quorum.data.opened import example_image
from quorum.engine.state import discard_state
from quorum.study.results import VAL_ACCURACY, TrialResult
from quorum.tracking import schema
from quorum.tracking.logged_models import delete_model, log_classifier
from quorum.tracking.queries import get_run
from quorum.tracking.runs import RunLog
from quorum.tracking.store import Store
from quorum.training.resolve import resolve
from quorum.training.run import Bench


@dataclass
class KeptWeights:
    """Weights wait in bundle folders until the end of a stage, when those that are still among the best are logged.

    Attributes:
        bench: data, device and folders.
        store: the tracking store.
        sweep_run_id: of the sweep.
        count: number of trials whose best seed's weights are kept.
    """

    bench: Bench
    store: Store
    sweep_run_id: str
    count: int
    _best: list[TrialResult] = field(default_factory=list)  # by mean, the best first

    def add(self, trial: TrialResult) -> None:
        """A trial has ended: keep its weights if it is among the best, and drop what it supersedes."""
        if not trial.failed:
            ranked = sorted([*self._best, trial], key=lambda one: -(one.of(VAL_ACCURACY).mean or 0.0))
            # A later stage repeats the best trial of the one before: trials that share their seeds' runs count once.
            kept = list(dict.fromkeys(one.best_seed.run_id for one in ranked))[: self.count]
            self._best = [one for one in ranked if one.best_seed.run_id in kept]
            for dropped in [one for one in ranked if one.best_seed.run_id not in kept]:
                self._drop(dropped)
        best = {one.best_seed.run_id for one in self._best}
        for seed in trial.seeds:
            if seed.run_id not in best:
                discard_state(self.bench.bundle_folder(seed.run_id))

    def log(self) -> None:
        """Log what is kept as models, each once, and point the trials at them."""
        for trial in self._best:
            if (model_id := self._model(trial)) is not None:
                values = {schema.MODEL_ID: model_id, schema.BEST_RUN: trial.best_seed.run_id}
                RunLog(self.store, get_run(self.store, trial.run_id)).tags(values)
            discard_state(self.bench.bundle_folder(trial.best_seed.run_id))

    def _model(self, trial: TrialResult) -> str | None:
        """The logged model of a trial's best seed, logged now if its weights are at hand; None if they are gone."""
        run = get_run(self.store, trial.best_seed.run_id)
        if schema.MODEL_ID in run.data.tags:
            return str(run.data.tags[schema.MODEL_ID])
        bundle = self.bench.bundle_folder(run.info.run_id)
        if not bundle.is_dir():
            return None
        config = resolve(trial.request.config, self.bench.device, self.store).config
        pixels = self.bench.data.batches(config, self.bench.device).store
        log = RunLog(self.store, run)
        model_id = log_classifier(log, bundle, example_image(pixels), config.model_dump())
        log.tags({schema.MODEL_ID: model_id})
        return model_id

    def _drop(self, trial: TrialResult) -> None:
        """Delete the weights of a trial that is no longer among the best, if this sweep trained them."""
        discard_state(self.bench.bundle_folder(trial.best_seed.run_id))
        run = get_run(self.store, trial.best_seed.run_id)
        model_id = run.data.tags.get(schema.MODEL_ID)
        if model_id is None or run.data.tags.get(schema.SWEEP) != self.sweep_run_id:
            return
        if not delete_model(self.store, model_id):
            return
        self.store.client.delete_tag(run.info.run_id, schema.MODEL_ID)
        for key in (schema.MODEL_ID, schema.BEST_RUN):
            self.store.client.delete_tag(trial.run_id, key)
