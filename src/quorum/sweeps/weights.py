"""The weights that a sweep keeps: those of its best trials' best seeds, and of no others that it has trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from quorum.study.results import TrialResult, rank
from quorum.tracking.queries import get_record, get_training, search
from quorum.tracking.records import TrainingRecord, TrialRecord
from quorum.tracking.run_log import RunLog
from quorum.tracking.store import TrackingStore
from quorum.tracking.stored_models import delete_model, delete_models_of, is_registered
from quorum.training.folders import WorkFolders
from quorum.training.prepare import Preparer
from quorum.training.run import log_model


@dataclass
class KeptWeights:
    """Weights wait in bundle folders until the end of a stage, when those that are still among the best are logged.

    Attributes:
        preparer: prepares the trainings of trials.
        folders: where bundles are.
        store: the tracking store.
        sweep_run_id: of the sweep.
        count: number of trials whose best seed's weights are kept.
    """

    preparer: Preparer
    folders: WorkFolders
    store: TrackingStore
    sweep_run_id: str
    count: int
    _best: list[TrialResult] = field(default_factory=list)  # the best first
    _stages: list[str] = field(default_factory=list)  # in their order

    def add(self, trial: TrialResult, *, stored: bool = False) -> None:
        """A trial has ended: keep its weights if it is among the best, and drop what it supersedes.

        Args:
            trial: its result.
            stored: whether it ended before this process began. Then the one before may have been killed while it
                dropped something.
        """
        if trial.request.stage not in self._stages:
            self._stages.append(trial.request.stage)
        if not trial.failed:
            ranked = rank(sorted([*self._best, trial], key=self._place))  # of equals the first, whichever ended first
            # A later stage repeats the best trial of the one before: trials that share their seeds' runs count once.
            kept = list(dict.fromkeys(one.best_seed.run_id for one in ranked))[: self.count]
            self._best = [one for one in ranked if one.best_seed.run_id in kept]
            for run_id in {one.best_seed.run_id for one in ranked} - set(kept):
                self._drop(run_id, [one for one in ranked if one.best_seed.run_id == run_id], stored=stored)
        best = {one.best_seed.run_id for one in self._best}
        for seed in trial.seeds:
            # Those of a training that is another sweep's wait for that one to keep them.
            if seed.run_id not in best and (not seed.reused or seed.source == self.sweep_run_id):
                self.folders.bundle(seed.run_id).discard()

    def _place(self, trial: TrialResult) -> tuple[int, int]:
        return self._stages.index(trial.request.stage), trial.request.number

    def log(self) -> None:
        """Log what is kept as models, each once, and point the trials at them."""
        for trial in self._best:
            if model_id := self._model(trial):
                self._trial_log(trial).set(model_id=model_id, best_seed_run=trial.best_seed.run_id)
            self.folders.bundle(trial.best_seed.run_id).discard()

    def _model(self, trial: TrialResult) -> str:
        """The logged model of a trial's best seed, logged now if its weights are at hand; "" if they are gone."""
        training = get_training(self.store, trial.best_seed.run_id)
        if training.model_id:
            return training.model_id
        log = RunLog(self.store, training)
        if model_id := log_model(log, self.preparer.prepare(trial.request.config), self.folders):
            log.set(model_id=model_id)
        return model_id

    def _drop(self, run_id: str, trials: Sequence[TrialResult], *, stored: bool = False) -> None:
        """Delete the weights of a training that are no longer among the best, if this sweep trained them.

        Args:
            run_id: of the training.
            trials: all whose best seed it is.
            stored: whether models are looked for that no tag points at.
        """
        training = get_training(self.store, run_id)
        if training.sweep_run_id != self.sweep_run_id:
            return
        self.folders.bundle(run_id).discard()
        if training.model_id and not self._is_needed(training):
            # The tags go first, the training's last of them: who finds one relies on its model, and a sweep that is
            # killed here and goes on begins with the training's.
            for trial in trials:
                self._trial_log(trial).unset("model_id", "best_seed_run")
            RunLog(self.store, training).unset("model_id")
            delete_model(self.store, training.model_id)
        elif stored and not training.model_id:
            delete_models_of(self.store, run_id)

    def _is_needed(self, training: TrainingRecord) -> bool:
        """Whether the model of a training is that of a registered version, or of another sweep's trial."""
        if is_registered(self.store, training.model_id, training.run_id):
            return True
        trials = search(self.store, TrialRecord, model_id=training.model_id)
        return any(trial.sweep_run_id != self.sweep_run_id for trial in trials)

    def _trial_log(self, trial: TrialResult) -> RunLog:
        return RunLog(self.store, get_record(self.store, TrialRecord, trial.run_id))
