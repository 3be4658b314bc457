"""What a person sees of a training, and what of it is logged."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient

from quorum.engine.history import EpochRecord
from quorum.engine.states import States
from quorum.engine.training import Progress
from quorum.tracking.records import TrainingRecord
from quorum.tracking.runs import begin_run
from quorum.training import progress
from quorum.training.folders import WorkFolders
from quorum.training.prepare import Preparer
from quorum.training.progress import TrainingProgress
from quorum.training.run import make_job
from tests.training.conftest import CONFIG


def epoch(number: int) -> EpochRecord:
    values = {"train/loss": 1.5, "train/accuracy": 0.25, "val/loss": 1.25, "val/accuracy": 0.5}
    return EpochRecord(number, {**values, "epoch_seconds": 1.0, "images_per_second": 123.0, "lr": 0.1})


def test_a_line_an_epoch_and_each_logged_once(
    preparer: Preparer, folders: WorkFolders, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared = preparer.prepare(CONFIG.replace(epochs=3))
    with begin_run(preparer.store, "a training", TrainingRecord(kind="train")) as log:
        shown = TrainingProgress(make_job("seed 0", prepared, log.run_id, States(), folders), log)
        shown.on_progress(Progress((epoch(1),), restored=True))
        shown.on_batch(8)
        shown.on_progress(Progress((epoch(2),)))
        shown.on_progress(Progress((epoch(3),)))
        shown.close()
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines if "epoch" in line] == ["seed 0: epoch 2 of 3", "seed 0: epoch 3 of 3"]
    assert "loss 1.500, accuracy 0.250, val loss 1.250, val accuracy 0.500, 123 images/s" in lines[-1]
    steps = [metric.step for metric in MlflowClient().get_metric_history(log.run_id, "val/loss")]
    assert steps == [1, 2, 3]


def test_on_a_terminal_the_lines_stay_and_the_bar_counts_whole_images(
    preparer: Preparer, folders: WorkFolders, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "interactive", lambda: True)
    prepared = preparer.prepare(CONFIG.replace(epochs=300))
    with begin_run(preparer.store, "a training", TrainingRecord(kind="train")) as log:
        job = make_job("seed 0", prepared, log.run_id, States(), folders)
        shown = progress.TrainingProgress(job, log, "training 4 of 15 (seed 0)", lambda: "6 min left in all")
        shown.on_progress(Progress((epoch(1),)))
        shown.close()
    err = capfd.readouterr().err
    images = prepared.images_per_epoch
    assert 300 * images > 1000
    assert f" {images}/{300 * images} " in err
    assert "training 4 of 15 (seed 0), epoch 2 of 300" in err
    [line] = [line for line in err.replace("\r", "\n").splitlines() if "images/s, 6 min" in line]
    assert line.startswith("training 4 of 15 (seed 0): epoch 1 of 300, loss 1.500")
    assert line.endswith("123 images/s, 6 min left in all")
