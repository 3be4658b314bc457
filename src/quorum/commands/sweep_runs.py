"""The trial and seed runs of a sweep: each found again after an interruption, each epoch trained once."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from quorum.commands.job import Job, Trained, train
from quorum.commands.kept_states import KeptStates
from quorum.commands.kept_weights import KeptWeights
from quorum.commands.progress import TrainingProgress
from quorum.commands.resolve import Resolved, resolve
from quorum.commands.training import (
    Bench,
    check_trainable,
    log_beginning,
    log_end,
    seed_result,
    trained_result,
    training_tags,
    trial_tags,
)
from quorum.config import TrialConfig
from quorum.engine.device import set_up
from quorum.engine.state import discard_state
from quorum.engine.training import Progress, States
from quorum.errors import QuorumError, TrainingError
from quorum.study.executor import Executor, Failed, make_executor
from quorum.study.results import SeedResult, TrialRequest, TrialResult
from quorum.study.schedule import Running, Schedule
from quorum.study.tree import Path
from quorum.tracking import tags
from quorum.tracking.queries import family, finished_trainings, get_run
from quorum.tracking.runs import FINISHED, Run, RunLog, begin_run, close_run
from quorum.versions import code_version

MEASURES = ("val_accuracy", "test_accuracy", "val_loss")


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

    def path(self, seed: int) -> Path:
        """A seed's way through the tree."""
        return Path(self.resolved.config.replace(seed=seed))


@dataclass
class OpenSeed:
    """A training that is under way, with its run."""

    trial: OpenTrial
    running: Running
    log: RunLog
    progress: TrainingProgress
    shared_epochs: int


