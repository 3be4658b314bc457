"""The tracking store: where it is, its schema, and the run that `mlflow run` made for this process."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import warnings
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from quorum.errors import RegistryError, masked
from quorum.tracking.records import Record

SQLITE = "sqlite:///"
# Where SQLite's write-ahead log works: its index is memory that the processes share, which network folders lack.
_LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "tmpfs")
_logged_ahead: set[str] = set()  # files of the stores that this process has opened with a write-ahead log


@dataclass(frozen=True)
class TrackingStore:
    """An open tracking store.

    Attributes:
        client: MLflow's client for it. Runs are made through it with explicit ids, never as "active" runs.
        uri: of the store.
        experiment_id: where new runs go.
        adopted: the run that `mlflow run` made for this process, until something takes it.
    """

    client: MlflowClient
    uri: str
    experiment_id: str
    adopted: Record | None

    @property
    def folder(self) -> Path:
        """The folder of a SQLite store; the working folder for any other."""
        return Path(self.uri.removeprefix(SQLITE)).resolve().parent if self.uri.startswith(SQLITE) else Path.cwd()


def connect(adopted_run_id: str | None = None) -> TrackingStore:
    """Open the store that MLflow's own settings name, and adopt the run that `mlflow run` made, if there is one.

    Without an adopted run, new runs go to the experiment that MLFLOW_EXPERIMENT_NAME names (made if there is none), or
    to MLflow's default experiment, which is where `mlflow run` puts them too.

    Eight processes that open a new SQLite store at once would collide in its migrations, so the first use is made
    under a lock.

    Raises:
        RegistryError: where the store cannot be opened.
    """
    _quiet()
    uri = mlflow.get_tracking_uri()
    try:
        client = _open_sqlite(uri) if uri.startswith(SQLITE) else MlflowClient(uri)
        adopted = Record.of(client.get_run(adopted_run_id)) if adopted_run_id else None
        experiment_id = adopted.experiment_id if adopted else _experiment(client)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise RegistryError(masked(f"tracking store {uri}: {' '.join(str(error).split())}")) from error
    return TrackingStore(client, uri, experiment_id, adopted)


def _open_sqlite(uri: str) -> MlflowClient:
    """A client for a SQLite store, which is made on the way where there is none: making the client does it."""
    file = Path(uri.removeprefix(SQLITE))
    with FileLock(f"{file}.lock"):
        _log_ahead(file)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def checkpoint_wal(store: TrackingStore) -> None:
    """Write what a SQLite store's log holds into its file, as far as nobody reads: the file alone is the store then."""
    if store.uri.startswith(SQLITE):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(store.uri.removeprefix(SQLITE))) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _log_ahead(file: Path) -> None:
    """Have a SQLite store write ahead, where that is safe.

    By default SQLite waits for the disk several times a commit, and MLflow commits several times a call. With the log
    it waits when the log is copied into the file. A killed process loses nothing; a machine that loses its power may
    lose the last calls, and never the store (https://sqlite.org/wal.html).
    """
    with contextlib.suppress(sqlite3.Error):  # MLflow says better what is wrong with a file
        if _file_system(file) in _LOCAL:
            with contextlib.closing(_open(file)) as database:
                [mode] = database.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode == "wal":
                _logged_ahead.add(str(file.resolve()))


@event.listens_for(Engine, "connect")
def _wait_less(connection: object, _record: object) -> None:
    """Set on each connection of such a store what SQLite does not keep in the file."""
    if isinstance(connection, sqlite3.Connection) and _logged_ahead:
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if file in _logged_ahead:
            connection.execute("PRAGMA synchronous = NORMAL")


def _open(file: str | Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=5)


def _file_system(file: Path) -> str:
    """Type of the file system that a file is on; "" where Linux does not say."""
    table = Path("/proc/self/mounts")
    lines = table.read_text().splitlines() if table.is_file() else []
    kinds = {place: kind for _, place, kind, *_ in map(str.split, lines)}  # of two on one folder the later one counts
    return next((kinds[str(folder)] for folder in file.resolve().parents if str(folder) in kinds), "")


def _experiment(client: MlflowClient) -> str:
    name = MLFLOW_EXPERIMENT_NAME.get()
    if name is None:
        return "0"
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _quiet() -> None:
    """Keep what MLflow says of its own workings off the user's screen."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="mlflow")
