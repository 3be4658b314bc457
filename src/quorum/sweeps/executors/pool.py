"""Jobs side by side in worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver as forkserver
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic

from quorum.sweeps.executors import E, Failed, J, OnBatch, Work
from quorum.sweeps.executors.serving import ATTEMPTS, Kind, do

# Workers are forked from a server process that has imported what they need, so they start at once. It is a process of
# its own, because one that has used torch's threads cannot be forked.
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


@dataclass
class _Worker(Generic[J]):
    """A worker process, the job that it does, how often that job has been begun, and whether its result is known."""

    process: BaseProcess
    connection: Connection[Any, Any]
    job: J | None = None
    attempt: int = 0
    ended: bool = False


@dataclass
class WorkerPool(Generic[J, E]):
    """Jobs side by side in worker processes.

    The death of a worker takes no other with it: its job is begun once more in a new one, and fails if that dies too.
    An error that a job raises ends all, as it does in one process.

    Attributes:
        work: does a job; has to be picklable, as jobs and events have to be.
        count: of worker processes, at most.
        set_up: called first in each of them.
        preload: modules that they need.
        is_result: whether an event is a job's last one: then the job is done, whatever becomes of its worker.
    """

    work: Work[J, E]
    count: int
    set_up: Callable[[], object]
    preload: Sequence[str] = ()
    is_result: Callable[[E], bool] = lambda _event: False
    _workers: list[_Worker[J]] = field(default_factory=list)
    _again: list[J] = field(default_factory=list)  # jobs whose first worker died

    def __post_init__(self) -> None:
        self._context: Any = multiprocessing.get_context(START_METHOD)
        start_server(self.preload)

    def run(self, next_job: Callable[[], J | None], on_batch: OnBatch[J]) -> Iterator[tuple[J, E | Failed]]:
        """See Executor."""
        while True:
            self._hand_out(next_job)
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection in ready:
                    yield from self._receive(worker, on_batch)

    def pids(self) -> dict[int, J | None]:
        """The job that each worker process does, by its process id."""
        return {worker.process.pid: worker.job for worker in self._workers if worker.process.pid is not None}

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
            worker.job, worker.attempt, worker.ended = job, 1 + again, False
            with contextlib.suppress(ConnectionError):  # it has just died, which is heard where answers are
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

    def _receive(self, worker: _Worker[J], on_batch: OnBatch[J]) -> Iterator[tuple[J, E | Failed]]:
        """One message of a worker, or its death."""
        job = worker.job
        assert job is not None
        try:
            kind, content = worker.connection.recv()
        except (EOFError, ConnectionError):
            yield from self._handle_dead_worker(worker, job)
            return
        if kind == "batch":
            on_batch(job, content)
        elif kind == "event":
            worker.ended = self.is_result(content)
            yield job, content
        elif kind == "raised":
            raise content
        else:
            worker.job = None
            if kind == "diverged":
                yield job, Failed(content, diverged=True)

    def _handle_dead_worker(self, worker: _Worker[J], job: J) -> Iterator[tuple[J, Failed]]:
        self._workers.remove(worker)
        worker.process.join()
        worker.connection.close()
        if worker.ended:
            return
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


def _serve(connection: Connection[Any, Any], work: Work[J, E], set_up: Callable[[], object]) -> None:
    """What a worker process does: job after job, until the pipe ends or the process that it serves does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the process that is served decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_up()

    def send(kind: Kind, content: Any) -> None:
        try:
            connection.send((kind, content))
        except ConnectionError:  # the process that is served has ended
            os._exit(1)

    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 (what a job needs and this machine lacks is fetched as it arrives)
            send("raised", error)
            continue
        do(job, work, send)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
