"""Folds from end to end: sweeps, their votes, promotion and votes of what was trained in different folds."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from quorum.metric_names import BEST_VAL_ACCURACY
from quorum.promotion.gate import gate
from quorum.tracking import schema
from quorum.tracking.queries import get_training, predictions
from quorum.tracking.store import connect
from quorum.tracking.version_record import VersionRecord
from tests.commands.studies import means, runs, sweep, sweep_words
from tests.conftest import Quorum, words

pytestmark = pytest.mark.slow

STUDY = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 1, lr: 0.05, folds: 4}
stages:
  - name: lr
    vary: {lr: [0.02, 0.05]}
  - name: epochs
    vary: {epochs: [1, 2]}
vote: {members: [lr, epochs]}
"""


def files(run_id: str, split: str) -> set[str]:
    frame = predictions(connect(), run_id)
    return set(frame.loc[frame["split"] == split, "file"])


def test_a_sweep_validates_every_image_once_and_votes_fold_by_fold(quorum: Quorum, small_digits: Path) -> None:
    halves = STUDY.replace("folds: 4", "folds: 2")
    result = sweep(quorum, small_digits, halves, seeds="0,1")
    seeds = runs(schema.SEED_KIND)
    by_trial: dict[str, list[str]] = {}
    for run in seeds:
        by_trial.setdefault(run.data.tags[schema.TRIAL_FINGERPRINT], []).append(run.info.run_id)
    for run_ids in by_trial.values():
        parts = [files(run_id, "val") for run_id in run_ids]
        assert [len(part) for part in parts] == [32, 32]
        assert len(set.union(*parts)) == 64
        assert len(set.union(*(files(run_id, "test") for run_id in run_ids))) == 16
    assert len({run.data.tags[schema.DATA_DIGEST] for run in seeds}) == 1
    assert result["vote"]["val"]["vote"]["n"] == 2
    again = sweep(quorum, small_digits, halves, seeds="0,1", reuse="false", jobs=2)
    assert means(again) == means(result)
    assert again["vote"] == result["vote"]


def test_seeds_that_leave_folds_out_are_told(quorum: Quorum, small_digits: Path) -> None:
    (quorum.folder / "study.yaml").write_text(STUDY)
    answer = quorum(*sweep_words(small_digits, seeds="0,1,4"))
    assert answer.status == 0
    assert "folds=4: these seeds validate on 3 of 8 parts; seeds 0 to 3 are a whole" in answer.err
    assert quorum(*words("promote", dataset="folder", path=small_digits, top=1, confirm=2, threads=1)).status == 0
    fresh = [run for run in runs(schema.SEED_KIND) if run.data.params["seed"] in ("5", "6")]
    assert len(fresh) == 2
    assert all(len(files(run.info.run_id, "val")) == 16 for run in fresh)


def train(quorum: Quorum, images: Path, **settings: object) -> str:
    given = {"dataset": "folder", "path": images, "model": "scratch-simple", "resize": 32, "batch_size": 16}
    answer = quorum(*words("train", **{**given, "epochs": 1, "lr": 0.05, "threads": 1, **settings}), "--json")
    assert answer.status == 0, answer.err
    return str(json.loads(answer.out)["run_id"])


def test_what_was_trained_in_other_folds_is_fitted_on_nothing(quorum: Quorum, small_digits: Path) -> None:
    first, other, same, plain = (
        train(quorum, small_digits, **settings)
        for settings in ({"folds": 4}, {"folds": 4, "seed": 1}, {"folds": 4, "lr": 0.02}, {})
    )

    def vote(*run_ids: str, how: str) -> list[str]:
        models = ",".join(f"runs:/{run_id}/model" for run_id in run_ids)
        return words("ensemble", dataset="folder", path=small_digits, models=models, vote=how)

    for members in ((first, other), (first, plain)):
        answer = quorum(*vote(*members, how="soft"))
        assert answer.status == 2
        assert "were trained in different folds, so no validation images are new to all of them" in answer.err
        answer = quorum(*vote(*members, how="majority"))
        assert answer.status == 0, answer.err
        assert "voting rules are not compared" in answer.err
        assert "warning" not in answer.err  # none has seen the test images
        assert set(pd.read_csv(quorum.folder / "predictions.csv")["file"]) == files(first, "test")
    answer = quorum(*vote(first, same, how="soft"))
    assert answer.status == 0, answer.err
    assert "not compared" not in answer.err


def test_the_gate_compares_no_images_of_which_one_was_trained_on(quorum: Quorum, small_digits: Path) -> None:
    first, other, same, later = (
        train(quorum, small_digits, folds=4, **settings)
        for settings in ({}, {"seed": 1}, {"lr": 0.02}, {"seed": 4, "lr": 0.02})
    )
    store = connect()

    def version(run_id: str) -> VersionRecord:
        digest = get_training(store, run_id).data_digest
        return VersionRecord(name="m", version="1", model_id="", run_id=run_id, trial_run_id=run_id, data_digest=digest)

    def decided(run_id: str) -> tuple[str, int]:
        found = gate(store, version(first), version(run_id), BEST_VAL_ACCURACY)
        return found.by, found.n

    assert decided(same) == ("image", 16)
    assert decided(other) == ("nothing", 0)
    assert decided(later) == ("image", len(files(first, "val") & files(later, "val")))
    assert MlflowClient().get_run(first).data.tags[schema.DATA_DIGEST] == version(later).data_digest
