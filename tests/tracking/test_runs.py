"""Runs end with the status that is true of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from quorum.engine.history import EpochRecord
from quorum.errors import DivergedError
from quorum.tracking import tags
from quorum.tracking.queries import search, unfinished
from quorum.tracking.runs import open_run
from quorum.tracking.store import Store, connect
from tests.conftest import Quorum


@pytest.fixture
def store(quorum: Quorum) -> Iterator[Store]:
    yield connect(None, "quorum")


def only(store: Store) -> Run:
    runs = store.client.search_runs([store.experiment_id])
    assert len(runs) == 1
    return runs[0]


def test_finished(store: Store) -> None:
    with open_run(store, "train", "a run") as log:
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
    store: Store, raised: BaseException, status: str, reason: str
) -> None:
    with pytest.raises(type(raised)), open_run(store, "train", "a run"):
        raise raised
    run = only(store)
    assert run.info.status == status
    assert run.data.tags[tags.NOTE].startswith(reason)
    assert run.data.tags[tags.REASON].startswith(reason)


def test_a_run_that_goes_on_forgets_why_it_stopped(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), open_run(store, "train", "a run", {tags.KEY: "k"}):
        raise KeyboardInterrupt
    previous = unfinished(store, "train", "k")
    assert previous is not None
    with open_run(store, "train", "a run", previous=previous):
        assert only(store).info.status == "RUNNING"
        assert not only(store).data.tags[tags.NOTE]
    run = only(store)
    assert (run.info.status, run.info.run_id) == ("FINISHED", previous.info.run_id)
    assert tags.REASON not in run.data.tags
    assert unfinished(store, "train", "k") is None


def test_the_run_that_mlflow_made_is_taken_over_once(quorum: Quorum) -> None:
    client = MlflowClient()
    made = client.create_run("1")
    client.log_param(made.info.run_id, "lr", "5e-2")
    store = connect(made.info.run_id)
    with open_run(store, "sweep", "outer") as log:
        log.params({"lr": 0.05, "epochs": 2})  # the text that `mlflow run` logged stays
        with open_run(log.store, "trial", "inner", parent=log.run_id):
            pass
    outer = client.get_run(made.info.run_id)
    assert outer.data.params == {"lr": "5e-2", "epochs": "2"}
    assert outer.info.run_name == "outer"
    inner = next(search(store, {tags.KIND: "trial"}))
    assert inner.data.tags[tags.PARENT] == made.info.run_id


def test_an_epoch_is_logged_once(store: Store) -> None:
    def record(epoch: int) -> EpochRecord:
        return EpochRecord(epoch, 0.1, 1.0, 0.5, 1.0, 0.5, 2.0, 100.0)

    with open_run(store, "train", "a run", {tags.KEY: "k"}) as log:
        log.epoch(record(1))
        log.epoch(record(2))
    with open_run(store, "train", "a run", previous=only(store)) as log:
        log.epoch(record(2))
        log.epoch(record(3))
    steps = [m.step for m in store.client.get_metric_history(only(store).info.run_id, "val/accuracy")]
    assert steps == [1, 2, 3]


def test_the_data_that_went_in_is_logged(store: Store) -> None:
    with open_run(store, "train", "a run") as log:
        log.dataset("digits", "0123456789abcdef", "sklearn.datasets.load_digits", {"train": 3}, "training")
    logged = only(store).inputs.dataset_inputs[0]
    assert (logged.dataset.name, logged.dataset.digest) == ("digits", "0123456789abcdef")
    assert logged.tags[0].value == "training"
