"""The views of the MLflow UI that a sweep saves, and the addresses that commands print."""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from quorum.tracking.records import SweepRecord, TrainingRecord, TrialRecord
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from quorum.tracking.views import artifact_page, last_views, save_views, ui_command
from tests.conftest import Quorum

SWEEP = SweepRecord(kind="sweep", dataset="digits")


@pytest.fixture
def store(quorum: Quorum) -> TrackingStore:
    return connect()


def view(link: str) -> dict[str, Any]:
    """What the page shows that a link opens: the saved view as MLflow's page unpacks it."""
    address, _, query = link.partition("?")
    key = query.partition("viewStateShareKey=")[2].partition("&")[0]
    experiment = MlflowClient().get_experiment(address.split("/")[-2])
    saved = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(saved["state"].removeprefix("deflate;"))))
    return {**state, "name": saved["name"], "experiment": experiment.experiment_id}


def found(state: dict[str, Any]) -> list[str]:
    runs = MlflowClient().search_runs([state["experiment"]], state["searchFilter"])
    return sorted(run.info.run_name for run in runs)


def test_each_view_shows_the_sweeps_own_runs_of_one_kind(store: TrackingStore) -> None:
    for _ in range(2):  # the second sweep's are shown
        with begin_run(store, "the sweep", SWEEP) as log:
            sweep: dict[str, Any] = {"dataset": "digits", "sweep_run_id": log.run_id}
            trial = begin_run(store, "a trial", TrialRecord(kind="trial", **sweep), parent=log.run_id)
            begin_run(store, "a seed", TrainingRecord(kind="seed", **sweep), parent=trial.run_id)
            links = save_views(log, "demo", [["lr"], ["model", "augment.p"]])
    trials, curves = view(links["trials"]), view(links["curves"])
    assert (found(trials), found(curves)) == (["a trial"], ["a seed"])
    assert log.run_id in trials["searchFilter"]
    assert (trials["name"], curves["name"]) == ("digits/demo: trials", "digits/demo: curves, mean over the seeds")
    assert trials["selectedColumns"] == [
        "tags.`quorum.stage`",
        *(f"params.`{name}`" for name in ("lr", "model", "augment")),
        *(f"metrics.`{name}`" for name in ("val_accuracy/mean", "val_accuracy/std")),
        *(f"metrics.`{name}`" for name in ("test_accuracy/mean", "test_accuracy/std")),
    ]
    assert trials["orderByKey"] == "metrics.`val_accuracy/mean`"
    assert [chart["metricKey"] for chart in curves["compareRunCharts"]][:2] == ["val/accuracy", "val/loss"]
    assert [key["groupByData"] for key in curves["groupBy"]["groupByKeys"]] == ["quorum.trial"]
    assert links["curves"].endswith("&compareRunsMode=CHART")
    assert links["trials"].startswith(f"http://127.0.0.1:5000/#/experiments/{trials['experiment']}/runs?workflowType=")


def test_trials_of_one_name_in_two_stages_are_kept_apart(store: TrackingStore) -> None:
    with begin_run(store, "the sweep", SWEEP) as log:
        links = save_views(log, "demo", [["lr"], ["lr"]])
    keys = view(links["curves"])["groupBy"]["groupByKeys"]
    assert [key["groupByData"] for key in keys] == ["quorum.stage", "quorum.trial"]


def test_another_process_saves_the_same_view_at_the_same_time(
    store: TrackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find no such tag; of two that then make it, MLflow refuses the second."""
    plain, seen = MlflowClient.set_experiment_tag, set[str]()

    def beaten(client: MlflowClient, experiment_id: str, key: str, value: str) -> None:
        if key.startswith("mlflow.sharedViewState.") and key not in seen:
            seen.add(key)
            plain(client, experiment_id, key, "the other's")
            raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed: experiment_tags.key")
        plain(client, experiment_id, key, value)

    with begin_run(store, "the sweep", SWEEP) as log:
        monkeypatch.setattr(MlflowClient, "set_experiment_tag", beaten)
        links = save_views(log, "demo", [["lr"]])
    assert log.run_id in view(links["trials"])["searchFilter"]


def test_the_views_of_the_last_sweep(store: TrackingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = store.experiment_of("digits")
    assert last_views(store, experiment) == {}
    for second, study in enumerate(("demo", "a study/of my own", "demo")):
        monkeypatch.setattr("time.time", lambda second=second: 1000.0 + second)
        with begin_run(store, "the sweep", SWEEP) as log:
            links = save_views(log, study, [["lr"]])
        assert last_views(store, experiment) == links
        assert view(links["trials"])["name"] == f"digits/{study}: trials"


def test_where_the_ui_is(store: TrackingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ui_command(store) == "mlflow ui"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ui_command(store) == f"mlflow ui --backend-store-uri {store.uri}"
    with begin_run(store, "the vote", SWEEP) as log:
        pass
    served = RunLog(dataclasses.replace(store, uri="http://ann:secret@host:8080/"), log.record)
    assert ui_command(served.store) == ""
    place = (
        f"experiments/{log.record.experiment_id}/runs/{log.run_id}/artifacts/report.html?workflowType=machine_learning"
    )
    assert artifact_page(served, "report.html") == f"http://ann:***@host:8080/#/{place}"
