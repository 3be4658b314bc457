"""`quorum train`: what it logs, resuming, reuse, and fine-tuning from a run of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from mlflow.tracking import MlflowClient

from quorum.tracking import schema
from tests.commands.faults import interrupted_training
from tests.conftest import SMALL_CLASSES, Quorum, words

SMALL = {"model": "scratch-simple", "epochs": 2, "batch_size": 16, "lr": 0.05}


def small(images: Path, **changes: object) -> list[str]:
    """A training on few images with some settings changed, as a command line."""
    return words("train", **{"dataset": "folder", "path": images, "resize": 32, **SMALL, **changes})


def train(quorum: Quorum, images: Path, **changes: object) -> dict[str, Any]:
    answer = quorum(*small(images, **changes), "--json")
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    assert isinstance(result, dict)
    return result


@pytest.mark.slow
def test_everything_is_logged(quorum: Quorum) -> None:
    answer = quorum(*words("train", **{**SMALL, "batch_size": 64, "momentum": 0.8}), "--json")
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    run = MlflowClient().get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["momentum"] == "0.8"
    assert run.data.params["precision"] in ("bf16", "float32")
    assert run.data.metrics["best/val_accuracy"] == result["best_val_accuracy"]
    assert run.data.metrics["test/accuracy"] == result["test_accuracy"]
    per_epoch = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr", "epoch_seconds", "images_per_second")
    for name in per_epoch:
        assert [m.step for m in MlflowClient().get_metric_history(run.info.run_id, name)] == [1, 2], name
    logged = run.inputs.dataset_inputs[0].dataset
    assert (logged.name, logged.digest) == ("digits", run.data.tags[schema.DATA_DIGEST])
    folder = quorum.folder / "mlruns" / result["run_id"] / "artifacts"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "curves.csv",
        "curves.png",
        "environment.json",
        "per_class.csv",
        "predictions.csv",
    ]
    predictions = pd.read_csv(folder / "predictions.csv")
    test = predictions[predictions["split"] == "test"]
    assert len(test) == 270
    assert (test["true"] == test["predicted"]).mean() == pytest.approx(result["test_accuracy"])
    val = predictions[predictions["split"] == "val"]
    assert (val["true"] == val["predicted"]).mean() == pytest.approx(result["best_val_accuracy"])
    confusion = pd.read_csv(folder / "confusion_matrix.csv", index_col=0).to_numpy()
    assert confusion.sum() == 270
    assert confusion.trace() / 270 == pytest.approx(result["test_accuracy"])
    per_class = pd.read_csv(folder / "per_class.csv")
    assert list(per_class.columns) == ["class", "precision", "recall", "f1", "images"]
    surroundings = json.loads((folder / "environment.json").read_text())
    assert set(surroundings) == {"code_version", "git_commit", "packages", "determinism", "machine"}
    assert surroundings["determinism"]["deterministic_algorithms"]
    assert json.loads((folder / "config.json").read_text())["lr"] == 0.05


@pytest.mark.slow
def test_the_model_is_complete(quorum: Quorum, small_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    result = train(quorum, small_digits)
    model_id = MlflowClient().get_run(result["run_id"]).data.tags[schema.MODEL_ID]
    model = mlflow.pyfunc.load_model(f"models:/{model_id}")
    assert model.metadata.signature.inputs.input_names() == ["image"]
    example = model.input_example
    out = model.predict(example)
    assert list(out.columns) == ["label", "probability", "probabilities"]
    assert out["label"][0] in {str(digit) for digit in range(SMALL_CLASSES)}
    assert sum(out["probabilities"][0]) == pytest.approx(1, abs=1e-5)
    assert max(out["probabilities"][0]) == out["probability"][0]
    assert not list((quorum.folder / "mlruns").rglob("*.pkl"))


@pytest.mark.slow
def test_the_same_command_returns_the_stored_run(quorum: Quorum, small_digits: Path) -> None:
    first = train(quorum, small_digits)
    second = train(quorum, small_digits)
    assert second == {**first, "reused": True}
    third = train(quorum, small_digits, reuse="false")
    assert third["run_id"] != first["run_id"]
    assert third["test_accuracy"] == first["test_accuracy"]
    assert train(quorum, small_digits, seed=1)["run_id"] not in (first["run_id"], third["run_id"])


@pytest.mark.slow
def test_interrupted_it_goes_on_in_the_same_run(quorum: Quorum, small_digits: Path) -> None:
    assert interrupted_training(quorum, small(small_digits)).status == 130
    [run] = MlflowClient().search_runs(["1"])
    assert run.info.status == "KILLED"
    resumed = train(quorum, small_digits)
    assert resumed["run_id"] == run.info.run_id
    whole = train(quorum, small_digits, reuse="false")
    assert whole["best_val_accuracy"] == resumed["best_val_accuracy"]
    assert whole["test_accuracy"] == resumed["test_accuracy"]
    for name in ("train/loss", "val/loss"):
        values = [[m.value for m in MlflowClient().get_metric_history(r["run_id"], name)] for r in (resumed, whole)]
        assert values[0] == values[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["models", "runs"])
def test_weights_of_a_run_of_ours(quorum: Quorum, small_digits: Path, kind: str) -> None:
    first = train(quorum, small_digits)
    model_id = MlflowClient().get_run(first["run_id"]).data.tags[schema.MODEL_ID]
    uri = f"models:/{model_id}" if kind == "models" else f"runs:/{first['run_id']}/model"
    tuned = train(quorum, small_digits, weights=uri, epochs=1, lr=0.0001)
    first_loss = MlflowClient().get_metric_history(tuned["run_id"], "train/loss")[0].value
    assert first_loss < MlflowClient().get_metric_history(first["run_id"], "train/loss")[0].value * 0.9
    run = MlflowClient().get_run(tuned["run_id"])
    assert run.data.tags[schema.WEIGHTS_RUN] == first["run_id"]
    assert [model.model_id for model in run.inputs.model_inputs] == [model_id]
    assert f"runs/{first['run_id']}" in run.data.tags[schema.NOTE]


@pytest.mark.slow
def test_what_was_learned_on_one_data_set_is_fine_tuned_on_another(
    quorum: Quorum, small_digits: Path, image_tree: Path
) -> None:
    first = train(quorum, small_digits, normalize="cifar10")
    tuned = train(quorum, image_tree, weights=f"runs:/{first['run_id']}/model", epochs=1, phases="classifier")
    run = MlflowClient().get_run(tuned["run_id"])
    assert run.data.tags[schema.WEIGHTS_RUN] == first["run_id"]
    assert "trained on small-digits in run" in run.data.tags[schema.NOTE]
    assert run.data.params["normalize"] == "cifar10"  # the scale that the features were learned at
    bundles = [
        mlflow.artifacts.download_artifacts(f"models:/{MlflowClient().get_run(r['run_id']).data.tags[schema.MODEL_ID]}")
        for r in (first, tuned)
    ]
    source, kept = (torch.load(next(Path(b).rglob("weights.pt")), weights_only=True) for b in bundles)
    assert all(torch.equal(source[name], kept[name]) for name in source if name.startswith("features"))
    assert kept["classifier.2.weight"].shape == (2, 128)


def test_a_diverged_training_is_one_line_and_failed(quorum: Quorum, small_digits: Path) -> None:
    answer = quorum(*small(small_digits, lr=1e30))
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith("quorum: the training loss is")
    [run] = MlflowClient().search_runs(["1"])
    assert run.info.status == "FAILED"
    assert "in epoch 1" in run.data.tags[schema.NOTE]


@pytest.mark.slow
def test_a_folder_of_images_of_any_size(quorum: Quorum, image_tree: Path) -> None:
    arguments = f"-P dataset=folder -P path={image_tree} -P model=resnet18 -P input_size=32 -P batch_size=8 -P epochs=2"
    answer = quorum("train", "--json", *arguments.split(), "-P", "lr=0.01", "-P", "augment=crop-flip-grey")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["best_val_accuracy"] >= 0.5


@pytest.mark.slow
def test_a_training_whose_time_is_up_stops_in_order_and_goes_on(quorum: Quorum, small_digits: Path) -> None:
    answer = quorum(*small(small_digits, max_hours=1e-9))
    assert answer.status == 75
    assert "quorum: max_hours are over after epoch 1 of 2; the same command goes on from here" in answer.err
    [run] = MlflowClient().search_runs(["1"])
    assert run.info.status == "KILLED"
    assert train(quorum, small_digits, max_hours=1e-9)["run_id"] == run.info.run_id  # its last epoch ends it
    assert MlflowClient().get_run(run.info.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_training_that_stops_early_says_where_and_why(quorum: Quorum, small_digits: Path) -> None:
    answer = quorum(*small(small_digits, epochs=9, patience=1, lr=1e-6), "--json")
    assert answer.status == 0
    run = MlflowClient().get_run(json.loads(answer.out)["run_id"])
    end, best = int(run.data.metrics["last/epoch"]), int(run.data.metrics["best/epoch"])
    assert end < 9
    said = f"stopped after epoch {end} of 9: no better validation accuracy since epoch {best} (patience=1)"
    assert run.data.tags[schema.STOPPED] == said
    assert said in answer.err
