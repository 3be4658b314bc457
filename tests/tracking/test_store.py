"""A SQLite store is made once, written to ahead where that is safe, and whole in its file afterwards."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from quorum import tuning
from quorum.errors import RegistryError
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import checkpoint_wal, connect

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
    checkpoint_wal(store)
    shutil.copy(file, tmp_path / "copy.db")
    [run] = MlflowClient(f"sqlite:///{tmp_path}/copy.db").search_runs(["0"])
    assert run.info.status == "FINISHED"


def test_nothing_is_written_ahead_on_a_network_folder(
    file: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_file_system", lambda _: "nfs4")
    shutil.copy(empty_store, file)
    checkpoint_wal(connect())
    assert mode(file) == "delete"


def test_a_file_that_is_no_store(file: Path) -> None:
    file.write_text("no database " * 100)
    with pytest.raises(RegistryError, match=r"mlflow\.db: .*not a database"):
        connect()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("nonsense://me:secret@host/db", "unsupported URI"),
        ("mysql+absent://me:secret@host/db", "Can't load plugin"),
        ("mysql://me:se/cr@et@host/db", "No module named 'MySQLdb'"),
        ("http://me:secret@127.0.0.1:9", "Connection refused"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, uri: str, reason: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match=reason) as caught:
        connect()
    message = str(caught.value)
    assert message.startswith(f"tracking store {uri.partition('://')[0]}://me:***@")
    assert "secret" not in message
    assert "\n" not in message
