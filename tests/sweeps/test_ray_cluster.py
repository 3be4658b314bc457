"""Ray as an executor, on a cluster of two nodes: the events of one process, and what the death of a worker or a node
leaves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from quorum.errors import QuorumError
from quorum.sweeps.executors import Failed, ray_cluster
from quorum.sweeps.executors.in_process import InProcess
from quorum.sweeps.executors.ray_cluster import RayCluster
from quorum.sweeps.executors.ray_nodes import Demand, Nodes
from tests.clusters import cluster, head_and_other
from tests.sweeps.counting import Sum, count, die_at_the_end, events, ignore, nothing

__all__ = ["cluster"]
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(cluster: Any) -> Nodes[None]:
    """The nodes of the cluster, surveyed."""
    made = Nodes(Demand(1), nothing)
    made.survey()
    return made


@pytest.fixture
def workers(nodes: Nodes[None]) -> Iterator[RayCluster[Sum, int]]:
    made: RayCluster[Sum, int] = RayCluster(count, 2, nothing, nodes)
    yield made
    made.close()


def test_workers_give_the_events_of_one_process(tmp_path: Path, workers: RayCluster[Sum, int]) -> None:
    jobs = [Sum(to, tmp_path) for to in (3, 1, 13, 5)]
    assert events(workers, jobs) == events(InProcess(count), jobs)
    assert events(workers, [Sum(4, tmp_path)]) == {4: [1, 2, 3, 4]}  # the same workers go on


def test_a_job_whose_worker_dies_is_begun_once_more(tmp_path: Path, workers: RayCluster[Sum, int]) -> None:
    answers = events(workers, [Sum(3, tmp_path, dies=1), Sum(4, tmp_path), Sum(5, tmp_path, dies=2)])
    assert answers[3][-3:] == [1, 2, 3]
    assert answers[4] == [1, 2, 3, 4]
    failed = answers[5][-1]
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("its worker process died 2 times, the last on node ")
    assert not failed.diverged
    assert [(tmp_path / name).read_text() for name in "345"] == ["xx", "x", "xx"]


def test_a_job_is_done_when_its_result_is_heard_whatever_becomes_of_its_worker(
    tmp_path: Path, nodes: Nodes[None]
) -> None:
    workers: RayCluster[Sum, int] = RayCluster(wait_and_die, 1, nothing, nodes, is_result=lambda number: number == 3)
    try:
        assert events(workers, [Sum(3, tmp_path)]) == {3: [1, 2, 3]}
        assert (tmp_path / "3").read_text() == "x"
    finally:
        workers.close()


def wait_and_die(job: Sum, on_batch: Callable[[int], None]) -> Iterator[int]:
    """Die when the result has been heard, as far as half a second is enough for that."""
    for number in die_at_the_end(job, on_batch):
        yield number
        if number == job.to:
            time.sleep(0.5)


def test_a_defect_ends_all_as_it_does_in_one_process(tmp_path: Path, workers: RayCluster[Sum, int]) -> None:
    with pytest.raises(RuntimeError, match="a defect"):
        events(workers, [Sum(3, tmp_path, raises=True), Sum(4, tmp_path)])


def report_pid(job: Sum, _on_batch: Callable[[int], None]) -> Iterator[int]:
    yield os.getpid()


def test_a_worker_that_died_while_idle_is_replaced_and_costs_no_attempt(tmp_path: Path, nodes: Nodes[None]) -> None:
    workers: RayCluster[Sum, int] = RayCluster(report_pid, 1, nothing, nodes)
    try:
        first = events(workers, [Sum(1, tmp_path)])[1][0]
        assert events(workers, [Sum(1, tmp_path)])[1] == [first]
        assert isinstance(first, int)
        os.kill(first, signal.SIGKILL)
        time.sleep(0.5)
        [second] = events(workers, [Sum(1, tmp_path)])[1]
        assert second != first
    finally:
        workers.close()


def test_workers_are_renewed_after_some_jobs(
    tmp_path: Path, nodes: Nodes[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "TRAININGS", 2)
    workers: RayCluster[Sum, int] = RayCluster(report_pid, 1, nothing, nodes)
    try:
        pids = [events(workers, [Sum(1, tmp_path)])[1][0] for _ in range(3)]
        assert pids[0] == pids[1] != pids[2]
    finally:
        workers.close()


def where(job: Sum, _on_batch: Callable[[int], None]) -> Iterator[str]:
    """The node that a job is done on, when another one has been begun too."""
    (job.folder / str(job.to)).touch()
    while len(list(job.folder.iterdir())) < 2:
        time.sleep(0.05)
    yield ray.get_runtime_context().get_node_id()


def test_a_job_goes_where_the_folder_that_it_begins_from_was_written(tmp_path: Path, nodes: Nodes[None]) -> None:
    workers: RayCluster[Sum, str] = RayCluster(
        where, 2, nothing, nodes, reads=lambda job: job.to // 10, writes=lambda job: [job.to]
    )
    try:
        found: dict[int, str] = {}
        for wave in ([1, 2], [21, 11], [12, 22], [23, 13]):
            left = [Sum(to, tmp_path) for to in wave]
            for job, answer in workers.run(lambda left=left: left.pop(0) if left else None, ignore):  # type: ignore[misc]
                found[job.to] = str(answer)
        assert found[1] != found[2]
        assert {found[to] for to in (11, 12, 13)} == {found[1]}
        assert {found[to] for to in (21, 22, 23)} == {found[2]}
    finally:
        workers.close()


def fail_to_set_up() -> None:
    raise QuorumError("no such plugin here")


def test_an_error_while_a_worker_is_set_up_ends_all(tmp_path: Path, nodes: Nodes[None]) -> None:
    workers: RayCluster[Sum, int] = RayCluster(count, 2, fail_to_set_up, nodes)
    try:
        with pytest.raises(QuorumError, match="no such plugin here"):
            events(workers, [Sum(3, tmp_path)])
    finally:
        workers.close()


def test_what_no_node_can_hold_is_one_line(cluster: Any) -> None:
    for demand, asked in ((Demand(3), "3 CPUs"), (Demand(1, 0.5), "1 CPU and 0.5 GPU")):
        with pytest.raises(QuorumError) as caught:
            Nodes(demand, nothing).survey()
        expected = f"a training asks for {asked}, and the largest node of the Ray cluster has 1 CPUs and 0 GPUs"
        assert str(caught.value) == expected


def slowly(job: Sum, on_batch: Callable[[int], None]) -> Iterator[int]:
    for number in count(job, on_batch):
        time.sleep(0.1)
        yield number


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that takes seconds at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_node_that_is_lost_costs_no_job_and_one_that_comes_is_used(
    tmp_path: Path, cluster: Any, nodes: Nodes[None], capsys: pytest.CaptureFixture[str]
) -> None:
    workers: RayCluster[Sum, int] = RayCluster(slowly, 3, nothing, nodes)
    answers: dict[int, list[int | Failed]] = {20: [], 21: [], 22: []}
    left, [lost] = [Sum(to, tmp_path) for to in answers], list(cluster.worker_nodes)
    try:
        for job, answer in workers.run(lambda: left.pop(0) if left else None, ignore):
            answers[job.to].append(answer)
            if answer == 5 and cluster.worker_nodes:
                cluster.remove_node(lost, allow_graceful=False)
    finally:
        workers.close()
    assert [answers[to][-to:] for to in answers] == [list(range(1, to + 1)) for to in answers]
    assert sorted((tmp_path / str(to)).read_text() for to in (20, 21)) == ["x", "xx"]
    assert capsys.readouterr().err.splitlines() == [
        "the Ray cluster has room for 2 of 3 trainings side by side",
        "the Ray cluster has room for 1 of 3 trainings side by side",
    ]
    cluster.add_node(num_cpus=1)
    _, new = head_and_other(cluster)
    until(lambda: new in nodes.rooms())
    until(lambda: not nodes.is_alive(lost.node_id))


def test_a_node_that_comes_and_does_not_fit_is_not_used(
    cluster: Any, nodes: Nodes[None], capsys: pytest.CaptureFixture[str]
) -> None:
    def check(name: str, _answer: None) -> None:
        raise QuorumError(f"node {name}: is another kind")

    nodes.check, before = check, nodes.rooms()
    cluster.add_node(num_cpus=1)
    told: list[str] = []

    def is_told() -> bool:
        nodes.rooms()
        told.extend(capsys.readouterr().err.splitlines())
        return bool(told)

    until(is_told)
    [line] = told
    assert line.endswith(": is another kind; it is not used")
    assert nodes.rooms() == before
