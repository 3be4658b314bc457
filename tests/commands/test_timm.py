"""A network of timm's from its training to a vote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from quorum.tracking import schema
from quorum.versions import code_version
from tests.commands.faults import interrupted_training
from tests.conftest import Quorum, words

pytestmark = pytest.mark.slow

TINY: dict[str, Any] = {"model": "timm/test_resnet", "epochs": 2, "batch_size": 16, "input_size": 32, "lr": 0.05}


def small(images: Path, **changes: object) -> list[str]:
    return words("train", **{"dataset": "folder", "path": images, "resize": 32, **TINY, **changes})


def train(quorum: Quorum, images: Path, **changes: object) -> dict[str, Any]:
    answer = quorum(*small(images, **changes), "--json")
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    assert isinstance(result, dict)
    return result


def test_interrupted_it_goes_on_exactly(quorum: Quorum, small_digits: Path) -> None:
    assert interrupted_training(quorum, small(small_digits)).status == 130
    resumed = train(quorum, small_digits)
    whole = train(quorum, small_digits, reuse="false")
    assert whole["run_id"] != resumed["run_id"]
    for name in ("train/loss", "val/loss"):
        values = [[m.value for m in MlflowClient().get_metric_history(r["run_id"], name)] for r in (resumed, whole)]
        assert values[0] == values[1]
    assert train(quorum, small_digits)["reused"]
    run = MlflowClient().get_run(whole["run_id"])
    assert run.data.tags[schema.CODE_VERSION] == code_version("timm/test_resnet") != code_version("resnet18")
    requirements = mlflow.pyfunc.get_model_dependencies(f"models:/{run.data.tags[schema.MODEL_ID]}")
    assert "timm==" in Path(requirements).read_text()


def test_it_votes_with_a_network_of_ours(quorum: Quorum, small_digits: Path) -> None:
    train(quorum, small_digits)
    train(quorum, small_digits, lr=0.02)
    train(quorum, small_digits, model="scratch-simple")
    assert quorum(*words("promote", dataset="folder", path=small_digits)).status == 0
    answer = quorum(*words("ensemble", dataset="folder", path=small_digits), "--json")
    assert answer.status == 0, answer.err
    vote = json.loads(answer.out)
    assert sorted(member["model"] for member in vote["members"]) == ["scratch-simple", *["timm/test_resnet"] * 2]
    image = next(small_digits.rglob("*.png")).read_bytes()
    for alias in ("best-1", "best-2", "best-3"):
        predicted = mlflow.pyfunc.load_model(f"models:/quorum-small-digits@{alias}").predict(
            pd.DataFrame({"image": [image]})
        )
        assert predicted["label"][0] in "0123"
