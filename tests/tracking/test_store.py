"""A SQLite store is made once, written to ahead where that is safe, and whole in its file afterwards."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine

from quorum import tuning
from quorum.errors import RegistryError
from quorum.tracking.patience import lost
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import close, connect

BEGIN = """
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
with begin_run(connect(), "a run", Record(kind="train")) as log:
    log.params({"lr": 0.1})
"""


def mode(file: Path) -> str:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return str(database.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a store will be."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mlflow.db"


@pytest.mark.slow
def test_several_processes_make_a_store_at_once(file: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", BEGIN], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    runs = MlflowClient().search_runs(["0"])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2


def test_the_file_alone_is_the_store_once_it_is_settled(
    file: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_file_system", lambda _: "ext4")
    shutil.copy(empty_store, file)
    store = connect()
    with begin_run(store, "a run", Record(kind="train")):
        pass
    assert mode(file) == "wal"
    close(store)
    shutil.copy(file, tmp_path / "copy.db")
    [run] = MlflowClient(f"sqlite:///{tmp_path}/copy.db").search_runs(["0"])
    assert run.info.status == "FINISHED"


def test_nothing_is_written_ahead_on_a_network_folder(
    file: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_file_system", lambda _: "nfs4")
    shutil.copy(empty_store, file)
    close(connect())
    assert mode(file) == "delete"


@pytest.mark.slow
def test_a_folder_that_was_moved_is_refused_since_files_would_go_to_the_old_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    monkeypatch.chdir(before)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    close(connect())
    before.rename(after)
    monkeypatch.chdir(after)
    with pytest.raises(RegistryError, match=r"before, which is gone; was that folder moved\? Move it back, or link"):
        connect()
    before.symlink_to(after)
    close(connect())


def test_a_file_that_is_no_store(file: Path) -> None:
    file.write_text("no database " * 100)
    with pytest.raises(RegistryError, match=r"mlflow\.db: .*not a database"):
        connect()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("nonsense://me:secret@host/db", "unsupported URI"),
        ("mysql+absent://me:secret@host/db", "Can't load plugin"),
        ("mysql://me:se/cr@et@host/db", "its driver is missing; pip install mysqlclient"),
        ("mysql+pymysql://me:secret@host/db", "its driver is missing; pip install pymysql"),
        ("postgresql+pg8000://me:secret@127.0.0.1:9/runs", "its driver is missing; pip install pg8000"),
        ("postgresql://me:secret@127.0.0.1:9/runs", "Connection refused"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:9/runs", "its driver is missing; pip install psycopg2-binary"),
        ("http://me:secret@127.0.0.1:9", "Connection refused"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line_at_once_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], uri: str, reason: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    started = time.perf_counter()
    with pytest.raises(RegistryError, match=reason) as caught:
        connect()
    assert time.perf_counter() - started < 10
    message = str(caught.value)
    assert message.startswith(f"tracking store {uri.partition('://')[0]}://me:***@")
    assert "secret" not in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_no_store(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file.parent}")
    with pytest.raises(RegistryError, match="is a folder, not a SQLite file"):
        connect()


MAKE = """
import os, signal
from quorum.tracking import store
replace = store.Path.replace
def killed(self, target):
    os.kill(os.getpid(), signal.SIGKILL)
store.Path.replace = killed
store.connect()
"""


@pytest.mark.slow
def test_a_kill_while_the_store_is_made_leaves_one_that_can_be_used(file: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", MAKE], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert not file.exists()
    file.with_name("mlflow.db.part").write_bytes(b"half of a database")
    with begin_run(connect(), "a run", Record(kind="train")):
        pass
    assert not list(file.parent.glob("*.part*"))
    assert MlflowClient().get_experiment("0").artifact_location.endswith("/mlruns/0")


def test_a_store_that_is_locked_is_waited_for_longer_than_half_a_minute(file: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, file)
    connect()
    with create_engine(f"sqlite:///{file}").connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 120_000


def test_an_error_of_a_lost_store_is_known_by_its_cause() -> None:
    def chained(cause: Exception) -> Exception:
        try:
            raise RuntimeError("something") from cause
        except RuntimeError as error:
            return error

    assert lost(chained(sqlite3.OperationalError("database is locked"))) == "database is locked"
    assert "refused" in lost(chained(requests.exceptions.ConnectionError("refused")))
    assert lost(MlflowException("API request to http://a failed with exception x")).startswith("API request to")
    assert lost(chained(ValueError("a defect"))) == ""
