"""Faults in the middle of a sweep, through what a sweep is handed: its executor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quorum.api.engines import executor_of
from quorum.api.options import SweepOptions, TrainOptions
from quorum.api.promote import run_promotion
from quorum.api.registry_options import PromoteOptions
from quorum.api.sweep import run_study_file
from quorum.api.train import run_training
from quorum.commands.result import Result
from quorum.commands.wiring import COMMANDS
from quorum.engine.training import Progress
from quorum.sweeps.executors import Executor, Failed, OnBatch
from quorum.sweeps.executors.pool import WorkerPool
from quorum.tracking.store import TrackingStore
from quorum.training import job as jobs
from quorum.training.job import Job, Trained
from tests.conftest import Answer, Quorum

Event = Progress | Trained | Failed


@dataclass
class Fault:
    """Something that happens after an epoch was trained and logged.

    Attributes:
        happen: called with the executor, the job, and the number of its last epoch.
        pids: of all worker processes that were seen.
    """

    happen: Callable[[Executor[Job, Progress | Trained], Job, int], None]
    pids: set[int] = field(default_factory=set)


@dataclass
class Faulty:
    """An executor in which a fault happens."""

    inner: Executor[Job, Progress | Trained]
    fault: Fault

    def run(self, next_job: Callable[[], Job | None], on_batch: OnBatch[Job]) -> Iterator[tuple[Job, Event]]:
        for job, event in self.inner.run(next_job, on_batch):
            yield job, event
            if isinstance(self.inner, WorkerPool):
                self.fault.pids |= set(self.inner.pids())
            if isinstance(event, Progress):
                self.fault.happen(self.inner, job, event.records[-1].epoch)

    def close(self) -> None:
        self.inner.close()


_fault: list[Fault] = []  # the one of the command that runs


def sweep(options: SweepOptions, given: Mapping[str, str], store: TrackingStore) -> Result:
    """`quorum sweep` with a fault."""
    run = run_study_file(options, given, store, lambda: Faulty(executor_of(options), _fault[-1]))
    return Result(run.data(), run.page)


def with_fault(fault: Fault, quorum: Quorum, words: Sequence[str]) -> Answer:
    """Run the command line of a sweep or a promotion with a fault."""
    faulty = {"sweep", "promote"}
    table = {
        name: dataclasses.replace(command, function=f"tests.commands.faults:{name}") if name in faulty else command
        for name, command in COMMANDS.items()
    }
    _fault.append(fault)
    try:
        return quorum.call(words, table)
    finally:
        _fault.pop()


def interrupt_after(epochs: int) -> Fault:
    """Ctrl-C after a number of epochs."""
    left = [epochs]

    def happen(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    return Fault(happen)


def train(options: TrainOptions, given: Mapping[str, str], store: TrackingStore) -> Result:
    """`quorum train`, interrupted after its first epoch."""

    def work(doing: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        yield next(jobs.train(doing, on_batch))
        raise KeyboardInterrupt

    return Result({"run_id": run_training(options, given, store, work).run_id}, "")


def interrupted_training(quorum: Quorum, words: Sequence[str]) -> Answer:
    """Run a training's command line and interrupt it after its first epoch."""
    return quorum.call(words, {"train": dataclasses.replace(COMMANDS["train"], function="tests.commands.faults:train")})


def promote(options: PromoteOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """`quorum promote` with a fault."""
    promoted = run_promotion(options, store, lambda: Faulty(executor_of(options), _fault[-1]))
    return Result({}, promoted.name)
