"""The trial and seed runs of a sweep: each found again after an interruption, each done once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from quorum.commands.resolve import Resolved, resolve
from quorum.commands.setup import example_image
from quorum.commands.training import (
    Bench,
    check_trainable,
    seed_result,
    train_and_log,
    training_tags,
    trial_tags,
)
from quorum.engine.state import discard_state
from quorum.errors import DivergedError
from quorum.study.results import SeedResult, TrialRequest, TrialResult
from quorum.tracking import tags
from quorum.tracking.models import delete_model, log_classifier
from quorum.tracking.queries import family, finished_training, get_run
from quorum.tracking.runs import FINISHED, Run, RunLog, open_run
from quorum.versions import code_version


@dataclass
class SweepRuns:
    """Runs the trials of one sweep.

    Attributes:
        bench: data, device and folders.
        log: the sweep's run.
        seeds: of every trial.
        keep: number of trials whose best seed's weights are kept.
        reuse: whether trainings of other sweeps are linked instead of repeated.
    """

    bench: Bench
    log: RunLog
    seeds: tuple[int, ...]
    keep: int
    reuse: bool
    _runs: dict[str, Run] = field(init=False)
    _done: dict[str, TrialResult] = field(default_factory=dict)  # by key, in the order they were done

    def __post_init__(self) -> None:
        self._runs = family(self.log.store, self.log.run_id)

    def execute(self, request: TrialRequest) -> TrialResult:
        """A trial over all its seeds: trained, gone on with, or read from the runs that hold it."""
        key = f"{request.stage}/{request.number}"
        resolved = resolve(request.config, self.bench.device, self.log.store)
        previous = self._runs.get(key)
        if previous is None or previous.info.status != FINISHED:
            check_trainable(resolved, self.bench)
        if previous is not None and (stands := self._standing(request, previous)) is not None:
            self._done[key] = stands
            return stands
        digest = self.bench.data.batches(resolved.config, self.bench.device).store.digest
        values = {
            **trial_tags(resolved.config, digest),
            tags.KEY: key,
            tags.SWEEP: self.log.run_id,
            tags.STAGE: request.stage,
            tags.TRIAL: str(request.number),
        }
        if resolved.origin is not None:
            values[tags.WEIGHTS_RUN] = resolved.origin.run_id
        name = title(request)
        result: TrialResult | None = None
        try:
            with open_run(
                self.log.store, "trial", name, values, parent=self.log.run_id, previous=previous
            ) as trial_log:
                trial_log.params({k: v for k, v in resolved.config.model_dump().items() if k != "seed"})
                results = [self._seed(key, name, resolved, seed, trial_log) for seed in self.seeds]
                result = self._done[key] = TrialResult(request, trial_log.run_id, tuple(results))
                self._write(result, trial_log)
        except DivergedError:
            assert result is not None
        return result

    def _standing(self, request: TrialRequest, run: Run) -> TrialResult | None:
        """The result of a trial all of whose seeds have ended, or None."""
        seed_runs = json.loads(run.data.tags.get(tags.SEED_RUNS, "{}"))
        if not run.info.end_time or set(seed_runs) != {str(seed) for seed in self.seeds}:
            return None
        results = []
        for seed in self.seeds:
            ended = get_run(self.log.store, seed_runs[str(seed)])
            own = (self.log.run_id, _seed_key(f"{request.stage}/{request.number}", seed))
            foreign = (ended.data.tags.get(tags.SWEEP), ended.data.tags.get(tags.KEY)) != own
            if ended.info.status == FINISHED:
                results.append(seed_result(ended, seed, reused=foreign))
            elif (reason := _divergence(ended)) is not None:
                results.append(SeedResult(seed, ended.info.run_id, reason=reason))
            else:
                return None
        result = TrialResult(request, run.info.run_id, tuple(results))
        return result if result.failed or run.info.status == FINISHED else None

    def _seed(self, key: str, name: str, resolved: Resolved, seed: int, trial_log: RunLog) -> SeedResult:
        """One seed of a trial."""
        config = resolved.config.replace(seed=seed)
        seed_key = _seed_key(key, seed)
        previous = self._runs.get(seed_key)
        if previous is not None and previous.info.status == FINISHED:
            return seed_result(previous, seed, reused=False)
        if previous is not None and (reason := _divergence(previous)) is not None:
            return SeedResult(seed, previous.info.run_id, reason=reason)
        digest = self.bench.data.batches(config, self.bench.device).store.digest
        store = self.log.store
        if previous is None:
            done = finished_training(store, config.fingerprint(), digest, code_version())
            if done is not None and (self.reuse or done.data.tags.get(tags.SWEEP) == self.log.run_id):
                return seed_result(done, seed, reused=True)
        values = {**training_tags(config, digest), tags.KEY: seed_key, tags.SWEEP: self.log.run_id}
        run_id = ""
        try:
            with open_run(
                store, "seed", f"seed {seed}, {name}", values, parent=trial_log.run_id, previous=previous
            ) as log:
                run_id = log.run_id
                return train_and_log(
                    self.bench, Resolved(config, resolved.weights, resolved.origin), log, f"seed {seed}, {name}"
                )
        except DivergedError as error:
            discard_state(self.bench.state_folder(run_id))
            store.client.set_tag(run_id, tags.DIVERGED, str(error))
            return SeedResult(seed, run_id, reason=str(error))

    def _write(self, result: TrialResult, log: RunLog) -> None:
        """Write a trial's figures, and keep its weights if it is among the best. Raises DivergedError if it failed."""
        log.tags({tags.SEED_RUNS: {str(seed.seed): seed.run_id for seed in result.seeds}})
        for measure in ("val_accuracy", "test_accuracy", "val_loss"):
            spread = result.of(measure)
            log.metrics({f"{measure}/mean": spread.mean, f"{measure}/std": spread.std, f"{measure}/n": spread.n})
        if not result.failed:
            self._keep_best(log)
        for seed in result.seeds:
            discard_state(self.bench.bundle_folder(seed.run_id))
        if result.failed:
            raise DivergedError("; ".join(f"seed {seed.seed}: {seed.reason}" for seed in result.seeds if seed.reason))

    def _keep_best(self, log: RunLog) -> None:
        """Keep the weights of the best trials' best seeds, and of no others that this sweep has trained."""
        ranked = sorted(
            (trial for trial in self._done.values() if not trial.failed),
            key=lambda trial: -(trial.of("val_accuracy").mean or 0.0),
        )
        # A later stage repeats the best trial of the one before: trials that share their seeds' runs count once.
        kept = list(dict.fromkeys(trial.best_seed.run_id for trial in ranked))[: self.keep]
        for trial in ranked:
            if trial.best_seed.run_id not in kept:
                self._drop(trial)
            elif (model_id := self._model(trial)) is not None:
                values = {tags.MODEL_ID: model_id, tags.BEST_RUN: trial.best_seed.run_id}
                RunLog(log.store, get_run(log.store, trial.run_id)).tags(values)

    def _model(self, trial: TrialResult) -> str | None:
        """The logged model of a trial's best seed, logged now if its weights are at hand; None if they are gone."""
        store = self.log.store
        run = get_run(store, trial.best_seed.run_id)
        if tags.MODEL_ID in run.data.tags:
            return str(run.data.tags[tags.MODEL_ID])
        bundle = self.bench.bundle_folder(run.info.run_id)
        if not bundle.is_dir():
            return None
        config = resolve(trial.request.config, self.bench.device, store).config
        pixels = self.bench.data.batches(config, self.bench.device).store
        log = RunLog(store, run)
        model_id = log_classifier(log, bundle, example_image(pixels), config.model_dump())
        log.tags({tags.MODEL_ID: model_id})
        return model_id

    def _drop(self, trial: TrialResult) -> None:
        """Delete the weights of a trial that is no longer among the best, if this sweep trained them."""
        store = self.log.store
        run = get_run(store, trial.best_seed.run_id)
        model_id = run.data.tags.get(tags.MODEL_ID)
        if model_id is None or run.data.tags.get(tags.SWEEP) != self.log.run_id or not delete_model(store, model_id):
            return
        store.client.delete_tag(run.info.run_id, tags.MODEL_ID)
        for key in (tags.MODEL_ID, tags.BEST_RUN):
            store.client.delete_tag(trial.run_id, key)


def describe(request: TrialRequest) -> str:
    """The varied settings of a trial on one line."""
    return ", ".join(f"{key}={value}" for key, value in request.settings.items()) or "base"


def title(request: TrialRequest) -> str:
    """Name of a trial: its varied settings, after its stage's name where that says more than they do."""
    settings = describe(request)
    return settings if request.stage.replace("-", "_") in request.settings else f"{request.stage}: {settings}"


def _seed_key(key: str, seed: int) -> str:
    return f"{key}/seed-{seed}"


def _divergence(run: Run) -> str | None:
    """Why a training diverged, or None if it did not."""
    return run.data.tags.get(tags.DIVERGED)
