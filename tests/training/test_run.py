"""What a training logs at its beginning and end, and the metrics of a trial."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient

from quorum.engine.states import States
from quorum.tracking.records import TrainingRecord, training_identity
from quorum.tracking.runs import begin_run
from quorum.training.folders import WorkFolders
from quorum.training.job import Trained, train
from quorum.training.prepare import Preparer
from quorum.training.run import log_beginning, log_end, log_model, make_job, trained_result, trial_metrics
from tests.training.conftest import CONFIG


@pytest.mark.slow
def test_settings_data_results_files_and_model_are_logged(preparer: Preparer, folders: WorkFolders) -> None:
    prepared = preparer.prepare(CONFIG.replace(seed=5))
    record = TrainingRecord(kind="train", **training_identity(prepared.config, prepared.data_digest, prepared.numerics))
    with begin_run(preparer.store, "a training", record) as log:
        log_beginning(log, prepared)
        job = make_job("a training", prepared, log.run_id, States(), folders)
        *_, trained = train(job, lambda _images: None)
        assert isinstance(trained, Trained)
        log_end(log, job, trained)
        model_id = log_model(log, prepared, folders)
    assert not folders.artifacts(log.run_id).exists()
    run = MlflowClient().get_run(log.run_id)
    assert run.data.params["lr"] == "0.01"
    assert run.data.params["seed"] == "5"
    [used] = run.inputs.dataset_inputs
    assert used.dataset.digest == prepared.data_digest
    names = {entry.path for entry in MlflowClient().list_artifacts(log.run_id)}
    assert {"config.json", "curves.csv", "confusion_matrix.png", "predictions.csv", "per_class.csv"} <= names
    assert MlflowClient().get_logged_model(model_id).source_run_id == log.run_id
    result = trained_result(job, trained, shared_epochs=1)
    assert (result.seed, result.run_id, result.shared_epochs) == (5, log.run_id, 1)
    assert run.data.metrics["best/val_accuracy"] == result.val_accuracy


def test_a_trial_has_mean_std_and_n_of_every_metric() -> None:
    seeds = [
        {"best/epoch": 2.0, "best/val_accuracy": value, "last/val_mine": 1.0, "test/loss": value}
        for value in (0.5, 0.7)
    ]
    metrics = trial_metrics(seeds)
    assert metrics["val_accuracy/mean"] == pytest.approx(0.6)
    assert metrics["val_accuracy/std"] == pytest.approx(0.2 / 2**0.5)
    assert (metrics["last_val_mine/mean"], metrics["val_accuracy/n"]) == (1.0, 2)
    assert not [name for name in metrics if "epoch" in name]
    assert trial_metrics(seeds[:1])["val_accuracy/std"] is None
    assert trial_metrics([]) == {}
