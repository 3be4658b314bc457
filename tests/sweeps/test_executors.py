"""Executors: the same answers from one process and from several, and what the death of a worker leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from quorum.errors import DivergedError
from quorum.sweeps.executors import Executor, Failed
from quorum.sweeps.executors.in_process import InProcess
from quorum.sweeps.executors.pool import WorkerPool


@dataclass(frozen=True)
class Sum:
    """Count up to a number; a file says how often that has been begun."""

    to: int
    folder: Path
    dies: int = 0  # attempts that end in the death of the process
    raises: bool = False


def count(job: Sum, on_batch: Callable[[int], None]) -> Iterator[int]:
    file = job.folder / str(job.to)
    attempt = len(file.read_text()) + 1 if file.is_file() else 1
    file.write_text("x" * attempt)
    for number in range(1, job.to + 1):
        if attempt <= job.dies and number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.raises:
            raise RuntimeError("a defect")
        if job.to == 13:
            raise DivergedError("no luck")
        on_batch(1)
        yield number


def nothing() -> None:
    pass


def ignore(_job: Sum, _images: int) -> None:
    pass


@pytest.fixture
def pool() -> Iterator[WorkerPool[Sum, int]]:
    made: WorkerPool[Sum, int] = WorkerPool(count, 2, nothing)
    yield made
    made.close()


def events(executor: Executor[Sum, int], jobs: list[Sum]) -> dict[int, list[int | Failed]]:
    left = list(jobs)
    answers: dict[int, list[int | Failed]] = {job.to: [] for job in jobs}
    for job, answer in executor.run(lambda: left.pop(0) if left else None, ignore):
        answers[job.to].append(answer)
    return answers


def test_workers_give_the_events_of_one_process(tmp_path: Path, pool: WorkerPool[Sum, int]) -> None:
    jobs = [Sum(to, tmp_path) for to in (3, 1, 13, 5)]
    alone = events(InProcess(count), jobs)
    assert alone == {3: [1, 2, 3], 1: [1], 13: [Failed("no luck", diverged=True)], 5: [1, 2, 3, 4, 5]}
    assert events(pool, jobs) == alone
    assert events(pool, [Sum(4, tmp_path)]) == {4: [1, 2, 3, 4]}  # the same workers go on


def test_a_job_whose_worker_dies_is_begun_once_more(tmp_path: Path, pool: WorkerPool[Sum, int]) -> None:
    answers = events(pool, [Sum(3, tmp_path, dies=1), Sum(4, tmp_path), Sum(5, tmp_path)])
    assert answers == {3: [1, 1, 2, 3], 4: [1, 2, 3, 4], 5: [1, 2, 3, 4, 5]}


def test_a_job_whose_worker_dies_twice_fails_alone(tmp_path: Path, pool: WorkerPool[Sum, int]) -> None:
    answers = events(pool, [Sum(3, tmp_path, dies=2), Sum(4, tmp_path), Sum(5, tmp_path)])
    failed = answers[3][-1]
    assert isinstance(failed, Failed)
    assert failed.reason == "its worker process died 2 times, the last with exit code -9"
    assert not failed.diverged
    assert (answers[4], answers[5]) == ([1, 2, 3, 4], [1, 2, 3, 4, 5])
    assert (tmp_path / "3").read_text() == "xx"


def die_at_the_end(job: Sum, on_batch: Callable[[int], None]) -> Iterator[int]:
    yield from count(job, on_batch)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_job_is_done_when_its_result_is_heard_whatever_becomes_of_its_worker(tmp_path: Path) -> None:
    pool: WorkerPool[Sum, int] = WorkerPool(die_at_the_end, 1, nothing, is_result=lambda number: number == 3)
    try:
        assert events(pool, [Sum(3, tmp_path)]) == {3: [1, 2, 3]}
        assert (tmp_path / "3").read_text() == "x"
    finally:
        pool.close()


def test_a_defect_ends_all_as_it_does_in_one_process(tmp_path: Path, pool: WorkerPool[Sum, int]) -> None:
    for executor in (InProcess(count), pool):
        with pytest.raises(RuntimeError, match="a defect"):
            events(executor, [Sum(3, tmp_path, raises=True), Sum(4, tmp_path)])


def test_a_worker_that_died_while_idle_is_replaced(tmp_path: Path, pool: WorkerPool[Sum, int]) -> None:
    events(pool, [Sum(3, tmp_path)])
    for pid in pool.pids():
        os.kill(pid, signal.SIGKILL)
    assert events(pool, [Sum(4, tmp_path)]) == {4: [1, 2, 3, 4]}


def test_jobs_that_must_wait_are_asked_for_again(tmp_path: Path, pool: WorkerPool[Sum, int]) -> None:
    left, begun = [Sum(3, tmp_path), Sum(4, tmp_path)], [0]

    def one_at_a_time() -> Sum | None:
        if begun[0] or not left:
            return None
        begun[0] += 1
        return left.pop(0)

    seen = []
    for job, answer in pool.run(one_at_a_time, ignore):
        seen.append((job.to, answer))
        begun[0] -= answer == job.to
    assert seen == [(3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3), (4, 4)]


def test_closing_ends_what_is_running(tmp_path: Path, pool: WorkerPool[Sum, int]) -> None:
    left = [Sum(10**9, tmp_path)]
    for _ in pool.run(lambda: left.pop(0) if left else None, ignore):
        break
    [pid] = pool.pids()
    pool.close()
    assert not Path(f"/proc/{pid}").exists()
