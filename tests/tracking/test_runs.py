"""Runs end with the status that is true of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from quorum.engine.history import EpochRecord
from quorum.errors import DivergedError
from quorum.tracking import schema
from quorum.tracking.queries import get_record, search, unfinished
from quorum.tracking.records import Record, TrainingRecord, TrialRecord
from quorum.tracking.run_log import close_run
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum


@pytest.fixture
def store(quorum: Quorum) -> Iterator[TrackingStore]:
    yield connect()


def only(store: TrackingStore) -> Run:
    runs = store.client.search_runs([store.experiment_id])
    assert len(runs) == 1
    return runs[0]


def test_finished(store: TrackingStore) -> None:
    with begin_run(store, "a run", Record(kind="train")) as log:
        assert only(store).info.status == "RUNNING"
        log.metrics({"a": 1.0, "b": None})
    run = only(store)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a run"
    assert run.data.metrics == {"a": 1.0}


@pytest.mark.parametrize(
    ("raised", "status", "reason"),
    [
        (DivergedError("the loss is nan"), "FAILED", "the loss is nan"),
        (RuntimeError("out of disk"), "FAILED", "RuntimeError: out of disk"),
        (SystemExit(3), "FAILED", "SystemExit: 3"),
        (KeyboardInterrupt(), "KILLED", "stopped before it was finished"),
    ],
)
def test_what_is_raised_is_the_status_and_raised_again(
    store: TrackingStore, raised: BaseException, status: str, reason: str
) -> None:
    with pytest.raises(type(raised)), begin_run(store, "a run", Record(kind="train")):
        raise raised
    run = only(store)
    assert run.info.status == status
    assert run.data.tags[schema.NOTE].startswith(reason)
    assert run.data.tags[schema.REASON].startswith(reason)


def test_a_run_that_goes_on_forgets_why_it_stopped(store: TrackingStore) -> None:
    with pytest.raises(KeyboardInterrupt), begin_run(store, "a run", Record(kind="train", key="k")):
        raise KeyboardInterrupt
    previous = unfinished(store, Record, "train", "k")
    assert previous is not None
    with begin_run(store, "a run", Record(kind="train"), previous=previous):
        assert only(store).info.status == "RUNNING"
        assert not only(store).data.tags[schema.NOTE]
    run = only(store)
    assert (run.info.status, run.info.run_id) == ("FINISHED", previous.run_id)
    assert schema.REASON not in run.data.tags
    assert unfinished(store, Record, "train", "k") is None


def test_a_run_that_goes_on_has_not_diverged(store: TrackingStore) -> None:
    with pytest.raises(KeyboardInterrupt), begin_run(store, "a run", TrainingRecord(kind="train", key="k")) as log:
        log.set(diverged="the loss is nan")
        raise KeyboardInterrupt
    previous = unfinished(store, TrainingRecord, "train", "k")
    assert previous is not None
    with begin_run(store, "a run", TrainingRecord(kind="train"), previous=previous):
        pass
    assert schema.DIVERGED not in only(store).data.tags


def test_a_run_whose_own_tags_are_refused_is_ended(store: TrackingStore) -> None:
    refused = dataclasses.replace(store, own_tags={"a//b": "1"})
    with pytest.raises(MlflowException, match="a//b"):
        begin_run(refused, "a run", Record(kind="train"))
    assert only(store).info.status == "FAILED"
    assert "a//b" in only(store).data.tags[schema.REASON]


def test_the_run_that_mlflow_made_is_taken_over_once(quorum: Quorum) -> None:
    client = MlflowClient()
    made = client.create_run("1")
    client.log_param(made.info.run_id, "lr", "5e-2")
    store = connect(made.info.run_id)
    with begin_run(store, "outer", Record(kind="sweep")) as log:
        log.params({"lr": 0.05, "epochs": 2})  # the text that `mlflow run` logged stays
        with begin_run(log.store, "inner", Record(kind="trial"), parent=log.run_id):
            pass
    outer = client.get_run(made.info.run_id)
    assert outer.data.params == {"lr": "5e-2", "epochs": "2"}
    assert outer.info.run_name == "outer"
    inner = next(search(store, Record, kind="trial"))
    assert client.get_run(inner.run_id).data.tags[schema.PARENT] == made.info.run_id


def test_several_runs_are_open_at_once(store: TrackingStore) -> None:
    outer = begin_run(store, "outer", TrialRecord(kind="trial", key="k", seed_runs={"0": "x"}))
    inner = [begin_run(outer.store, f"seed {seed}", Record(kind="seed"), parent=outer.run_id) for seed in range(3)]
    assert {run.status for run in search(store, Record, kind="seed")} == {"RUNNING"}
    for log, error in zip(inner, (None, KeyboardInterrupt(), DivergedError("the loss is nan")), strict=True):
        close_run(log, error)
    close_run(outer, RuntimeError("out of disk"))
    runs = {run.name: run for run in search(store, TrialRecord)}
    assert {name: run.status for name, run in runs.items()} == {
        "outer": "FAILED",
        "seed 0": "FINISHED",
        "seed 1": "KILLED",
        "seed 2": "FAILED",
    }
    assert runs["outer"].reason == "RuntimeError: out of disk"
    assert runs["outer"].seed_runs == {"0": "x"}
    assert runs["seed 2"].reason == "the loss is nan"


def test_metrics_and_fields_in_one_call(store: TrackingStore) -> None:
    with begin_run(store, "a run", TrialRecord(kind="trial")) as log:
        log.metrics({"a": 1.0, "b": None}, step=3, seed_runs={"0": "x"}, model_id="m")
        log.unset("model_id")
    run = only(store)
    assert run.data.metrics == {"a": 1.0}
    assert TrialRecord.of(run).seed_runs == {"0": "x"}
    assert schema.MODEL_ID not in run.data.tags
    assert [m.step for m in store.client.get_metric_history(run.info.run_id, "a")] == [3]


def test_parameters_that_a_run_has_are_left_alone(store: TrackingStore) -> None:
    with begin_run(store, "a run", Record(kind="train", key="k")) as log:
        log.params({"lr": 0.05, **{f"p{i}": i for i in range(120)}})
        log.params({"lr": 0.1, "epochs": 2})
    with begin_run(store, "a run", Record(kind="train"), previous=Record.of(only(store))) as log:
        log.params({"lr": 0.2, "gamma": 0.5})
    params = only(store).data.params
    assert (params["lr"], params["epochs"], params["gamma"], len(params)) == ("0.05", "2", "0.5", 123)


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, {"lr": 0.1, "val/accuracy": epoch / 1000, "epoch_seconds": 2.0, "val/anything": 0.0})


def steps(store: TrackingStore) -> list[int]:
    history = store.client.get_metric_history(only(store).info.run_id, "val/accuracy")
    assert [m.value for m in history] == [m.step / 1000 for m in history]
    return [m.step for m in history]


def test_many_epochs_in_one_go(store: TrackingStore) -> None:
    with begin_run(store, "a run", Record(kind="train")) as log:
        log.epochs([record(epoch) for epoch in range(1, 301)])
        assert steps(store) == list(range(1, 301))
        log.epochs([record(epoch) for epoch in range(290, 311)])
    assert steps(store) == list(range(1, 311))


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), DivergedError("the loss is nan")])
def test_epochs_that_wait_to_be_written_are_written_at_the_end(
    store: TrackingStore, error: BaseException | None
) -> None:
    log = begin_run(store, "a run", Record(kind="train"))
    log.epoch(record(1))
    log._cost = 3600.0  # what writing is supposed to have taken
    log.epoch(record(2))
    log.epoch(record(3))
    assert steps(store) == [1]
    close_run(log, error)
    assert steps(store) == [1, 2, 3]


def test_epochs_that_wait_are_written_with_the_next_metrics(store: TrackingStore) -> None:
    with begin_run(store, "a run", Record(kind="train")) as log:
        log.epoch(record(1))
        log._cost = 3600.0
        log.epochs([record(2), record(3)])
        log.set(data_digest="d")
        assert steps(store) == [1]
        log.metrics({"best/epoch": 3})
        assert steps(store) == [1, 2, 3]
    assert steps(store) == [1, 2, 3]


def test_epochs_that_do_not_fit_with_the_last_metrics_are_written_before_them(
    store: TrackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last metrics a killed training is not gone on with, so nobody would write its epochs."""
    log = begin_run(store, "a run", Record(kind="train"))
    log.epoch(record(1))
    log._cost = 3600.0
    log.epochs([record(epoch) for epoch in range(2, 302)])
    assert steps(store) == [1]
    written: list[list[str]] = []
    plain = MlflowClient.log_batch

    def seen(client: MlflowClient, run_id: str, metrics: Sequence[Metric] = (), **kwargs: Any) -> None:
        written.append([metric.key for metric in metrics])
        plain(client, run_id, metrics, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", seen)
    log.metrics({"best/epoch": 300})
    assert written[-1] == ["best/epoch"]
    assert steps(store) == list(range(1, 302))


def test_an_epoch_is_logged_once(store: TrackingStore) -> None:
    with begin_run(store, "a run", Record(kind="train", key="k")) as log:
        log.epoch(record(1))
        log.epoch(record(2))
    with begin_run(store, "a run", Record(kind="train"), previous=Record.of(only(store))) as log:
        log.epoch(record(2))
        log.epoch(record(3))
    assert steps(store) == [1, 2, 3]


def test_the_data_that_went_in_is_logged(store: TrackingStore) -> None:
    with begin_run(store, "a run", Record(kind="train")) as log:
        log.dataset("digits", "0123456789abcdef", "sklearn.datasets.load_digits", {"train": 3}, "training")
    logged = only(store).inputs.dataset_inputs[0]
    assert (logged.dataset.name, logged.dataset.digest) == ("digits", "0123456789abcdef")
    assert logged.tags[0].value == "training"


@pytest.mark.parametrize(("begun_with", "calls"), [("sklearn", 0), ("elsewhere", 1), ("", 1)])
def test_where_the_data_was_read_is_written_once(
    store: TrackingStore, monkeypatch: pytest.MonkeyPatch, begun_with: str, calls: int
) -> None:
    written: list[str] = []
    plain = MlflowClient.log_batch

    def counted(client: MlflowClient, run_id: str, *args: Any, **kwargs: Any) -> None:
        written.append(run_id)
        plain(client, run_id, *args, **kwargs)

    with begin_run(store, "a run", Record(kind="train", data_source=begun_with)) as log:
        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "log_batch", counted)
            log.dataset("digits", "0123456789abcdef", "sklearn", {"train": 3}, "training")
        assert len(written) == calls
    assert only(store).data.tags["quorum.data_source"] == "sklearn"


def test_a_run_that_goes_on_logs_each_metric_once(store: TrackingStore) -> None:
    with begin_run(store, "a run", Record(kind="train", key="k")) as log:
        log.metrics({"score": 0.5}, step=1)
    previous = get_record(store, Record, log.run_id)
    with begin_run(store, "a run", Record(kind="train", key="k"), previous=previous) as again:
        again.metrics({"score": 0.5, "another": 1.0}, step=1)
        again.metrics({"score": 0.7}, step=2)
    history = store.client.get_metric_history(log.run_id, "score")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.7)]
    assert len(store.client.get_metric_history(log.run_id, "another")) == 1


def test_a_field_that_is_gone_can_be_unset(store: TrackingStore) -> None:
    with begin_run(store, "a run", TrialRecord(kind="trial", model_id="m")) as log:
        log.unset("model_id", "best_seed_run")
        log.unset("model_id")
    assert get_record(store, TrialRecord, log.run_id).model_id == ""
