"""Runs are found by their tags, page by page."""

from __future__ import annotations

import dataclasses
import gc
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from quorum.engine.history import EpochRecord
from quorum.errors import RegistryError
from quorum.tracking import patience, schema
from quorum.tracking.queries import artifact, finished_training, finished_trainings, history_frame, search
from quorum.tracking.records import Record, TrainingRecord, TrialRecord
from quorum.tracking.run_log import RunLog, close_run
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum


@pytest.fixture
def store(quorum: Quorum) -> TrackingStore:
    return connect()


@pytest.mark.slow
def test_all_pages_newest_first(store: TrackingStore) -> None:
    made = [store.client.create_run(store.experiment_id, i, {schema.KEY: "k"}).info.run_id for i in range(1, 301)]
    store.client.create_run(store.experiment_id, 1000, {schema.KEY: "another"})
    assert [run.run_id for run in search(store, Record, key="k")] == made[::-1]
    assert gc.isenabled()


def test_a_history_has_the_columns_that_its_epochs_have(store: TrackingStore) -> None:
    values = [{"val/anything": 0.5, "train/loss": 1.0, "lr": 0.1}, {"val/anything": 0.25, "train/loss": 0.5, "lr": 0.1}]
    with begin_run(store, "a run", Record(kind="train")) as log:
        log.epochs([EpochRecord(epoch, measured) for epoch, measured in enumerate(values, start=1)])
        log.metrics({"best/val_anything": 0.5, "test/anything": 0.3}, step=2)
    frame = history_frame(store, log.run_id)
    assert frame.sort_index(axis=1).to_dict("records") == [
        {"epoch": epoch, **measured} for epoch, measured in enumerate(values, start=1)
    ]
    assert list(history_frame(store, log.run_id, ["lr"])) == ["epoch", "lr"]


def test_a_condition_on_a_metric_leaves_out_the_runs_that_have_none(store: TrackingStore) -> None:
    for value in (None, 0.2, 0.7):
        with begin_run(store, str(value), Record(kind="trial", key="k")) as log:
            log.metrics({"score": value})
    found = search(store, Record, key="k", having=["metrics.score >= 0"], order_by="metrics.score DESC")
    assert [run.metrics["score"] for run in found] == [0.7, 0.2]


def test_the_finished_trainings_of_a_configuration(store: TrackingStore) -> None:
    configuration: dict[str, Any] = {
        "trial_fingerprint": "t",
        "data_digest": "d",
        "code_version": "c",
        "numerics": "cpu x",
    }
    newest = {}
    for seed, finished in ((0, True), (0, True), (1, True), (2, False)):
        training = TrainingRecord(**configuration, kind="seed", fingerprint=f"f{seed}", seed=seed)
        log = begin_run(store, f"seed {seed}", training)
        if finished:
            close_run(log, None)
            newest[seed] = log.run_id
    with begin_run(store, "the trial", TrialRecord(**configuration, kind="trial")):
        pass
    wanted = TrainingRecord(**configuration, fingerprint="f1")
    found = finished_trainings(store, wanted)
    assert {seed: run.run_id for seed, run in found.items()} == newest
    one = finished_training(store, wanted)
    assert one is not None
    assert one.run_id == newest[1]
    assert finished_trainings(store, dataclasses.replace(wanted, data_digest="other")) == {}
    elsewhere = dataclasses.replace(wanted, numerics="cpu y")
    assert finished_trainings(store, elsewhere) == {}
    assert finished_training(store, elsewhere) is None
    assert finished_trainings(store, elsewhere, "any") == found
    with begin_run(store, "seed 1", dataclasses.replace(elsewhere, kind="seed", seed=1)) as log:
        pass
    with begin_run(store, "seed 1", dataclasses.replace(wanted, kind="seed", seed=1)):
        pass
    own = finished_trainings(store, elsewhere, "any")[1]  # one of the same class comes first, though it is older
    assert own.run_id == log.run_id


def test_an_artifact(store: TrackingStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("text")
    with begin_run(store, "a run", Record(kind="train")) as log:
        log.artifacts(tmp_path / "out", "sub")
    file = artifact(store, log.run_id, "sub/a.txt")
    assert file is not None
    assert file.read_text() == "text"
    assert artifact(store, log.run_id, "sub/b.txt") is None
    assert artifact(store, "0" * 32, "sub/a.txt") is None


@pytest.fixture
def log(store: TrackingStore, tmp_path: Path) -> RunLog:
    """A run with an artifact a.txt."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("text")
    with begin_run(store, "a run", Record(kind="train")) as log:
        log.artifacts(tmp_path / "out")
    return log


AWAY = "API request to http://h failed with exception too many 503 error responses"


def fail_downloads(monkeypatch: pytest.MonkeyPatch, times: int, reason: str) -> list[int]:
    """The artifacts' server answers so often with an error. Returns a list as long as it has been asked."""
    tried: list[int] = []
    download = LocalArtifactRepository.download_artifacts

    def failing(self: LocalArtifactRepository, artifact_path: str, dst_path: str | None = None) -> str:
        tried.append(1)
        if len(tried) <= times:
            raise MlflowException(reason)
        return str(download(self, artifact_path, dst_path))

    monkeypatch.setattr(patience, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(LocalArtifactRepository, "download_artifacts", failing)
    return tried


def test_an_artifact_is_waited_for_where_its_server_is_away(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = fail_downloads(monkeypatch, 2, AWAY)
    file = artifact(log.store, log.run_id, "a.txt")
    assert file is not None
    assert file.read_text() == "text"
    assert len(tried) == 3


def test_a_server_that_stays_away_is_no_missing_artifact(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_downloads(monkeypatch, 10_000, AWAY)
    log.store.client.limit = 0.0
    with pytest.raises(MlflowException, match="too many 503"):
        artifact(log.store, log.run_id, "a.txt")


def test_a_missing_artifact_is_not_waited_for_whatever_its_server_says(
    log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = fail_downloads(monkeypatch, 10_000, AWAY)
    assert artifact(log.store, log.run_id, "b.txt") is None
    assert artifact(log.store, log.run_id, "sub/a.txt") is None
    assert len(tried) == 2


def test_an_artifact_that_may_not_be_read_is_told(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_downloads(monkeypatch, 10_000, "403 Client Error")
    with pytest.raises(RegistryError, match=rf"run {log.run_id}: a.txt cannot be read \(403 Client Error\)"):
        artifact(log.store, log.run_id, "a.txt")
