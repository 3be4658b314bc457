"""The trial and seed runs of a sweep: found again after an interruption, begun, and ended."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from quorum.errors import TrainingError
from quorum.metric_names import LAST_EPOCH
from quorum.rounding import rounded
from quorum.study.prefix import TrainingPath
from quorum.study.results import SeedResult, TrialRequest, TrialResult
from quorum.study.values import Settings
from quorum.tracking import schema
from quorum.tracking.queries import Reuse, family, finished_trainings, get_training
from quorum.tracking.records import TrainingRecord, TrialRecord, training_identity, trial_identity
from quorum.tracking.run_log import RunLog, close_run
from quorum.tracking.runs import begin_run
from quorum.training.prepared import PreparedTraining
from quorum.training.run import log_data, trial_metrics


@dataclass
class OpenTrial:
    """A trial that is not finished.

    Attributes:
        request: what is asked for.
        prepared: its training, whatever the seed.
        results: of the seeds that have ended.
        log: its run, once it has been begun.
    """

    request: TrialRequest
    prepared: PreparedTraining
    results: dict[int, SeedResult] = field(default_factory=dict)
    log: RunLog | None = None

    @property
    def key(self) -> str:
        """What its run is found by within its sweep."""
        return f"{self.request.stage}/{self.request.number}"

    def seed_key(self, seed: int) -> str:
        """What the run of a seed is found by within its sweep."""
        return f"{self.key}/seed-{seed}"

    def path(self, seed: int) -> TrainingPath:
        """The path of a seed's training."""
        return TrainingPath(self.prepared.config.replace(seed=seed), self.prepared.numerics)

    @property
    def record(self) -> TrialRecord:
        """What the trial is found again by."""
        prepared = self.prepared
        return TrialRecord(**trial_identity(prepared.config, prepared.data_digest, prepared.numerics))


