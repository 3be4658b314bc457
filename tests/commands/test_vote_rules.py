"""Votes by other rules, calibrated or abstaining, and their audit."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

import quorum as q
from quorum.tracking import schema
from quorum.tracking.queries import artifact
from quorum.tracking.store import connect
from tests.commands.studies import Swept
from tests.conftest import Quorum, words


@pytest.fixture
def promoted(trained: Quorum) -> Quorum:
    assert trained("promote").status == 0
    return trained


def vote(quorum: Quorum, **settings: object) -> dict[str, Any]:
    answer = quorum(*words("ensemble", **settings), "--json")
    assert answer.status == 0, answer.err
    return dict(json.loads(answer.out))


def predictions(result: dict[str, Any]) -> pd.DataFrame:
    text = {"file": str, "label": str, "true": str}
    return pd.read_csv(result["predictions"], dtype=text, keep_default_na=False)


def table(result: dict[str, Any], name: str) -> pd.DataFrame:
    file = artifact(connect(), result["run_id"], name)
    assert file is not None
    return pd.read_csv(file)


def test_all_rules_stand_side_by_side(promoted: Quorum) -> None:
    result = vote(promoted)
    rules = table(result, "rules.csv")
    assert list(rules["rule"]) == ["majority", "majority", "soft", "soft", "greedy"]
    assert rules["accuracy"].iloc[0] == pytest.approx(result["vote"])
    calibration = table(result, "calibration.csv")
    metrics = MlflowClient().get_run(result["run_id"]).data.metrics
    assert calibration["ece"].iloc[-1] == pytest.approx(metrics["vote/ece"])
    discordant = table(result, "discordant.csv")
    right = discordant["label"] == discordant["true"]
    best = discordant["member-1 vote"] == discordant["true"]
    assert (right != best).all()
    assert metrics["vote/mcnemar_p"] <= 1
    note = MlflowClient().get_run(result["run_id"]).data.tags["mlflow.note.content"]
    assert "McNemar's exact test: p = " in note


@pytest.mark.slow
def test_a_soft_vote_is_served_as_it_was_taken(promoted: Quorum) -> None:
    """Rule, temperatures and abstention travel with the registered model."""
    majority, soft = vote(promoted), vote(promoted, vote="soft", abstain="probability:0.5")
    assert [result["registered"] for result in (majority, soft)] == [f"models:/quorum-digits-vote/{i}" for i in (1, 2)]
    assert vote(promoted, vote="soft", abstain="probability:0.5")["registered"] == soft["registered"]
    frame = predictions(soft)
    assert (frame.loc[frame["probability"] < 0.5, "label"] == "").all()
    assert (frame.loc[frame["probability"] >= 0.5, "label"] != "").all()
    served = mlflow.pyfunc.load_model(soft["registered"])
    out = served.predict(served.input_example)
    assert out["label"][0] == frame["label"][0]
    assert out["probability"][0] == pytest.approx(frame["probability"][0], abs=1e-6)
    assert len(out["probabilities"][0]) == 10
    loaded = q.load(soft["registered"])
    assert loaded.rule.name == "soft"
    assert len(loaded.rule.temperatures) == 3
    answers = loaded.predict(base64.b64decode(served.input_example["image"][0]))
    assert answers["label"][0] == frame["label"][0]
    version = MlflowClient().get_model_version("quorum-digits-vote", "2")
    assert json.loads(version.tags[schema.RULE])["abstain"] == {"measure": "probability", "bound": 0.5}
    assert "left undecided where the probability is below 0.5" in version.description


def test_abstaining_by_agreement(promoted: Quorum) -> None:
    result = vote(promoted, abstain="agreement:1")
    frame = predictions(result)
    undecided = frame["label"] == ""
    assert 0 < undecided.sum() < len(frame)
    assert (frame["agreement"][undecided] < 1).all()
    decided = frame[~undecided]
    assert result["vote"] == pytest.approx((decided["label"] == decided["true"]).mean())
    metrics = MlflowClient().get_run(result["run_id"]).data.metrics
    assert metrics["coverage"] == pytest.approx(len(decided) / len(frame))
    assert "coverage" in table(result, "scores.csv")


def test_a_greedy_vote_has_weights_fitted_on_validation(promoted: Quorum) -> None:
    result = vote(promoted, vote="greedy")
    note = MlflowClient().get_run(result["run_id"]).data.tags["mlflow.note.content"]
    assert "ensemble selection" in note
    assert "Weights: " in note


@pytest.mark.slow
def test_every_image_undecided(quorum: Quorum) -> None:
    for rate in (0.01, 0.02):  # so low that no image is certain
        assert quorum(*words("train", model="scratch-simple", epochs=1, batch_size=64, lr=rate)).status == 0
    assert quorum(*words("promote", top=2)).status == 0
    result = vote(quorum, abstain="probability:1.0")
    assert (predictions(result)["label"] == "").all()
    assert result["vote"] is None


def test_soft_votes_on_unlabeled_images_need_the_validation_images(promoted: Quorum, image_tree: Path) -> None:
    result = vote(promoted, vote="soft", images=image_tree)
    assert len(predictions(result)) == 40
    frame = predictions(vote(promoted, vote="soft", calibrate="none", images=image_tree))
    assert np.isfinite(frame["probability"]).all()


def test_nothing_is_fitted_on_images_that_may_have_been_trained_on(swept: Swept, small_digits: Path) -> None:
    """Divided in another way, the validation images are partly those of the training."""
    quorum, there = swept.quorum, {"dataset": "folder", "path": small_digits, "split_seed": 1}
    assert quorum(*words("promote", name="small-digits", top=2)).status == 0
    for settings in ({"vote": "soft"}, {"vote": "greedy"}, {"calibrate": "temperature"}):
        answer = quorum(*words("ensemble", **there, **settings))
        assert answer.status == 2
        assert "was trained on other images, or another split of them, so nothing can be fitted" in answer.err
        assert not (quorum.folder / "predictions.csv").exists()
    answer = quorum(*words("ensemble", **there), "--json")
    assert answer.status == 0
    assert "may have seen these test images" in answer.err
    artifacts = {item.path for item in MlflowClient().list_artifacts(json.loads(answer.out)["run_id"])}
    assert "rules.csv" not in artifacts
    assert "calibration.csv" in artifacts
