"""Executors: the same answers from one process and from several, and what the death of a worker leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorum.sweeps.executors import Failed
from quorum.sweeps.executors.in_process import InProcess
from quorum.sweeps.executors.pool import WorkerPool
from tests.sweeps.counting import Sum, count, die_at_the_end, events, ignore, nothing


@pytest.fixture
def pool() -> Iterator[WorkerPool[Sum, int]]:
    made: WorkerPool[Sum, int] = WorkerPool(count, 2, nothing)
    yield made
    made.close()


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


def test_a_worker_that_dies_as_its_job_is_sent_is_replaced(
    tmp_path: Path, pool: WorkerPool[Sum, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    events(pool, [Sum(3, tmp_path)])
    [worker] = pool._workers
    worker.process.kill()
    worker.process.join()
    monkeypatch.setattr(worker.process, "is_alive", lambda: True)  # it was, a moment ago
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


ABANDONED = """
import multiprocessing, time
from quorum.sweeps.executors.pool import _serve

def talk(job, on_batch):
    time.sleep(0.2)
    yield job

if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("forkserver").Process(target=_serve, args=(theirs, talk, print))
    worker.start()
    theirs.close()
    ours.send(1)
    ours.close()
    worker.join()
    print(worker.exitcode)
"""


@pytest.mark.slow
def test_a_worker_that_nobody_hears_any_more_ends_in_silence(tmp_path: Path) -> None:
    (tmp_path / "abandoned.py").write_text(ABANDONED)
    done = subprocess.run([sys.executable, "abandoned.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["1"], "")
