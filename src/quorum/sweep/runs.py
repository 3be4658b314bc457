"""The trial and seed runs of a sweep: found again after an interruption, begun, and ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from quorum.config import TrialConfig
from quorum.errors import TrainingError
from quorum.study.prefix import TrainingPath
from quorum.study.results import TEST_ACCURACY, VAL_ACCURACY, VAL_LOSS, SeedResult, TrialRequest, TrialResult
from quorum.tracking import schema
from quorum.tracking.queries import family, finished_trainings, get_run
from quorum.tracking.runs import FINISHED, Run, RunLog, begin_run, close_run
from quorum.training.resolve import Resolved
from quorum.training.run import Bench, seed_result, training_tags, trial_tags
from quorum.versions import code_version

MEASURES = {"val_accuracy": VAL_ACCURACY, "test_accuracy": TEST_ACCURACY, "val_loss": VAL_LOSS}


@dataclass
class OpenTrial:
    """A trial that is not finished.

    Attributes:
        request: what is asked for.
        resolved: its settings.
        results: what is known of its seeds.
        log: its run, once it has been begun.
    """

    request: TrialRequest
    resolved: Resolved
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
        """A seed's way through the tree."""
        return TrainingPath(self.resolved.config.replace(seed=seed))


@dataclass
class SweepRuns:
    """The runs below a sweep's.

    Attributes:
        bench: data, device and folders.
        log: the sweep's run.
        seeds: of every trial.
        reuse: whether trainings of other sweeps are linked instead of repeated.
    """

    bench: Bench
    log: RunLog
    seeds: tuple[int, ...]
    reuse: bool
    _runs: dict[str, Run] = field(init=False)  # of an interrupted sweep, by key

    def __post_init__(self) -> None:
        self._runs = family(self.log.store, self.log.run_id)

    def standing(self, trial: OpenTrial) -> TrialResult | None:
        """The result of a trial all of whose seeds have ended, or None."""
        run = self._runs.get(trial.key)
        seed_runs = json.loads(run.data.tags.get(schema.SEED_RUNS, "{}")) if run is not None else {}
        if run is None or not run.info.end_time or set(seed_runs) != {str(seed) for seed in self.seeds}:
            return None
        results = []
        for seed in self.seeds:
            ended = get_run(self.log.store, seed_runs[str(seed)])
            own = (self.log.run_id, trial.seed_key(seed))
            foreign = (ended.data.tags.get(schema.SWEEP), ended.data.tags.get(schema.KEY)) != own
            result = _ended(ended, seed, reused=foreign)
            if result is None:
                return None
            results.append(result)
        found = TrialResult(trial.request, run.info.run_id, tuple(results))
        return found if found.failed or run.info.status == FINISHED else None

    def known(self, trial: OpenTrial) -> dict[int, SeedResult]:
        """The seeds that need not be trained: they have been, in this sweep or, if that may be, elsewhere."""
        known = {}
        begun = {seed: run for seed in self.seeds if (run := self._runs.get(trial.seed_key(seed))) is not None}
        for seed, run in begun.items():
            if (result := _ended(run, seed, reused=False)) is not None:
                known[seed] = result
        if len(begun) == len(self.seeds):
            return known
        config = trial.resolved.config
        done = finished_trainings(self.log.store, config.trial_fingerprint(), self._digest(config), code_version())
        for seed, run in done.items():
            linkable = self.reuse or run.data.tags.get(schema.SWEEP) == self.log.run_id
            if seed in self.seeds and seed not in begun and linkable:
                known[seed] = seed_result(run, seed, reused=True)
        return known

    def begin_trial(self, trial: OpenTrial) -> RunLog:
        """The run of a trial: begun, or gone on with."""
        if trial.log is not None:
            return trial.log
        config = trial.resolved.config
        values = {
            **trial_tags(config, self._digest(config)),
            schema.KEY: trial.key,
            schema.SWEEP: self.log.run_id,
            schema.STAGE: trial.request.stage,
            schema.TRIAL: str(trial.request.number),
        }
        if trial.resolved.origin is not None:
            values[schema.WEIGHTS_RUN] = trial.resolved.origin.run_id
        previous = self._runs.get(trial.key)
        trial.log = begin_run(
            self.log.store, "trial", title(trial.request), values, parent=self.log.run_id, previous=previous
        )
        trial.log.params({k: v for k, v in config.model_dump().items() if k != "seed"})
        return trial.log

    def begin_seed(
        self, trial: OpenTrial, config: TrialConfig, name: str, start: int, origin: str | None
    ) -> tuple[RunLog, int]:
        """The run of a seed: begun, or gone on with.

        Args:
            trial: its trial.
            config: its settings, seed included.
            name: of the run.
            start: epochs that its training takes over.
            origin: the run whose training has done them.

        Returns:
            The run, and how many of its first epochs another training has done. That was settled when it was begun:
            a kept state from which it goes on later may be its own.
        """
        key = trial.seed_key(config.seed)
        values = {**training_tags(config, self._digest(config)), schema.KEY: key, schema.SWEEP: self.log.run_id}
        previous = self._runs.get(key)
        if previous is not None:
            start = int(previous.data.tags.get(schema.SHARED_EPOCHS, 0))
        elif origin is not None:
            values |= {schema.SHARED_EPOCHS: str(start), schema.SHARED_WITH: origin}
        parent = self.begin_trial(trial).run_id
        return begin_run(self.log.store, "seed", name, values, parent=parent, previous=previous), start

    def finish(self, trial: OpenTrial) -> TrialResult:
        """Write down a trial all of whose seeds have ended."""
        log = self.begin_trial(trial)
        result = TrialResult(trial.request, log.run_id, tuple(trial.results[seed] for seed in self.seeds))
        summaries = {name: result.of(metric) for name, metric in MEASURES.items()}
        log.results(
            {f"{name}/{part}": getattr(s, part) for name, s in summaries.items() for part in ("mean", "std", "n")},
            {schema.SEED_RUNS: {str(seed.seed): seed.run_id for seed in result.seeds}},
        )
        reasons = [f"seed {seed.seed}: {seed.reason}" for seed in result.seeds if seed.reason]
        close_run(log, TrainingError("; ".join(reasons)) if reasons else None)
        return result

    def _digest(self, config: TrialConfig) -> str:
        return self.bench.data.batches(config, self.bench.device).store.digest


def close_as_failed(log: RunLog, reason: str, *, diverged: bool) -> None:
    """End the run of a training that came to nothing. One that diverged would do so again, so it is not repeated."""
    if diverged:
        log.tags({schema.DIVERGED: reason})
    close_run(log, TrainingError(reason))


def describe(request: TrialRequest) -> str:
    """The varied settings of a trial on one line."""
    return ", ".join(f"{key}={value}" for key, value in request.settings.items()) or "base"


def title(request: TrialRequest) -> str:
    """Name of a trial: its varied settings, after its stage's name where that says more than they do."""
    settings = describe(request)
    return settings if request.stage.replace("-", "_") in request.settings else f"{request.stage}: {settings}"


def _ended(run: Run, seed: int, *, reused: bool) -> SeedResult | None:
    """The result of a training that finished or diverged; None of one that has to be gone on with."""
    if run.info.status == FINISHED:
        return seed_result(run, seed, reused=reused)
    if (reason := run.data.tags.get(schema.DIVERGED)) is not None:
        return SeedResult(seed, run.info.run_id, reason=reason)
    return None