@dataclass
class SweepRuns:
    """The runs below a sweep's.

    Attributes:
        log: the sweep's run.
        seeds: of every trial.
        reuse: whether trainings of other sweeps are linked instead of repeated, and which.
        kind: of the trials' runs.
        superseded: ids of runs that are not gone on with, since the sweep asks for other settings in their place now.
    """

    log: RunLog
    seeds: tuple[int, ...]
    reuse: Reuse
    kind: str = schema.TRIAL_KIND
    superseded: set[str] = field(default_factory=set)
    _runs: dict[str, list[TrainingRecord]] = field(init=False)  # of an interrupted sweep, by key

    def __post_init__(self) -> None:
        self._runs = {}
        for run in family(self.log.store, self.log.run_id):
            self._runs.setdefault(run.key, []).append(run)

    def stored_result(self, trial: OpenTrial) -> TrialResult | None:
        """The result of a trial all of whose seeds have ended, or None."""
        run = self._begun(trial, trial.key)
        if run is None or not run.ended or set(run.seed_runs) != {str(seed) for seed in self.seeds}:
            return None
        results = []
        for seed in self.seeds:
            training = get_training(self.log.store, run.seed_runs[str(seed)])
            own = (training.sweep_run_id, training.key) == (self.log.run_id, trial.seed_key(seed))
            result = _stored_seed(training, reused=not own, here=trial.prepared.numerics)
            if result is None:
                return None
            results.append(result)
        found = TrialResult(trial.request, run.run_id, tuple(results))
        return found if found.failed or run.finished else None

    def stored_seeds(self, trial: OpenTrial) -> dict[int, SeedResult]:
        """The seeds that need not be trained: they have been, in this sweep or, if that may be, elsewhere."""
        begun = {seed: run for seed in self.seeds if (run := self._begun(trial, trial.seed_key(seed))) is not None}
        here = trial.prepared.numerics
        found = {
            seed: result
            for seed, run in begun.items()
            if (result := _stored_seed(run, reused=False, here=here)) is not None
        }
        if len(begun) == len(self.seeds):
            return found
        for run in self._diverged(trial):  # for another trial of the same settings
            if run.seed not in begun:
                found[run.seed] = run.result(reused=True, here=here)
        for seed, training in finished_trainings(self.log.store, trial.record, self.reuse).items():
            linkable = self.reuse or training.sweep_run_id == self.log.run_id
            if seed in self.seeds and seed not in begun and linkable:
                found[seed] = training.result(reused=True, here=here)
        return found

    def _begun(self, trial: OpenTrial, key: str) -> TrainingRecord | None:
        """The run of a trial, or of its seed, that was begun before the sweep was interrupted. One of other settings is
        none: a stage asks for others where the best of the stage before has become another one."""
        fingerprint = trial.record.trial_fingerprint
        return next((run for run in self._runs.get(key, []) if run.trial_fingerprint == fingerprint), None)

    def _diverged(self, trial: OpenTrial) -> list[TrainingRecord]:
        fingerprint = trial.record.trial_fingerprint
        runs = [run for found in self._runs.values() for run in found if run.diverged]
        return [run for run in runs if run.trial_fingerprint == fingerprint and run.seed in self.seeds]

    def _previous(self, trial: OpenTrial, key: str) -> TrainingRecord | None:
        """The run to go on with."""
        found = self._begun(trial, key)
        self.superseded |= {run.run_id for run in self._runs.get(key, []) if run is not found}
        return found

    def begin_trial(self, trial: OpenTrial) -> RunLog:
        """The run of a trial: begun, or gone on with."""
        if trial.log is not None:
            return trial.log
        prepared, request = trial.prepared, trial.request
        origin = prepared.weights.origin if prepared.weights else None
        record = dataclasses.replace(
            trial.record,
            kind=self.kind,
            key=trial.key,
            sweep_run_id=self.log.run_id,
            stage=request.stage,
            number=request.number,
            data_source=prepared.source,
            weights_run_id=origin.run_id if origin else "",
        )
        previous = self._previous(trial, trial.key)
        trial.log = begin_run(self.log.store, title(request), record, parent=self.log.run_id, previous=previous)
        trial.log.params({k: v for k, v in prepared.config.model_dump().items() if k != "seed"})
        log_data(trial.log, prepared)
        return trial.log

    def begin_seed(
        self, trial: OpenTrial, prepared: PreparedTraining, name: str, start: int, origin: str | None
    ) -> RunLog:
        """The run of a seed: begun, or gone on with.

        Args:
            trial: its trial.
            prepared: its training.
            name: of the run.
            start: epochs that its training takes over.
            origin: the run whose training has done them. Both are kept from when the run was first begun: a state from
                which it goes on later may be its own.
        """
        seed = prepared.config.seed
        record = TrainingRecord(
            **training_identity(prepared.config, prepared.data_digest, prepared.numerics),
            kind=schema.SEED_KIND,
            key=trial.seed_key(seed),
            sweep_run_id=self.log.run_id,
            stage=trial.request.stage,
            number=trial.request.number,
            data_source=prepared.source,
            varied=describe(trial.request),
            shared_epochs=start if origin else 0,
            shared_with=origin or "",
        )
        parent = self.begin_trial(trial).run_id
        return begin_run(self.log.store, name, record, parent=parent, previous=self._previous(trial, record.key))

    def finish(self, trial: OpenTrial) -> TrialResult:
        """Log the results of a trial all of whose seeds have ended."""
        log = self.begin_trial(trial)
        result = TrialResult(trial.request, log.run_id, tuple(trial.results[seed] for seed in self.seeds))
        finished = [seed.metrics for seed in result.seeds if not seed.reason]
        # Anew where a seed has been trained again that had failed.
        log.metrics(
            trial_metrics(finished),
            changed=True,
            seed_runs={str(seed.seed): seed.run_id for seed in result.seeds},
        )
        reasons = [f"seed {seed.seed}: {seed.reason}" for seed in result.seeds if seed.reason]
        close_run(log, TrainingError("; ".join(reasons)) if reasons else None)
        return result


def close_as_failed(log: RunLog, reason: str, last_epoch: int, *, diverged: bool) -> None:
    """End the run of a training that failed after an epoch. One that diverged would do so again, so it is not
    repeated."""
    log.metrics({LAST_EPOCH: last_epoch}, step=last_epoch)
    if diverged:
        log.set(diverged=reason)
    close_run(log, TrainingError(reason))


def describe(request: TrialRequest) -> str:
    """The varied settings of a trial on one line."""
    return describe_settings(request.settings)


def describe_settings(settings: Settings) -> str:
    """Varied settings on one line."""
    return ", ".join(f"{key}={rounded(value)}" for key, value in settings.items()) or "base"


def title(request: TrialRequest) -> str:
    """Name of a trial: its varied settings, after its stage's name where that says more than they do."""
    settings = describe(request)
    return settings if request.stage.replace("-", "_") in request.settings else f"{request.stage}: {settings}"


def _stored_seed(training: TrainingRecord, *, reused: bool, here: str) -> SeedResult | None:
    """The result of a training that finished or diverged; None of one that has to be gone on with."""
    return training.result(reused=reused, here=here) if training.finished or training.diverged else None
