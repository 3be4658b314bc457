"""What a notebook sees."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import quorum as q
from quorum.config import TrialConfig
from tests.conftest import Quorum, make_image

SETTINGS = {"model": "scratch-simple", "batch_size": 64, "lr": 0.05, "epochs": 2}


def test_every_public_name_is_documented() -> None:
    for name in q.__all__:
        thing = getattr(q, name)
        doc = inspect.getdoc(thing)
        assert doc, name
        if inspect.isclass(thing) and not issubclass(thing, Exception):
            assert "Attributes:" in doc, name
    assert dir(q) == q.__all__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        q.trian  # noqa: B018


def test_help_shows_settings_with_their_defaults() -> None:
    parameters = inspect.signature(q.train).parameters
    assert set(TrialConfig.model_fields) - {"weights_digest"} <= set(parameters)
    assert parameters["epochs"].default == 30
    assert "learning rate" in (q.train.__doc__ or "")
    assert next(iter(inspect.signature(q.sweep).parameters)) == "study"
    assert "weights_digest" not in parameters


def test_a_training(trained: Quorum) -> None:
    run = q.train(**SETTINGS)
    assert run.reused
    assert list(run.history["epoch"]) == [1, 2]
    assert {"train/loss", "val/accuracy", "val/balanced_accuracy", "val/macro_f1", "lr"} <= set(run.history.columns)
    assert run.metrics["best/val_accuracy"] == run.history["val/accuracy"].max()
    assert run.metrics["last/val_accuracy"] == run.history["val/accuracy"].iloc[-1]
    assert run.settings["lr"] == "0.05"
    assert list(run.predictions["split"].unique()) == ["val", "test"]


def test_a_model_takes_images_in_every_form(trained: Quorum, tmp_path: Path) -> None:
    model = q.train(**SETTINGS).model()
    for i in range(2):
        make_image(tmp_path / "images" / f"{i}.png", i)
    files = sorted((tmp_path / "images").iterdir())
    expected = model.predict(files)
    assert list(expected["file"]) == [str(file) for file in files]
    assert np.allclose([sum(row) for row in expected["probabilities"]], 1)
    answers = expected[["label", "probability"]]
    with Image.open(files[0]) as first:
        arrays = [np.asarray(Image.open(file)) for file in files]
        forms = [[str(file) for file in files], [file.read_bytes() for file in files], tmp_path / "images", arrays]
        form: Any
        for form in forms:
            pd.testing.assert_frame_equal(model.predict(form)[["label", "probability"]], answers)
        assert model.predict(first)["label"][0] == answers["label"][0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "none was given"),
        ("absent.png", "absent.png: cannot be read"),
        (b"text", "image 0: not a readable image"),
        (np.zeros((8, 8)), r"an array is uint8 \[height, width, 3\], not float64 \(8, 8\)"),
    ],
)
def test_what_is_no_image(trained: Quorum, images: object, message: str) -> None:
    model = q.train(**SETTINGS).model()
    with pytest.raises(q.QuorumError, match=message):
        model.predict(images)  # type: ignore[arg-type]


def test_a_store_as_frames(trained: Quorum) -> None:
    trials = q.results("digits")
    assert len(trials) == 5
    assert {"lr", "epochs", "val_accuracy/mean", "val_accuracy/n", "last_val_accuracy/mean"} <= set(trials.columns)
    assert set(trials["epochs"]) == {1, 2, 3, 4}
    seeds = q.results("digits", level="seed")
    assert set(seeds["run_id"]) == set(trials["run_id"])
    epochs = q.results("digits", level="epoch")
    assert len(epochs) == 1 + 2 + 3 + 4 + 4
    assert epochs["val/accuracy"].between(0, 1).all()
    assert epochs.columns.is_unique
    assert (epochs["epoch_lr"] == epochs["lr"]).all()  # none of them is long enough for a drop
    assert q.results("cifar10").empty
    with pytest.raises(q.QuorumError, match=r"no level 'run'; choose from epoch, seed, trial"):
        q.results(level="run")  # type: ignore[arg-type]
    with pytest.raises(q.QuorumError, match='no dataset "it\'s"'):
        q.results("it's")


def test_promotion_and_vote(trained: Quorum) -> None:
    promoted = q.promote("digits")
    assert list(promoted.table["alias"]) == ["best-1", "best-2", "best-3"]
    assert promoted.changed
    assert not q.promote("digits").changed
    voted = q.ensemble("digits")
    assert voted.scores is not None
    assert voted.accuracy == voted.scores["test accuracy"].iloc[-1]
    assert (voted.predictions["label"] == voted.predictions["true"]).mean() == pytest.approx(voted.accuracy)
    vote = q.load("models:/quorum-digits-vote@current")
    answer = vote.predict([np.zeros((8, 8, 3), np.uint8)])
    assert list(answer.columns) == ["label", "probability", "probabilities", "agreement", "votes"]
    assert len(answer["votes"][0]) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modle": "alexnet"}, r"no setting 'modle' \(did you mean 'model'\?\)"),
        ({"lr": -1}, "lr: -1 must be greater than 0"),
        ({"device": "cdua"}, "device: 'cdua' is not available here"),
        ({"dataset": "digit"}, r"no dataset 'digit' \(did you mean 'digits'\?\)"),
    ],
)
def test_a_mistake_is_one_line(quorum: Quorum, settings: dict[str, object], message: str) -> None:
    with pytest.raises(q.QuorumError, match=message) as caught:
        q.train(**settings)
    assert "\n" not in str(caught.value)


def test_a_sweep_takes_seeds_and_not_a_seed(quorum: Quorum) -> None:
    with pytest.raises(q.QuorumError, match="seed: a sweep runs over several seeds; give seeds="):
        q.sweep("sweeps/digits/demo.yaml", seed=3)


STUDY = """\
dataset: digits
base: {model: scratch-simple, batch_size: 64, epochs: 1}
stages:
  - name: lr
    vary: {lr: [0.05, 0.01]}
"""


@pytest.mark.slow
def test_a_sweep(quorum: Quorum) -> None:
    Path("study.yaml").write_text(STUDY)
    sweep = q.sweep("study.yaml", seeds=(0, 1))
    table = sweep.stages["lr"].table
    assert list(table["lr"]) == [0.05, 0.01]
    assert list(table["n"]) == [2, 2]
    best = table.sort_values("mean").iloc[-1]
    assert sweep.stages["lr"].best == {"lr": best["lr"]}
    runs = sweep.stages["lr"].runs()
    assert np.mean([run.metrics["best/val_accuracy"] for run in runs]) == pytest.approx(best["mean"])
    assert sweep.epochs == {"written": 4, "trained": 4, "shared": 0, "reused": 0, "spared": 0}
    assert sweep.vote is None
    assert str(best["lr"]) in sweep.best
    assert "### Stage lr" in sweep.page