@dataclass
class SweepRuns:
    """Runs the trials of one sweep.

    Attributes:
        bench: data, device and folders.
        log: the sweep's run.
        seeds: of every trial.
        reuse: whether trainings of other sweeps are linked instead of repeated.
        jobs: trainings side by side.
        threads: torch's threads for each of them, where there are several.
        states: the states that are kept for trainings to begin from.
        weights: the weights that are kept.
    """

    bench: Bench
    log: RunLog
    seeds: tuple[int, ...]
    reuse: bool
    jobs: int
    threads: int
    states: KeptStates
    weights: KeptWeights
    _runs: dict[str, Run] = field(init=False)  # of an interrupted sweep, by key
    _schedule: Schedule = field(init=False)
    _trials: list[OpenTrial] = field(default_factory=list)  # that are not finished
    _waiting: dict[Path, OpenTrial] = field(default_factory=dict)  # the trials of the trainings that have to be done
    _open: dict[str, OpenSeed] = field(default_factory=dict)  # by run id

    def __post_init__(self) -> None:
        self._runs = family(self.log.store, self.log.run_id)
        self._schedule = Schedule(kept=self.states.found())
        self._executor: Executor[Job, Progress | Trained] = make_executor(
            train,
            lambda job, images: self._open[job.run_id].progress.on_batch(images),
            self.jobs,
            functools.partial(set_up, self.threads),
            preload=(train.__module__,),
        )

    def execute(self, requests: Sequence[TrialRequest], possible: Sequence[TrialConfig]) -> Iterator[TrialResult]:
        """Trials over all their seeds: trained, gone on with, or read from the runs that hold them.

        Args:
            requests: trials, in the order in which they should be run.
            possible: settings of trials that later stages may ask for.

        Yields:
            Their results, each when it is known.
        """
        for request in requests:
            resolved = resolve(request.config, self.bench.device, self.log.store)
            trial = OpenTrial(request, resolved)
            if (stands := self._standing(trial)) is not None:
                self.weights.add(stands)
                yield stands
                continue
            check_trainable(resolved, self.bench)
            trial.results = self._known(trial)
            self._trials.append(trial)
        self._plan(possible)
        yield from (self._finish(trial) for trial in list(self._trials) if len(trial.results) == len(self.seeds))
        for job, told in self._executor.run(self._next_job):
            trial = self._open[job.run_id].trial
            self._hear(job, told)
            if len(trial.results) == len(self.seeds):
                yield self._finish(trial)

    def close(self, error: BaseException | None) -> None:
        """End what is running. With an error, the runs that are open end with it."""
        self._executor.close()
        if error is None:
            self.states.clear()
            return
        for opened in self._open.values():
            opened.progress.close()
            close_run(opened.log, error)
        for trial in self._trials:
            if trial.log is not None:
                close_run(trial.log, error)

    def _standing(self, trial: OpenTrial) -> TrialResult | None:
        """The result of a trial all of whose seeds have ended, or None."""
        run = self._runs.get(trial.key)
        seed_runs = json.loads(run.data.tags.get(tags.SEED_RUNS, "{}")) if run is not None else {}
        if run is None or not run.info.end_time or set(seed_runs) != {str(seed) for seed in self.seeds}:
            return None
        results = []
        for seed in self.seeds:
            ended = get_run(self.log.store, seed_runs[str(seed)])
            own = (self.log.run_id, _seed_key(trial.key, seed))
            foreign = (ended.data.tags.get(tags.SWEEP), ended.data.tags.get(tags.KEY)) != own
            if ended.info.status == FINISHED:
                results.append(seed_result(ended, seed, reused=foreign))
            elif (reason := _divergence(ended)) is not None:
                results.append(SeedResult(seed, ended.info.run_id, reason=reason))
            else:
                return None
        result = TrialResult(trial.request, run.info.run_id, tuple(results))
        return result if result.failed or run.info.status == FINISHED else None

    def _known(self, trial: OpenTrial) -> dict[int, SeedResult]:
        """The seeds that need not be trained: they have been, in this sweep or, if that may be, elsewhere."""
        known = {}
        begun = {seed: run for seed in self.seeds if (run := self._runs.get(_seed_key(trial.key, seed))) is not None}
        for seed, run in begun.items():
            if run.info.status == FINISHED:
                known[seed] = seed_result(run, seed, reused=False)
            elif (reason := _divergence(run)) is not None:
                known[seed] = SeedResult(seed, run.info.run_id, reason=reason)
        if len(begun) == len(self.seeds):
            return known
        config = trial.resolved.config
        done = finished_trainings(self.log.store, config.trial_fingerprint(), self._digest(config), code_version())
        for seed, run in done.items():
            linkable = self.reuse or run.data.tags.get(tags.SWEEP) == self.log.run_id
            if seed in self.seeds and seed not in begun and linkable:
                known[seed] = seed_result(run, seed, reused=True)
        return known

    def _plan(self, possible: Sequence[TrialConfig]) -> None:
        """Put the seeds that have to be trained into the schedule, and look ahead at those of later stages."""
        ahead = [config for one in possible if (config := self._look_at(one)) is not None]
        self._waiting = {
            trial.path(seed): trial for trial in self._trials for seed in self.seeds if seed not in trial.results
        }
        self._schedule.waiting = list(self._waiting)
        self._schedule.possible = [Path(config.replace(seed=seed)) for config in ahead for seed in self.seeds]
        self._tidy()

    def _look_at(self, config: TrialConfig) -> TrialConfig | None:
        """Settings of a trial that may come, resolved; None where they could not be run, if it came to that."""
        try:
            return resolve(config, self.bench.device, self.log.store).config
        except QuorumError:
            return None

    def _next_job(self) -> Job | None:
        """Begin the next training that need not wait for another."""
        running = self._schedule.start()
        if running is None:
            return None
        path, trial = running.path, self._waiting[running.path]
        running.keep = frozenset(
            epoch for epoch in running.keep if self.states.reserve(path.nodes[epoch - 1], path.config)
        )
        seed = path.config.seed
        resolved = Resolved(path.config, trial.resolved.weights, trial.resolved.origin)
        name = f"seed {seed}, {title(trial.request)}"
        if trial.log is None:
            trial.log = self._begin_trial(trial)
        log, shared = self._begin_seed(trial, running, name)
        log_beginning(log, resolved, self.bench)
        job = self.bench.job(name, resolved, log.run_id, self._folders(running, log.run_id))
        self._open[log.run_id] = OpenSeed(trial, running, log, TrainingProgress(job, log), shared)
        return job

    def _folders(self, running: Running, run_id: str) -> States:
        nodes = running.path.nodes
        return States(
            own=self.bench.state_folder(run_id),
            start=self.states.place(nodes[running.start - 1]) if running.start else None,
            keep={epoch: self.states.place(nodes[epoch - 1]) for epoch in running.keep},
        )

    def _begin_trial(self, trial: OpenTrial) -> RunLog:
        config = trial.resolved.config
        values = {
            **trial_tags(config, self._digest(config)),
            tags.KEY: trial.key,
            tags.SWEEP: self.log.run_id,
            tags.STAGE: trial.request.stage,
            tags.TRIAL: str(trial.request.number),
        }
        if trial.resolved.origin is not None:
            values[tags.WEIGHTS_RUN] = trial.resolved.origin.run_id
        previous = self._runs.get(trial.key)
        log = begin_run(
            self.log.store, "trial", title(trial.request), values, parent=self.log.run_id, previous=previous
        )
        log.params({k: v for k, v in config.model_dump().items() if k != "seed"})
        return log

    def _begin_seed(self, trial: OpenTrial, running: Running, name: str) -> tuple[RunLog, int]:
        """The run of a seed, and how many of its first epochs another training has trained."""
        config = running.path.config
        assert trial.log is not None
        key = _seed_key(trial.key, config.seed)
        values = {**training_tags(config, self._digest(config)), tags.KEY: key, tags.SWEEP: self.log.run_id}
        previous = self._runs.get(key)
        known = previous.data.tags if previous is not None else {}
        shared = {key: known[key] for key in (tags.SHARED_EPOCHS, tags.SHARED_WITH) if key in known}
        if running.start and not shared and previous is None:
            origin = self.states.origin(running.path.nodes[running.start - 1])
            shared = {tags.SHARED_EPOCHS: str(running.start), tags.SHARED_WITH: origin}
        log = begin_run(self.log.store, "seed", name, values | shared, parent=trial.log.run_id, previous=previous)
        return log, int(shared.get(tags.SHARED_EPOCHS, 0))

    def _hear(self, job: Job, told: Progress | Trained | Failed) -> None:
        """Take down what a training tells."""
        opened = self._open[job.run_id]
        if isinstance(told, Progress):
            opened.progress.tell(told)
            opened.running.epoch = told.records[-1].epoch
            if told.kept:
                node = opened.running.path.nodes[opened.running.epoch - 1]
                self.states.written(node, job.run_id)
                self._schedule.kept.add(node)
            return
        if isinstance(told, Trained):
            log_end(opened.log, job, told)
            close_run(opened.log, None)
            result = trained_result(job, told, opened.shared_epochs)
        else:
            discard_state(self.bench.state_folder(job.run_id))
            if told.diverged:
                opened.log.tags({tags.DIVERGED: told.reason})
            close_run(opened.log, TrainingError(told.reason))
            result = SeedResult(job.config.seed, job.run_id, reason=told.reason, shared_epochs=opened.shared_epochs)
        opened.progress.close()
        opened.trial.results[job.config.seed] = result
        del self._open[job.run_id]
        self._schedule.end(opened.running)
        nodes = opened.running.path.nodes
        self.states.drop({nodes[epoch - 1] for epoch in opened.running.keep} - self._schedule.kept)
        self._tidy()

    def _tidy(self) -> None:
        """Delete the states that no training to come will begin from."""
        superfluous = self._schedule.superfluous()
        self._schedule.kept -= superfluous
        self.states.drop(superfluous)

    def _finish(self, trial: OpenTrial) -> TrialResult:
        """Write down a trial all of whose seeds have ended."""
        log = trial.log = trial.log or self._begin_trial(trial)
        result = TrialResult(trial.request, log.run_id, tuple(trial.results[seed] for seed in self.seeds))
        spreads = {measure: result.of(measure) for measure in MEASURES}
        log.results(
            {f"{name}/{part}": getattr(s, part) for name, s in spreads.items() for part in ("mean", "std", "n")},
            {tags.SEED_RUNS: {str(seed.seed): seed.run_id for seed in result.seeds}},
        )
        reasons = [f"seed {seed.seed}: {seed.reason}" for seed in result.seeds if seed.reason]
        close_run(log, TrainingError("; ".join(reasons)) if reasons else None)
        self._trials.remove(trial)
        self.weights.add(result)
        return result

    def _digest(self, config: TrialConfig) -> str:
        return self.bench.data.batches(config, self.bench.device).store.digest


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
