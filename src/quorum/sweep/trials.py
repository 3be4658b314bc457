"""The trials of a sweep: each epoch trained once, in this process or in several side by side."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from quorum import tuning
from quorum.config import TrialConfig
from quorum.engine.device import set_up
from quorum.engine.state import discard_state
from quorum.engine.training import Progress, States
from quorum.errors import QuorumError
from quorum.study.prefix import TrainingPath
from quorum.study.results import SeedResult, TrialRequest, TrialResult
from quorum.sweep.checkpoints import KeptStates
from quorum.sweep.executors.pool import Executor, Failed, make_executor
from quorum.sweep.runs import OpenTrial, SweepRuns, close_as_failed, title
from quorum.sweep.schedule import Running, Schedule
from quorum.sweep.weights import KeptWeights
from quorum.tracking.runs import RunLog, close_run
from quorum.training.job import Job, Trained, train
from quorum.training.progress import TrainingProgress
from quorum.training.resolve import Resolved, resolve
from quorum.training.run import check_trainable, log_beginning, log_end, trained_result


@dataclass
class OpenSeed:
    """A training that is under way, with its run."""

    trial: OpenTrial
    running: Running
    log: RunLog
    progress: TrainingProgress
    shared_epochs: int


@dataclass
class SweepTrials:
    """Runs the trials of one sweep, as a context: all that is running ends with it.

    Attributes:
        runs: the runs that hold them.
        jobs: trainings side by side.
        threads: torch's threads for each of them, where there are several.
        states: the states that are kept for trainings to begin from.
        weights: the weights that are kept.
    """

    runs: SweepRuns
    jobs: int
    threads: int
    states: KeptStates
    weights: KeptWeights
    _schedule: Schedule = field(init=False)
    _trials: list[OpenTrial] = field(default_factory=list)  # that are not finished
    _waiting: dict[TrainingPath, OpenTrial] = field(
        default_factory=dict
    )  # the trials of the trainings that have to be done
    _open: dict[str, OpenSeed] = field(default_factory=dict)  # by run id

    def __post_init__(self) -> None:
        self._bench, self._seeds = self.runs.bench, self.runs.seeds
        self._schedule = Schedule(kept=self.states.found())
        self._executor: Executor[Job, Progress | Trained] = make_executor(
            train,
            lambda job, images: self._open[job.run_id].progress.on_batch(images),
            self.jobs,
            functools.partial(set_up, self.threads, tuning.used()),
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
            resolved = resolve(request.config, self._bench.device, self.runs.log.store)
            trial = OpenTrial(request, resolved)
            if (stands := self.runs.standing(trial)) is not None:
                self.weights.add(stands)
                yield stands
                continue
            check_trainable(resolved, self._bench)
            trial.results = self.runs.known(trial)
            self._trials.append(trial)
        self._plan(possible)
        yield from (self._finish(trial) for trial in list(self._trials) if len(trial.results) == len(self._seeds))
        for job, told in self._executor.run(self._next_job):
            trial = self._open[job.run_id].trial
            self._hear(job, told)
            if len(trial.results) == len(self._seeds):
                yield self._finish(trial)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
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

    def _plan(self, possible: Sequence[TrialConfig]) -> None:
        """Put the seeds that have to be trained into the schedule, and look ahead at those of later stages."""
        ahead = [config for one in possible if (config := self._look_at(one)) is not None]
        self._waiting = {
            trial.path(seed): trial for trial in self._trials for seed in self._seeds if seed not in trial.results
        }
        self._schedule.waiting = list(self._waiting)
        self._schedule.possible = [TrainingPath(config.replace(seed=seed)) for config in ahead for seed in self._seeds]
        self._tidy()

    def _look_at(self, config: TrialConfig) -> TrialConfig | None:
        """Settings of a trial that may come, resolved; None where they could not be run, if it came to that."""
        try:
            return resolve(config, self._bench.device, self.runs.log.store).config
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
        origin = self.states.origin(path.nodes[running.start - 1]) if running.start else None
        log, shared = self.runs.begin_seed(trial, path.config, name, running.start, origin)
        log_beginning(log, resolved, self._bench)
        job = self._bench.job(name, resolved, log.run_id, self._folders(running, log.run_id))
        self._open[log.run_id] = OpenSeed(trial, running, log, TrainingProgress(job, log), shared)
        return job

    def _folders(self, running: Running, run_id: str) -> States:
        nodes = running.path.nodes
        return States(
            own=self._bench.state_folder(run_id),
            start=self.states.place(nodes[running.start - 1]) if running.start else None,
            keep={epoch: self.states.place(nodes[epoch - 1]) for epoch in running.keep},
        )

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
            discard_state(self._bench.state_folder(job.run_id))
            close_as_failed(opened.log, told.reason, diverged=told.diverged)
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
        result = self.runs.finish(trial)
        self._trials.remove(trial)
        self.weights.add(result)
        return result
