"""From trials to the registry to a vote, and back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image
from sklearn.datasets import load_digits

from quorum.tracking import schema
from tests.conftest import Quorum

NAME = "quorum-digits"


def train(quorum: Quorum, *more: str) -> str:
    arguments = "train --json -P model=scratch-simple -P batch_size=64".split()
    answer = quorum(*arguments, *(word for text in more for word in ("-P", text)))
    assert answer.status == 0, answer.err
    return str(json.loads(answer.out)["run_id"])


def promote(quorum: Quorum, *more: str) -> dict[str, Any]:
    answer = quorum("promote", "--json", *more)
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    assert isinstance(result, dict)
    return result


def aliases() -> dict[str, str]:
    return {k: str(v) for k, v in MlflowClient().get_registered_model(NAME).aliases.items()}


def versions() -> int:
    return len(MlflowClient().search_model_versions(f"name = '{NAME}'"))


def test_the_best_three_different_trials_are_promoted(trained: Quorum) -> None:
    result = promote(trained)
    assert list(result) == ["best-1", "best-2", "best-3"]
    runs = MlflowClient().search_runs(["1"], "tags.`quorum.kind` = 'train'")
    found = [run.data.metrics["val_accuracy/mean"] for run in runs]
    best = sorted(set(found), reverse=True)[:3]
    assert [entry["mean"] for entry in result.values()] == pytest.approx(best, abs=5e-5)  # tags are rounded
    for alias, entry in result.items():
        version = MlflowClient().get_model_version_by_alias(NAME, alias)
        assert str(version.version) == entry["version"]
        assert float(version.tags["quorum.mean"]) == entry["mean"]
        assert version.tags["quorum.run"] == entry["run"] == version.run_id
        assert {"quorum.std", "quorum.n", "quorum.data_digest"} <= set(version.tags)
        assert version.tags["quorum.model"] == "scratch-simple"
        measured = MlflowClient().get_run(version.run_id).data.metrics
        mean, test = measured["val_accuracy/mean"], measured["test/accuracy"]
        said = rf"scratch-simple, lr 0\.05, \d epochs?: {mean:.3f}, n = 1; test {test:.3f}; seed 0 is registered"
        assert re.fullmatch(said, version.description)
        out = mlflow.pyfunc.load_model(f"models:/{NAME}@{alias}")
        assert out.metadata.signature is not None
    assert "best finished trials" in MlflowClient().get_registered_model(NAME).description


def test_a_lucky_single_training_does_not_displace_trials_of_three_seeds(trained: Quorum) -> None:
    """Of two trials of three seeds and many single trainings, some of them better, the two are taken."""
    client = MlflowClient()
    runs = client.search_runs(["1"], "tags.`quorum.kind` = 'train'", order_by=["metrics.`val_accuracy/mean` ASC"])
    chosen = [runs[0].info.run_id, runs[1].info.run_id]
    for run_id in chosen:
        client.log_metric(run_id, "val_accuracy/n", 3)
    answer = trained("promote", "--json", "-P", "top=2")
    assert {entry["run"] for entry in json.loads(answer.out).values()} == set(chosen)
    assert "left out: 3 with another number of seeds than 3" in answer.err
    answer = trained("promote", "-P", "top=3")
    assert answer.status == 2
    assert "2 finished trials" in answer.err
    assert "another number of seeds than 3" in answer.err


def test_trials_that_answer_alike_are_one(trained: Quorum) -> None:
    client = MlflowClient()
    runs = client.search_runs(["1"], "tags.`quorum.kind` = 'train'", order_by=["metrics.`val_accuracy/mean` DESC"])
    by_epochs = {run.data.params["epochs"]: run for run in reversed(runs)}
    first, second, *_ = sorted(by_epochs.values(), key=lambda run: -run.data.metrics["val_accuracy/mean"])
    source = client.download_artifacts(first.info.run_id, "predictions.csv")
    client.log_artifact(second.info.run_id, source)
    answer = trained("promote", "--json")
    promoted = {entry["run"] for entry in json.loads(answer.out).values()}
    assert len(promoted) == 3
    assert second.info.run_id not in promoted
    assert "left out: 1 with the same answer to every image as a better one" in answer.err


def test_aliases_that_go_are_told(trained: Quorum) -> None:
    promote(trained, "-P", "top=3")
    answer = trained("promote", "-P", "top=2")
    assert "best-3 is gone: it was version 3" in answer.err
    run, *_ = MlflowClient().search_runs(["1"], "tags.`quorum.kind` = 'promote'")
    assert "best-3 is gone: it was version 3" in run.data.tags["mlflow.note.content"]
    assert set(aliases()) == {"best-1", "best-2"}


def test_promotions_take_turns(trained: Quorum) -> None:
    """Four at once made six versions for three models."""
    command = [sys.executable, "-m", "quorum", "promote"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0], [process.communicate()[0] for process in running]
    assert versions() == 3
    assert len([tag for tag in MlflowClient().get_registered_model(NAME).tags if "promotion" in tag]) == 1


def test_one_member_is_no_vote(trained: Quorum) -> None:
    promote(trained, "-P", "top=1")
    answer = trained("ensemble")
    assert answer.status == 2
    assert "alone is no vote; promote or name at least 2 members" in answer.err


def test_whole_numbers_are_read_as_they_were_typed(trained: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient()
    for run in client.search_runs(["1"]):
        client.delete_run(run.info.run_id)
    made = client.create_run("1")
    for name, text in (("epochs", "5.0"), ("seed", "7.0")):
        client.log_param(made.info.run_id, name, text)  # as `mlflow run` does
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    run_id = train(trained, "epochs=5.0", "seed=7.0")
    assert run_id == made.info.run_id
    assert client.get_run(run_id).data.params["epochs"] == "5.0"
    [entry] = promote(trained, "-P", "top=1").values()
    assert entry["run"] == run_id
    description = client.get_model_version(NAME, entry["version"]).description
    assert "5 epochs" in description
    assert "seed 7 is registered" in description


def test_promoting_twice_changes_nothing(trained: Quorum) -> None:
    first = promote(trained)
    before = (aliases(), versions(), dict(MlflowClient().get_registered_model(NAME).tags))
    assert promote(trained) == first
    assert (aliases(), versions(), dict(MlflowClient().get_registered_model(NAME).tags)) == before


@pytest.mark.slow
def test_rollback_restores_what_was_replaced(trained: Quorum) -> None:
    promote(trained, "-P", "top=2")
    first = aliases()
    train(trained, "lr=0.05", "epochs=6")
    promote(trained, "-P", "top=3")
    second = aliases()
    assert second != first
    [run, *_] = MlflowClient().search_runs(["1"], "tags.`quorum.kind` = 'promote'", order_by=["start_time DESC"])
    ledger = json.loads(run.data.tags["quorum.promotion"])
    assert ledger.pop("gate")["passed"]
    assert ledger == {"model": NAME, "before": first, "after": second}
    assert MlflowClient().list_artifacts(run.info.run_id)[0].path == "promotion.json"
    assert set(promote(trained, "--rollback")) == set(first)
    assert aliases() == first
    assert promote(trained, "--rollback") == {}
    assert aliases() == {}
    answer = trained("promote", "--rollback")
    assert answer.status == 2
    assert "no promotion that could be rolled back" in answer.err
    assert set(promote(trained)) == {"best-1", "best-2", "best-3"}


def test_a_clock_that_was_ahead_does_not_confuse_the_ledger(trained: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time_ns", lambda: now() + 2 * 86_400 * 10**9)
        promote(trained, "-P", "top=1")
    first = aliases()
    promote(trained, "-P", "top=2")
    assert set(promote(trained, "--rollback")) == set(first)
    assert aliases() == first


@pytest.mark.slow
def test_a_promotion_that_is_killed_between_two_aliases_is_one_promotion(
    trained: Quorum, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(trained, "-P", "top=2")
    first = aliases()
    train(trained, "lr=0.05", "epochs=12")  # so many that it is better by any arithmetic
    point = MlflowClient.set_registered_model_alias

    def killed(client: MlflowClient, name: str, alias: str, version: str) -> None:
        if alias != "best-1":
            raise KeyboardInterrupt
        point(client, name, alias, version)

    with monkeypatch.context() as fault:
        fault.setattr(MlflowClient, "set_registered_model_alias", killed)
        assert trained("promote", "-P", "top=2").status == 130
    assert len(set(aliases().values()) | set(first.values())) == 3, "one alias has moved"
    second = {alias: entry["version"] for alias, entry in promote(trained, "-P", "top=2").items()}
    assert second == aliases() != first
    promote(trained, "--rollback")
    assert aliases() == first


def test_too_few_candidates_are_an_error_that_changes_nothing(trained: Quorum) -> None:
    promote(trained)
    before = aliases()
    answer = trained("promote", "-P", "top=9")
    assert answer.status == 2
    assert "finished trials with different settings" in answer.err
    assert "where 9 are wanted" in answer.err
    assert aliases() == before


def test_losses_are_better_when_lower(trained: Quorum) -> None:
    runs = MlflowClient().search_runs(["1"], "tags.`quorum.kind` = 'train'")
    best = min(run.data.metrics["val_loss/mean"] for run in runs)
    chosen = promote(trained, "-P", "metric=val_loss/mean", "-P", "top=1")["best-1"]["run"]
    assert MlflowClient().get_run(chosen).data.metrics["val_loss/mean"] == best


@pytest.mark.slow
def test_trials_on_other_data_are_left_out(trained: Quorum) -> None:
    client = MlflowClient()
    promoted = promote(trained)["best-1"]
    best = promoted["run"]
    client.set_model_version_tag(NAME, promoted["version"], "data_digest", "another")
    for run in client.search_runs(["1"], "tags.`quorum.kind` = 'train'"):
        if run.data.params["epochs"] == client.get_run(best).data.params["epochs"]:
            client.set_tag(run.info.run_id, schema.DATA_DIGEST, "another")
    newest = train(trained, "lr=0.04", "epochs=1")
    result = promote(trained)
    assert best not in {entry["run"] for entry in result.values()}
    assert client.get_run(newest).data.tags[schema.DATA_DIGEST] != "another"


def test_the_vote_on_the_test_split(trained: Quorum) -> None:
    promoted = promote(trained)
    answer = trained("ensemble", "--json")
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    for member, entry in zip(result["members"], promoted.values(), strict=True):
        assert member["uri"] == f"models:/{NAME}/{entry['version']}"
        # the accuracy that the member was tested at when it was trained
        assert member["accuracy"] == MlflowClient().get_run(entry["run"]).data.metrics["test/accuracy"]
    frame = pd.read_csv(result["predictions"], dtype={"label": str, "true": str, "file": str})
    assert len(frame) == 270
    assert (frame["label"] == frame["true"]).mean() == pytest.approx(result["vote"])
    assert frame["agreement"].between(0.333, 1).all()
    artifacts = {item.path for item in MlflowClient().list_artifacts(result["run_id"])}
    audit = {"accuracy_coverage", "calibration", "discordant", "rules", "scores", "predictions"}
    drawn = {"accuracy_coverage", "confusion_matrices", "discordant", "reliability"}
    assert artifacts == {"report.html", *(f"{name}.csv" for name in audit), *(f"{name}.png" for name in drawn)}
    assert {"vote/ece", "vote/nll", "vote/brier", "vote/mcnemar_p", "member-1/ece"} <= set(
        MlflowClient().get_run(result["run_id"]).data.metrics
    )
    run = MlflowClient().get_run(result["run_id"])
    assert run.data.metrics["vote/accuracy"] == result["vote"]


@pytest.mark.slow
def test_the_vote_is_a_registered_model_made_once_for_its_members(trained: Quorum) -> None:
    promote(trained)
    first = json.loads(trained("ensemble", "--json").out)
    second = json.loads(trained("ensemble", "--json").out)
    assert first["registered"] == second["registered"] == f"models:/{NAME}-vote/1"
    version = MlflowClient().get_model_version(f"{NAME}-vote", "1")
    assert json.loads(version.tags[schema.MEMBERS]) == [member["uri"] for member in first["members"]]
    model = mlflow.pyfunc.load_model(first["registered"])
    out = model.predict(model.input_example)
    frame = pd.read_csv(first["predictions"], dtype=str)
    assert out["label"][0] == frame["label"][0]
    assert list(out["votes"][0]) == [frame[f"member-{i} vote"][0] for i in (1, 2, 3)]


def test_unlabeled_images_are_predicted_by_name(trained: Quorum) -> None:
    promote(trained)
    bunch = load_digits()
    folder = trained.folder / "scans"
    folder.mkdir()
    for i in range(30):
        pixels = np.round(bunch.images[i] * (255 / 16)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}-{bunch.target[i]}.png")
    answer = trained("ensemble", "--json", "-P", "images=scans", "-P", "output=out/labels.csv")
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    frame = pd.read_csv(trained.folder / "out" / "labels.csv", dtype=str)
    assert list(frame["file"]) == sorted(path.name for path in folder.iterdir())
    assert (frame["label"] == frame["file"].str[3]).mean() > 0.8
    assert "true" not in frame
    assert result["vote"] is None
    assert result["images"] == 30
