"""A store that is away for a while is waited for, and nothing is written twice."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import MlflowClient

from quorum.engine.history import EpochRecord
from quorum.tracking import patience, schema
from quorum.tracking.patience import REPEATABLE, PatientClient, passing, refused
from quorum.tracking.records import Record
from quorum.tracking.run_log import AWAY_SECONDS
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum

AWAY = MlflowException("connection refused", TEMPORARILY_UNAVAILABLE)


@pytest.fixture
def store(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackingStore]:
    monkeypatch.setattr(patience, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(patience, "_LONGEST_WAIT", 0.02)
    yield connect()


@contextlib.contextmanager
def away(name: str, times: int, *, done: bool) -> Iterator[list[int]]:
    """MLflow's client fails a call some times, after it was done or without doing it."""
    tried: list[int] = []
    call: Callable[..., Any] = getattr(MlflowClient, name)

    def failing(*args: Any, **kwargs: Any) -> Any:
        tried.append(1)
        if len(tried) > times:
            return call(*args, **kwargs)
        if done:
            call(*args, **kwargs)
        raise AWAY

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MlflowClient, name, failing)
        yield tried


@pytest.mark.parametrize("done", [False, True])
def test_metrics_are_there_once(store: TrackingStore, capfd: pytest.CaptureFixture[str], done: bool) -> None:
    with begin_run(store, "a run", Record(kind="train")) as log, away("log_batch", 3, done=done) as tried:
        log.metrics({"lr": 0.1}, step=2)
    assert len(tried) == 4
    assert [metric.step for metric in store.client.get_metric_history(log.run_id, "lr")] == [2]
    told = capfd.readouterr().err.splitlines()
    assert told[0] == "the tracking store does not answer (connection refused); it is asked again for 15 minutes"
    assert told[1].startswith("the tracking store answers again, after ")
    assert len(told) == 2


@pytest.mark.parametrize("done", [False, True])
def test_a_run_is_made_once(store: TrackingStore, done: bool) -> None:
    with away("create_run", 2, done=done), begin_run(store, "a run", Record(kind="train", key="abc")) as log:
        pass
    # Tried twice in vain: the second try, too, finds what the first has done.
    assert [run.info.run_id for run in MlflowClient().search_runs([store.experiment_id])] == [log.run_id]


def test_it_is_not_waited_for_longer_than_the_limit(store: TrackingStore) -> None:
    store.client.limit = 0.05
    with away("search_runs", 10_000, done=False) as tried, pytest.raises(MlflowException, match="connection refused"):
        store.client.search_runs(["0"])
    assert 2 <= len(tried) < 50


def test_epochs_wait_while_the_store_is_away_and_training_goes_on(
    store: TrackingStore, capfd: pytest.CaptureFixture[str]
) -> None:
    with begin_run(store, "a run", Record(kind="train")) as log:
        with away("log_batch", 10_000, done=True) as tried:
            for epoch in (1, 2, 3):
                log.epoch(EpochRecord(epoch, {"lr": 0.1, "epoch_seconds": 1.0}))
        assert len(tried) == 1, f"the next try comes after {AWAY_SECONDS} s"
        assert "epochs wait, and training goes on" in capfd.readouterr().err
    assert [metric.step for metric in store.client.get_metric_history(log.run_id, "lr")] == [1, 2, 3]


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), AWAY])
def test_who_stops_while_the_store_is_away_does_not_wait(store: TrackingStore, raised: BaseException) -> None:
    with (
        away("log_batch", 10_000, done=False) as tried,
        pytest.raises(MlflowException, match="connection refused"),
        begin_run(store, "a run", Record(kind="train")),
    ):
        raise raised
    assert len(tried) == 1


def test_what_does_not_pass_is_not_waited_for() -> None:
    def says(text: str) -> MlflowException:
        return MlflowException(text, TEMPORARILY_UNAVAILABLE)

    def sqlite(text: str) -> MlflowException:
        error = MlflowException(text, TEMPORARILY_UNAVAILABLE)
        error.__cause__ = sqlite3.OperationalError(text)
        return error

    assert passing(says("server closed the connection unexpectedly"))
    assert passing(MlflowException("API request to http://h failed with exception refused"))
    assert not passing(says('database "runs" does not exist'))
    assert not passing(sqlite("attempt to write a readonly database"))
    assert passing(says("the server refused after it was successfully found"))

    assert passing(sqlite("database is locked"))
    assert not passing(sqlite("disk I/O error"))
    assert not passing(MlflowException("no such run"))
    assert not passing(ValueError("connection refused"))


def answered(status: int) -> requests.HTTPError:
    """What MLflow raises where a server answers with a status."""
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Client Error for url: http://h/a", response=response)


@pytest.mark.parametrize("status", [401, 403, 413])
def test_a_server_that_refuses_a_file_is_not_away(
    store: TrackingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    tried: list[int] = []
    store.client.limit = 0.1

    def refuse(*_args: object) -> None:
        tried.append(1)
        raise answered(status)

    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", refuse)
    with pytest.raises(requests.HTTPError), begin_run(store, "a run", Record(kind="train")) as log:
        log.artifacts(tmp_path)
    assert len(tried) == 1
    run = store.client.get_run(log.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags[schema.REASON] == f"HTTPError: {status} Client Error for url: http://h/a"


def test_a_server_that_answers_later_is_away() -> None:
    for status in (408, 429, 500, 503):
        assert passing(answered(status))
        assert not refused(answered(status))
    assert refused(answered(413)) == "413 Client Error for url: http://h/a"
    assert not refused(requests.ConnectionError("refused"))


def test_every_call_that_may_be_repeated_exists() -> None:
    assert [name for name in REPEATABLE if not hasattr(MlflowClient, name)] == []
    assert len({getattr(PatientClient, name) for name in REPEATABLE}) == len(REPEATABLE)
