"""Sweeps whose states, weights, files and pixels lie in a storage: the same results, on whatever machine they go on."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from quorum import tuning
from quorum.api.engines import is_trained, worker_threads
from quorum.api.options import SweepOptions
from quorum.api.sweep import run_study_file
from quorum.commands.result import Result
from quorum.commands.wiring import COMMANDS
from quorum.engine.training import Training
from quorum.plugins import loaded_plugins
from quorum.sweeps.executors.pool import WorkerPool
from quorum.sweeps.worker import WORK, set_up_worker
from quorum.tracking import schema
from quorum.tracking.store import TrackingStore
from quorum.training.job import train
from tests.commands.faults import interrupt_after, with_fault
from tests.commands.studies import TREE, means, runs, sweep, sweep_words
from tests.commands.test_jobs import history
from tests.conftest import Quorum, S3Server, words

MACHINES = "machines"  # folder of the folders that workers have for themselves


def contents(folder: Path) -> dict[str, Any]:
    """Histories of a store's trainings and weights of its models, by what a training is for."""
    found: dict[str, Any] = {}
    for run in runs("seed"):
        name = f"{run.data.tags[schema.KEY]}"
        found[name] = history(run)
        if model := run.data.tags.get(schema.MODEL_ID):
            [file] = (folder / "mlruns" / "models" / model).rglob("weights.pt")
            found[f"{name} weights"] = [value.tolist() for value in torch.load(file, weights_only=True).values()]
    assert any(name.endswith("weights") for name in found)
    return found


@pytest.fixture
def undisturbed(swept_tree: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """TREE, swept without a storage: what came out."""
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{swept_tree}/work/mlflow.db")
        return {
            "means": means(json.loads((swept_tree / "sweep.json").read_text())),
            **contents(swept_tree / "work"),
        }


def left(storage: Path) -> set[str]:
    """What a storage holds, without what stays there for sweeps to come."""
    return {path.relative_to(storage).parts[0] for path in storage.rglob("*") if path.is_file()} - {"pixels"}


@pytest.mark.slow
def test_a_sweep_goes_on_where_another_machine_was_killed(
    undisturbed: dict[str, Any], quorum: Quorum, small_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorum.engine.states.SAVING_SHARE", 1e9)  # so that each epoch is saved
    trained: list[int] = []
    run_epoch = Training.run_epoch

    def counted(self: Training, epoch: int, on_batch: Any) -> Any:
        trained.append(epoch)
        return run_epoch(self, epoch, on_batch)

    monkeypatch.setattr(Training, "run_epoch", counted)
    (quorum.folder / "study.yaml").write_text(TREE)
    command = sweep_words(small_digits, storage=tmp_path / "shared")
    for epochs in (5, 6, 9):
        assert with_fault(interrupt_after(epochs), quorum, command).status == 130
        shutil.rmtree(quorum.folder / ".quorum")
    result = sweep(quorum, small_digits, TREE, storage=tmp_path / "shared")
    assert {"means": means(result), **contents(quorum.folder)} == undisturbed
    assert len(trained) == result["epochs"]["trained"]
    assert len(runs("sweep")) == 1
    assert left(tmp_path / "shared") == set()


def elsewhere(machines: Path, environment: Mapping[str, str], set_up: Callable[[], object]) -> None:
    """Make a worker ready in a folder of its own, as on a machine that shares none."""
    os.chdir(tempfile.mkdtemp(dir=machines))
    os.environ.update(environment)  # the server that workers are forked from may be older than what a test has set
    set_up()


def sweep_apart(options: SweepOptions, given: Mapping[str, str], store: TrackingStore) -> Result:
    """`quorum sweep` whose workers are on machines of their own."""
    machines = Path(MACHINES).resolve()
    machines.mkdir()
    set_up = functools.partial(set_up_worker, worker_threads(options), tuning.used(), loaded_plugins(), "normal")
    there = functools.partial(elsewhere, machines, dict(os.environ), set_up)
    run = run_study_file(options, given, store, lambda: WorkerPool(train, options.jobs, there, WORK, is_trained))
    return Result(run.data(), run.page)


def apart(quorum: Quorum, images: Path, text: str, **settings: object) -> dict[str, Any]:
    """Sweep a study in two workers on machines of their own and return what is printed."""
    (quorum.folder / "study.yaml").write_text(text)
    command = dataclasses.replace(COMMANDS["sweep"], function="tests.commands.test_storage:sweep_apart")
    answer = quorum.call([*sweep_words(images, jobs=2, **settings), "--json"], {"sweep": command})
    assert answer.status == 0, answer.err
    return dict(json.loads(answer.out))


@pytest.mark.slow
def test_workers_on_machines_that_share_no_folder_give_the_same(
    undisturbed: dict[str, Any], quorum: Quorum, small_digits: Path, tmp_path: Path
) -> None:
    result = apart(quorum, small_digits, TREE, storage=tmp_path / "shared")
    assert {"means": means(result), **contents(quorum.folder)} == undisturbed
    assert left(tmp_path / "shared") == set()
    machines = list((quorum.folder / MACHINES).iterdir())
    assert len(machines) == 2
    for machine in machines:  # each has pulled the pixels, and nothing of the driver's
        assert len(list((machine / ".quorum" / "pixels").iterdir())) == 1


@pytest.mark.slow
def test_by_s3_first_weights_states_and_pixels_reach_workers_that_lack_them(
    quorum: Quorum, small_digits: Path, s3: S3Server
) -> None:
    study = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, step_size: 0, lr: 0.05, WEIGHTS}
stages:
  - name: epochs
    vary: {epochs: [1, 2]}
"""
    first = sweep(quorum, small_digits, study.replace("WEIGHTS", "weights: none"), seeds=0)
    text = study.replace("WEIGHTS", f'weights: "runs:/{runs("seed")[0].info.run_id}/model"')
    assert first["epochs"]["shared"] == 1
    alone = sweep(quorum, small_digits, text, seeds=0)
    there = apart(quorum, small_digits, text, seeds=0, storage=s3.bucket(), reuse="false")
    assert means(there) == means(alone) != means(first)
    assert there["epochs"] == alone["epochs"]


def test_work_dir_is_no_storage(quorum: Quorum) -> None:
    answer = quorum(*words("train", model="scratch-simple", storage=".quorum"))
    assert (answer.status, answer.err) == (
        2,
        "quorum: storage: is work_dir, which holds this machine's copies; give another folder\n",
    )


def test_a_storage_that_cannot_be_used_is_told_before_anything_is_trained(quorum: Quorum) -> None:
    answer = quorum(*words("train", model="scratch-simple", storage="nowhere://user:secret@bucket"))
    assert answer.status == 2
    assert answer.err.startswith("quorum: storage nowhere://user:***@bucket: Protocol not known: nowhere")
    assert len(answer.err.splitlines()) == 1
    assert MlflowClient().search_runs(["1"]) == []
