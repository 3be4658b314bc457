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

from quorum.config import TrialConfig
from quorum.engine.history import EpochRecord
from quorum.sweep.checkpoints import KeptStates
from quorum.sweep.executors.pool import WorkerPool
from quorum.tracking import schema
from quorum.training.progress import TrainingProgress
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
    assert outer.data.metrics["effort/epochs_trained"] == TRAINED
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


def kill_workers(monkeypatch: pytest.MonkeyPatch, when: Callable[[TrainingProgress, EpochRecord], bool]) -> list[int]:
    """Kill the worker that does a training after the epochs that are named. Returns the ids of all workers, in time."""
    pools: list[WorkerPool[Any, Any]] = []
    pids: list[int] = []
    set_up, begin, on_epoch = WorkerPool.__post_init__, WorkerPool._idle_worker, TrainingProgress.on_epoch

    def remember(pool: WorkerPool[Any, Any]) -> None:
        set_up(pool)
        pools.append(pool)

    def idle_worker(pool: WorkerPool[Any, Any]) -> Any:
        worker = begin(pool)
        pids.append(worker.process.pid or 0)
        return worker

    def kill(progress: TrainingProgress, record: EpochRecord) -> None:
        on_epoch(progress, record)
        if when(progress, record):
            [worker] = [w for w in pools[-1]._workers if w.job is not None and w.job.name == progress.name]
            os.kill(worker.process.pid or 0, signal.SIGKILL)

    monkeypatch.setattr(WorkerPool, "__post_init__", remember)
    monkeypatch.setattr(WorkerPool, "_idle_worker", idle_worker)
    monkeypatch.setattr(TrainingProgress, "on_epoch", kill)
    return pids


@pytest.mark.slow
def test_a_worker_that_dies_once_changes_nothing(
    tree: Swept, small_digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []

    def once(progress: TrainingProgress, record: EpochRecord) -> bool:
        if killed or record.epoch != 2:
            return False
        killed.append(progress.name)
        return True

    kill_workers(monkeypatch, once)
    result = sweep(tree.quorum, small_digits, TREE, jobs=2, reuse="false")
    assert killed
    assert means(result) == means(tree.result)
    assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} == {"FINISHED"}


@pytest.mark.slow
def test_a_training_whose_workers_die_fails_and_the_others_go_on(
    quorum: Quorum, small_digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_workers(monkeypatch, lambda progress, record: progress.name == "seed 0, lr=0.05" and record.epoch == 3)
    result = sweep(quorum, small_digits, TREE, jobs=2)
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
    swept_tree: Path, quorum: Quorum, small_digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: TrainingProgress, record: EpochRecord) -> bool:
        if record.epoch == 3:
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patch:
        pids = kill_workers(patch, interrupt)
        (quorum.folder / "study.yaml").write_text(TREE)
        assert quorum(*sweep_words(small_digits, jobs=2)).status == 130
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} <= {"KILLED", "FINISHED"}
    result = sweep(quorum, small_digits, TREE)
    assert result["epochs"]["trained"] + result["epochs"]["shared"] + REUSED == WRITTEN
    assert len(runs("sweep")) == 1
    assert means(result) == means(json.loads((swept_tree / "sweep.json").read_text()))


def test_states_find_room_or_are_refused(tmp_path: Path) -> None:
    config = TrialConfig(model="scratch-simple")
    states = KeptStates(tmp_path / "kept", limit=15e6)  # the network has 0.55 million parameters: 6.6 MB a state
    assert [states.reserve(node, config) for node in ("a", "b", "c")] == [True, True, False]
    assert states.refused == 1
    states.drop(["a"])
    assert states.reserve("c", config)
    states.place("c").mkdir()
    (states.place("c") / "last.pt").write_bytes(b"x" * 1000)
    states.written("c", "run")
    assert states.peak == 1003
    assert states.origin("c") == "run"
    (tmp_path / "kept" / "half").mkdir()  # killed while it was written
    again = KeptStates(tmp_path / "kept", limit=15e6)
    assert again.found() == {"c"}
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["c"]
    again.clear()
    assert not (tmp_path / "kept").exists()
