"""The trials of a sweep: each epoch trained once, in this process or in several side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from quorum.config import TrialConfig
from quorum.console import detail
from quorum.engine.states import States
from quorum.engine.training import Progress
from quorum.errors import OutOfTimeError, QuorumError
from quorum.metric_names import EPOCH_SECONDS, LAST_EPOCH
from quorum.study.prefix import TrainingPath
from quorum.study.results import SeedResult, TrialRequest, TrialResult
from quorum.sweeps.checkpoints import Checkpoints
from quorum.sweeps.executors import Executor, Failed
from quorum.sweeps.optuna_stages import LookAhead, OnBegin
from quorum.sweeps.progress import SweepProgress
from quorum.sweeps.runs import OpenTrial, SweepRuns, close_as_failed, title
from quorum.sweeps.schedule import Running, Schedule
from quorum.sweeps.weights import KeptWeights
from quorum.tracking.records import TrainingRecord
from quorum.tracking.run_log import RunLog, close_run
from quorum.training.folders import WorkFolders
from quorum.training.job import Job, Trained
from quorum.training.prepare import Preparer
from quorum.training.progress import TrainingProgress
from quorum.training.run import log_beginning, log_end, make_job, trained_result

Trials = list[OpenTrial]  # that one training serves: settings that differ as written may resolve to the same


@dataclass
class OpenTraining:
    """A training that is under way, with its run, and whether it has gone on from a state."""

    running: Running[Trials]
    log: RunLog
    progress: TrainingProgress
    restored: bool = False

    @property
    def shared_epochs(self) -> int:
        """Epochs at its beginning that another training has trained."""
        record = self.log.record
        assert isinstance(record, TrainingRecord)
        return record.shared_epochs


@dataclass
class TrialRunner:
    """Runs the trials of one sweep, as a context: all that is running ends with it.

    Attributes:
        preparer: prepares their trainings.
        runs: the runs that hold them.
        folders: where trainings keep what is not tracked yet.
        checkpoints: the states that are kept for trainings to begin from.
        weights: the weights that are kept.
        executor: does the trainings.
        progress: says how far the sweep is.
        until: when no training is begun any more and each stops after its epoch, in seconds since 1970. The first is
            begun whatever the time, so that a command that is repeated comes to its end.
    """

    preparer: Preparer
    runs: SweepRuns
    folders: WorkFolders
    checkpoints: Checkpoints
    weights: KeptWeights
    executor: Executor[Job, Progress | Trained]
    progress: SweepProgress
    until: float = math.inf
    _begun: bool = False  # whether any training was
    _schedule: Schedule[Trials] = field(init=False)
    _trials: Trials = field(default_factory=list)  # that are not finished
    _open: dict[str, OpenTraining] = field(default_factory=dict)  # by run id

    def __post_init__(self) -> None:
        self._schedule = Schedule(self.checkpoints)

    def execute(
        self, requests: Sequence[TrialRequest], look_ahead: LookAhead, on_begin: OnBegin
    ) -> Iterator[TrialResult]:
        """Trials over all their seeds: trained, gone on with, or read from the runs that hold them.

        Args:
            requests: trials, in the order in which they should be run.
            look_ahead: which trials later stages may ask for.
            on_begin: called when the first training of a trial begins; not for one whose results are all stored.

        Yields:
            Their results, each when it is known.

        Raises:
            OutOfTimeError: where the time is up before all of them are.
        """
        ended: list[TrialResult] = []
        spared = 0  # trainings that need not be done
        for request in requests:
            trial = OpenTrial(request, self.preparer.prepare(request.config))
            if (stored := self.runs.stored_result(trial)) is not None:
                self.weights.add(stored, stored=True)
                ended.append(stored)
                spared += len(stored.seeds)
                yield stored
                continue
            trial.results = self.runs.stored_seeds(trial)
            spared += len(trial.results)
            for seed in trial.results.values():
                detail(f"seed {seed.seed}, {title(request)}: run {seed.run_id} holds it")
            self._trials.append(trial)
        wanted = self._wanted()
        self._schedule.plan(wanted, paths_ahead(look_ahead(ended), self.runs.seeds, self.preparer))
        self.progress.ask(requests[0].stage, len(requests), spared, wanted)
        yield from self._finish_complete(look_ahead, ended)
        next_job = functools.partial(self._next_job, on_begin)
        for job, event in self.executor.run(next_job, self._on_batch):
            self._on_event(job, event)
            yield from self._finish_complete(look_ahead, ended)
        if self._trials:
            left = len(self._open) + len(self._schedule.waiting)
            raise OutOfTimeError(f"max_hours are over, {left} trainings are left; the same command goes on from here")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """End what is running. With an error, the runs that are open end with it, each whatever becomes of the others:
        a second Ctrl-C may come meanwhile."""
        with contextlib.ExitStack() as closing:  # the last one first
            if error is not None:
                for trial in self._trials:
                    if trial.log is not None:
                        closing.callback(close_run, trial.log, error)
                for opened in self._open.values():
                    closing.callback(close_run, opened.log, error)
                    closing.callback(opened.progress.close)
            closing.callback(self.progress.close)
            closing.callback(self.executor.close)
        if error is None:
            self.checkpoints.clear()
            for run_id in self.runs.superseded:
                for left in (self.folders.state(run_id), self.folders.bundle(run_id), self.folders.artifacts(run_id)):
                    left.discard()

    def _wanted(self) -> dict[TrainingPath, Trials]:
        """The trainings that have to be done, each with the trials that it is for."""
        wanted: dict[TrainingPath, Trials] = {}
        for trial in self._trials:
            for seed in self.runs.seeds:
                if seed not in trial.results:
                    wanted.setdefault(trial.path(seed), []).append(trial)
        return wanted

    def _next_job(self, on_begin: OnBegin) -> Job | None:
        """Begin the next training that need not wait for another."""
        if self._begun and time.time() >= self.until:
            return None
        running = self._schedule.start()
        if running is None:
            return None
        self._begun = True
        trial, seed = running.task[0], running.path.config.seed
        prepared = trial.prepared.with_seed(seed)
        name = f"seed {seed}, {title(trial.request)}"
        for one in running.task:
            on_begin(one.request)
        origin = self.checkpoints.origin(running.path.nodes[running.start - 1]) if running.start else None
        log = self.runs.begin_seed(trial, prepared, name, running.start, origin)
        log_beginning(log, prepared)
        job = make_job(name, prepared, log.run_id, self._states(running, log.run_id), self.folders, self.until)
        place = f"{self.progress.begin()} ({name})"
        progress = TrainingProgress(job, log, place, self.progress.time_left)
        self._open[log.run_id] = OpenTraining(running, log, progress)
        return job

    def _states(self, running: Running[Trials], run_id: str) -> States:
        nodes = running.path.nodes
        return States(
            own=self.folders.state(run_id),
            start=self.checkpoints.place(nodes[running.start - 1]) if running.start else None,
            keep={epoch: self.checkpoints.place(nodes[epoch - 1]) for epoch in running.keep},
        )

    def _on_batch(self, job: Job, images: int) -> None:
        self._open[job.run_id].progress.on_batch(images)

    def _on_event(self, job: Job, event: Progress | Trained | Failed) -> None:
        opened = self._open[job.run_id]
        if isinstance(event, Progress):
            self._count(opened.running.path, event)
            opened.progress.on_progress(event)
            opened.restored |= event.restored
            opened.running.epoch = event.records[-1].epoch
            if event.kept:
                self.checkpoints.written(opened.running.path.nodes[event.kept - 1], job.run_id)
        elif isinstance(event, Trained):
            # Epochs that were restored may be those of a machine of another class, where a sweep has several.
            numerics = job.prepared.numerics if opened.restored else event.numerics
            trained = dataclasses.replace(event, numerics=numerics)
            shared = min(opened.shared_epochs, trained.last_epoch)
            if shared < opened.shared_epochs:  # the one that it began from had stopped early
                opened.log.set(shared_epochs=shared)
            log_end(opened.log, job, trained)
            close_run(opened.log, None)
            self.folders.state(job.run_id).discard()
            self._on_end(opened, trained_result(job, trained, shared))
        else:
            self.folders.state(job.run_id).discard()
            last = max(opened.running.epoch, opened.shared_epochs)
            close_as_failed(opened.log, event.reason, last, diverged=event.diverged)
            seed = opened.running.path.config.seed
            failed = SeedResult(seed, job.run_id, {LAST_EPOCH: last}, event.reason, shared_epochs=opened.shared_epochs)
            self._on_end(opened, failed)

    def _count(self, path: TrainingPath, event: Progress) -> None:
        last = event.records[-1]
        if event.restored:
            self.progress.restored(path, last.epoch)
        else:
            self.progress.trained(path, last.epoch, last.values[EPOCH_SECONDS])

    def _on_end(self, opened: OpenTraining, result: SeedResult) -> None:
        """A training has ended: hand its result to the trials that it is for."""
        opened.progress.close()
        for number, trial in enumerate(opened.running.task):
            trial.results[result.seed] = dataclasses.replace(
                result, reused=number > 0, source=self.runs.log.run_id if number else ""
            )
        del self._open[result.run_id]
        self.progress.end(opened.running.path)
        self._schedule.end(opened.running)

    def _finish_complete(self, look_ahead: LookAhead, ended: list[TrialResult]) -> Iterator[TrialResult]:
        """Finish the trials all of whose seeds have ended, and add their results to those of the stage's others."""
        for trial in [one for one in self._trials if len(one.results) == len(self.runs.seeds)]:
            result = self.runs.finish(trial)
            self._trials.remove(trial)
            self.weights.add(result)
            ended.append(result)
            self._schedule.plan(self._schedule.waiting, paths_ahead(look_ahead(ended), self.runs.seeds, self.preparer))
            yield result


def paths_ahead(possible: Sequence[TrialConfig], seeds: Sequence[int], preparer: Preparer) -> list[TrainingPath]:
    """Paths of the trainings that later stages may ask for, without those that could not be run."""
    paths = []
    for config in possible:
        try:
            resolved = preparer.resolve(config)
        except QuorumError:
            continue
        paths += [TrainingPath(resolved.replace(seed=seed), preparer.numerics) for seed in seeds]
    return paths
