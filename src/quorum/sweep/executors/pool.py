"""Doing jobs: one after the other in this process, or side by side in worker processes.

A job is done by a function that yields what there is to tell of it. What it yields is the same either way.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver as forkserver
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar

from quorum.errors import DivergedError

J = TypeVar("J")
E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

# Workers are forked from a server process that has imported what they need, so they start at once. It is a process of
# its own, because one that has used torch's threads cannot be forked.
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
BATCH_SECONDS = 0.2  # at least so long between two messages of a worker about batches
ATTEMPTS = 2  # at a job whose worker dies


@dataclass(frozen=True)
class Failed:
    """A job came to nothing.

    Attributes:
        reason: why, on one line.
        diverged: whether its loss was no longer finite, as it would be again.
    """

    reason: str
    diverged: bool


Work = Callable[[J, Callable[[int], None]], Iterator[E]]
"""Does a job, telling its second argument the number of images of each batch. May raise DivergedError."""


class Executor(Protocol[J, E_co]):
    """Does jobs."""

    def run(self, next_job: Callable[[], J | None]) -> Iterator[tuple[J, E_co | Failed]]:
        """Do all jobs.

        Args:
            next_job: asked whenever there is room for a job. None: there is none that can be begun now, and if none is
                running either, none at all.

        Yields:
            What the jobs tell, each with its job, in the order in which it happens.
        """

    def close(self) -> None:
        """End what is running."""


@dataclass
class InProcess(Generic[J, E]):
    """One job after the other, in this process.

    Attributes:
        work: does a job.
        on_batch: told of the images of each batch.
    """

    work: Work[J, E]
    on_batch: Callable[[J, int], None]

    def run(self, next_job: Callable[[], J | None]) -> Iterator[tuple[J, E | Failed]]:
        """See Executor."""
        while (job := next_job()) is not None:
            try:
                yield from self._do(job)
            except DivergedError as error:
                yield job, Failed(str(error), diverged=True)

    def _do(self, job: J) -> Iterator[tuple[J, E]]:
        for told in self.work(job, lambda images: self.on_batch(job, images)):
            yield job, told

    def close(self) -> None:
        """Nothing is left running."""


@dataclass
class _Worker(Generic[J]):
    """A worker process, the job that it does, and how often that job has been begun."""

    process: BaseProcess
    connection: Connection[Any, Any]
    job: J | None = None
    attempt: int = 0


@dataclass
class WorkerPool(Generic[J, E]):
    """Jobs side by side in worker processes.

    The death of a worker takes no other with it: its job is begun once more in a new one, and comes to nothing if that
    dies too. An error that a job raises ends all, as it does in one process.

    Attributes:
        work: does a job; has to be picklable, as jobs and what they tell have to be.
        on_batch: told of the images of batches.
        count: of worker processes, at most.
        set_up: called first in each of them.
        preload: modules that they need.
    """

    work: Work[J, E]
    on_batch: Callable[[J, int], None]
    count: int
    set_up: Callable[[], object]
    preload: Sequence[str] = ()
    _workers: list[_Worker[J]] = field(default_factory=list)
    _again: list[J] = field(default_factory=list)  # jobs whose first worker died

    def __post_init__(self) -> None:
        self._context: Any = multiprocessing.get_context(START_METHOD)
        start_server(self.preload)

    def run(self, next_job: Callable[[], J | None]) -> Iterator[tuple[J, E | Failed]]:
        """See Executor."""
        while True:
            self._hand_out(next_job)
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection in ready:
                    yield from self._hear(worker)

    def close(self) -> None:
        """End all workers at once, whatever they are doing."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _hand_out(self, next_job: Callable[[], J | None]) -> None:
        while sum(worker.job is not None for worker in self._workers) < self.count:
            again = bool(self._again)
            job = self._again.pop(0) if again else next_job()
            if job is None:
                return
            worker = self._idle_worker()
            worker.job, worker.attempt = job, 1 + again
            worker.connection.send(job)

    def _idle_worker(self) -> _Worker[J]:
        for worker in [worker for worker in self._workers if worker.job is None]:
            if worker.process.is_alive():
                return worker
            self._workers.remove(worker)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self.work, self.set_up), daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _hear(self, worker: _Worker[J]) -> Iterator[tuple[J, E | Failed]]:
        """One message of a worker, or its death."""
        job = worker.job
        assert job is not None
        try:
            kind, content = worker.connection.recv()
        except (EOFError, ConnectionError):
            yield from self._bury(worker, job)
            return
        if kind == "batch":
            self.on_batch(job, content)
        elif kind == "told":
            yield job, content
        elif kind == "raised":
            raise content
        else:
            worker.job = None
            if kind == "diverged":
                yield job, Failed(content, diverged=True)

    def _bury(self, worker: _Worker[J], job: J) -> Iterator[tuple[J, Failed]]:
        self._workers.remove(worker)
        worker.process.join()
        worker.connection.close()
        if worker.attempt < ATTEMPTS:
            self._again.append(job)
        else:
            code = worker.process.exitcode
            yield job, Failed(f"its worker process died {ATTEMPTS} times, the last with exit code {code}", False)


def start_server(preload: Sequence[str]) -> None:
    """Have the server process import what workers need, which takes seconds, while this one does something else.

    Args:
        preload: modules.
    """
    if START_METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(list(preload))
        forkserver.ensure_running()


def make_executor(
    work: Work[J, E],
    on_batch: Callable[[J, int], None],
    jobs: int,
    set_up: Callable[[], object],
    preload: Sequence[str] = (),
) -> Executor[J, E]:
    """An executor for so many jobs side by side; `set_up` has been called in this process if it is to do them."""
    return InProcess(work, on_batch) if jobs == 1 else WorkerPool(work, on_batch, jobs, set_up, preload)


def _serve(connection: Connection[Any, Any], work: Work[J, E], set_up: Callable[[], object]) -> None:
    """What a worker process does: job after job, until the pipe ends or the process that it serves does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the process that is served decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_up()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            for told in work(job, _Batches(connection).add):
                connection.send(("told", told))
            connection.send(("done", None))
        except DivergedError as error:
            connection.send(("diverged", str(error)))
        except Exception as error:  # noqa: BLE001 (it is raised again in the process that is served)
            connection.send(("raised", error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _Batches:
    """Tells of batches now and then, not of each: an epoch may have thousands in a second."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection, self.images, self.told = connection, 0, time.monotonic()

    def add(self, images: int) -> None:
        self.images += images
        if time.monotonic() - self.told >= BATCH_SECONDS:
            self.connection.send(("batch", self.images))
            self.images, self.told = 0, time.monotonic()
