"""Sweeps in several processes, and epochs that trials share: what is trained, what is logged, what is left on disk."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from quorum.engine.training import Progress
from quorum.sweeps.executors import Executor
from quorum.sweeps.executors.pool import WorkerPool
from quorum.tracking import schema
from quorum.training.job import Job, Trained
from tests.commands.faults import Fault, interrupt_after, with_fault
from tests.commands.studies import TREE, Swept, means, runs, sweep, sweep_words
from tests.conftest import Quorum

WRITTEN, TRAINED, REUSED = 2 * (8 + 12 + 12), 2 * (8 + 2 + 4), 2 * 4  # of two seeds


def history(run: Run) -> list[list[float]]:
    names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")
    return [[m.value for m in MlflowClient().get_metric_history(run.info.run_id, name)] for name in names]


def by_key(found: list[Run]) -> dict[str, Run]:
    return {run.data.tags[schema.KEY]: run for run in found}


def empty(folder: Path, *names: str) -> bool:
    folder = folder / ".quorum"
    return not any(list((folder / name).iterdir()) for name in names if (folder / name).is_dir())


@pytest.mark.slow
def test_trials_share_their_first_epochs_and_have_whole_histories(tree: Swept) -> None:
    result = tree.result
    assert result["epochs"] == {
        "written": WRITTEN,
        "trained": TRAINED,
        "shared": WRITTEN - TRAINED - REUSED,
        "reused": REUSED,
        "spared": 0,
    }
    assert result["kept_states_peak_bytes"] > 0
    seeds = runs("seed")
    for run in seeds:
        steps = [m.step for m in MlflowClient().get_metric_history(run.info.run_id, "val/loss")]
        assert steps == list(range(1, int(run.data.params["epochs"]) + 1))
    [fork] = [run for run in seeds if (run.data.params["step_size"], run.data.params["seed"]) == ("3", "1")]
    assert fork.data.tags[schema.SHARED_EPOCHS] == "3"
    other = MlflowClient().get_run(fork.data.tags[schema.SHARED_WITH])
    assert [values[:3] for values in history(fork)] == [values[:3] for values in history(other)]
    [outer] = runs("sweep")
    assert outer.data.metrics["epochs_trained"] == TRAINED
    assert f"{TRAINED} trained" in outer.data.tags[schema.NOTE]
    assert empty(tree.folder, "kept", "states", "weights", "artifacts")


@pytest.mark.slow
def test_without_room_for_states_the_same_comes_out(tree: Swept, small_digits: Path) -> None:
    alone = sweep(tree.quorum, small_digits, TREE, state_gb=0, reuse="false")
    assert means(alone) == means(tree.result)
    assert alone["epochs"]["shared"] == 0
    assert alone["kept_states_peak_bytes"] == 0


@pytest.mark.slow
def test_jobs_side_by_side_give_the_same_bit_for_bit(tree: Swept, small_digits: Path) -> None:
    one = tree.result
    alone = {key: history(run) for key, run in by_key(runs("seed")).items()}
    two = sweep(tree.quorum, small_digits, TREE, jobs=2, reuse="false")
    beside = by_key([run for run in runs("seed") if run.data.tags[schema.SWEEP] == two["run_id"]])
    assert two["run_id"] != one["run_id"]
    assert {key: history(run) for key, run in beside.items()} == alone
    assert means(two) == means(one)
    assert two["epochs"] == one["epochs"]


@pytest.mark.slow
def test_frozen_beginnings_are_computed_once_by_whichever_process(quorum: Quorum, small_digits: Path) -> None:
    frozen = TREE.replace("step_size: 0}", "step_size: 0, phases: classifier}")
    (quorum.folder / "study.yaml").write_text(frozen)
    found = []
    for jobs in (1, 2):
        answer = quorum(*sweep_words(small_digits, jobs=jobs, reuse="false", work_dir=f"work-{jobs}"), "--json")
        assert answer.status == 0, answer.err
        # Two seeds draw other first weights; training, validation and test images of each are gone through once.
        assert len(list((quorum.folder / f"work-{jobs}" / "activations").glob("*/meta.json"))) == 2 * 3
        if jobs == 1:  # what workers say may go where the first of them was started
            assert answer.err.count("the frozen part of") == 2 * 3
        found.append(json.loads(answer.out))
    assert means(found[0]) == means(found[1])
    assert {run.data.params["activations"] for run in runs("seed")} == {"stored"}
    again = quorum(*sweep_words(small_digits, reuse="false", work_dir="work-1"), "--json")
    assert "the frozen part of" not in again.err
    assert means(json.loads(again.out)) == means(found[0])
    plain = sweep(quorum, small_digits, frozen, reuse="false", activation_gb=0)
    assert plain["epochs"] == found[0]["epochs"]


def kill_worker(when: Callable[[Job, int], bool]) -> Fault:
    """Kill the worker that does a training after the epochs that are named."""

    def happen(pool: Executor[Job, Progress | Trained], job: Job, epoch: int) -> None:
        if when(job, epoch):
            assert isinstance(pool, WorkerPool)
            [pid] = [pid for pid, its in pool.pids().items() if its is not None and its.run_id == job.run_id]
            os.kill(pid, signal.SIGKILL)

    return Fault(happen)


def sweep_tree_with(fault: Fault, quorum: Quorum, images: Path, **settings: object) -> dict[str, Any]:
    """Sweep TREE in two workers with a fault and return what is printed."""
    (quorum.folder / "study.yaml").write_text(TREE)
    answer = with_fault(fault, quorum, [*sweep_words(images, jobs=2, **settings), "--json"])
    assert answer.status == 0, answer.err
    return dict(json.loads(answer.out))


@pytest.mark.slow
def test_a_worker_that_dies_once_changes_nothing(tree: Swept, small_digits: Path) -> None:
    killed: list[str] = []

    def once(job: Job, epoch: int) -> bool:
        if killed or epoch != 2:
            return False
        killed.append(job.name)
        return True

    result = sweep_tree_with(kill_worker(once), tree.quorum, small_digits, reuse="false")
    assert killed
    assert means(result) == means(tree.result)
    assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} == {"FINISHED"}


@pytest.mark.slow
def test_a_training_whose_workers_die_fails_and_the_others_go_on(quorum: Quorum, small_digits: Path) -> None:
    fault = kill_worker(lambda job, epoch: job.name == "seed 0, lr=0.05" and epoch == 3)
    result = sweep_tree_with(fault, quorum, small_digits)
    good, bad = result["stages"][0]["trials"]
    assert (good["n"], bad["n"]) == (2, 1)
    assert "worker process died 2 times" in bad["failed"][0]
    [failed] = [run for run in runs("seed") if run.info.status == "FAILED"]
    assert failed.info.run_name == "seed 0, lr=0.05"
    assert "exit code -9" in failed.data.tags[schema.NOTE]
    [trial] = [run for run in runs("trial") if run.info.status == "FAILED"]
    assert trial.info.run_name == "lr=0.05"
    assert [trial["n"] for trial in result["stages"][1]["trials"]] == [2, 2, 2]
    assert runs("sweep")[0].info.status == "FINISHED"


@pytest.mark.slow
def test_an_interrupted_sweep_leaves_no_worker_and_goes_on_with_other_jobs(
    swept_tree: Path, quorum: Quorum, small_digits: Path
) -> None:
    fault = interrupt_after(5)
    (quorum.folder / "study.yaml").write_text(TREE)
    assert with_fault(fault, quorum, sweep_words(small_digits, jobs=2)).status == 130
    assert len(fault.pids) == 2
    assert not [pid for pid in fault.pids if Path(f"/proc/{pid}").exists()]
    assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} <= {"KILLED", "FINISHED"}
    result = sweep(quorum, small_digits, TREE)
    assert result["epochs"]["trained"] + result["epochs"]["shared"] + REUSED == WRITTEN
    assert len(runs("sweep")) == 1
    assert means(result) == means(json.loads((swept_tree / "sweep.json").read_text()))


PATIENT = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, lr: 1e-5, step_size: 0, patience: 2}
stages:
  - name: epochs
    vary: {epochs: [2, 8, 9]}
"""


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_trainings_that_stop_early_are_trained_once_and_leave_none_waiting(
    quorum: Quorum, small_digits: Path, jobs: int
) -> None:
    """At so low a rate the accuracy is not better for long: 8 and 9 epochs stop alike, and share all that they have."""
    result = sweep(quorum, small_digits, PATIENT, jobs=jobs)
    seeds = runs("seed")
    assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} == {"FINISHED"}
    ends = {(run.data.params["epochs"], run.data.params["seed"]): int(run.data.metrics["last/epoch"]) for run in seeds}
    for run in seeds:
        end = ends[run.data.params["epochs"], run.data.params["seed"]]
        assert [m.step for m in MlflowClient().get_metric_history(run.info.run_id, "val/loss")] == list(
            range(1, end + 1)
        )
        stopped = run.data.tags.get(schema.STOPPED, "")
        assert bool(stopped) == (end < int(run.data.params["epochs"]))
        assert not stopped or f"stopped after epoch {end} of {run.data.params['epochs']}: no better" in stopped
        assert int(run.data.tags.get(schema.SHARED_EPOCHS, 0)) <= end
    for seed in "01":
        assert 2 < ends["8", seed] == ends["9", seed] < 8, ends
    assert result["epochs"]["written"] - result["epochs"]["spared"] == sum(ends.values())
    assert result["epochs"]["trained"] == ends["8", "0"] + ends["8", "1"]
    assert "stopped after epoch" in runs("sweep")[0].data.tags[schema.NOTE]
    assert empty(quorum.folder, "kept", "states", "weights", "artifacts")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep_whose_time_is_up_stops_in_order_and_goes_on(
    swept_tree: Path, quorum: Quorum, small_digits: Path, jobs: int
) -> None:
    (quorum.folder / "study.yaml").write_text(TREE)
    for _ in range(3):  # no time at all is time for one epoch
        answer = quorum(*sweep_words(small_digits, jobs=jobs, max_hours=1e-9))
        assert answer.status == 75, answer.err
        assert answer.err.splitlines()[-1].startswith(
            "quorum: max_hours are over, 4 trainings are left; the same command"
        )
        assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} == {"KILLED"}
    [begun] = runs("seed")
    steps = [metric.step for metric in MlflowClient().get_metric_history(begun.info.run_id, "val/loss")]
    assert steps == [1, 2, 3]
    result = sweep(quorum, small_digits, TREE, jobs=jobs, max_hours=24)
    assert means(result) == means(json.loads((swept_tree / "sweep.json").read_text()))
    assert result["epochs"]["trained"] == TRAINED
    assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} == {"FINISHED"}
    assert len(runs("sweep")) == 1
