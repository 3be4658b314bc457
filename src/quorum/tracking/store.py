"""The tracking store: where it is, its schema, and the run that `mlflow run` made for this process."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import mlflow
from filelock import FileLock
from mlflow.environment_variables import (
    MLFLOW_EXPERIMENT_NAME,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from quorum import tuning
from quorum.console import detail
from quorum.errors import RegistryError, masked
from quorum.tracking.databases import ANSWER_SECONDS, alone, server_of
from quorum.tracking.leases import Leases
from quorum.tracking.patience import PatientClient
from quorum.tracking.records import Record

A = TypeVar("A")
SQLITE = "sqlite:///"
BUSY_SECONDS = 120  # to wait for a SQLite store that somebody else has locked
HTTP_RETRIES = 1  # of MLflow's own: `PatientClient` asks again, and longer


@dataclass(frozen=True)
class TrackingStore:
    """An open tracking store.

    Attributes:
        client: MLflow's client for it. Runs are made through it with explicit ids, never as "active" runs.
        uri: of the store.
        experiment_id: where new runs go.
        adopted: the run that `mlflow run` made for this process, until something takes it.
        leases: what this process is at work on, and the others.
        own_tags: of the user's own, for all new runs.
        own_note: of the user's own, for runs without a parent.
    """

    client: PatientClient
    uri: str
    experiment_id: str
    adopted: Record | None
    leases: Leases
    own_tags: Mapping[str, str] = field(default_factory=dict)
    own_note: str = ""

    @functools.cached_property
    def experiments(self) -> list[str]:
        """Ids of all experiments, this store's first. Asked for once: one that is added later is not searched."""
        found = (experiment.experiment_id for experiment in self.client.search_experiments())
        return list(dict.fromkeys([self.experiment_id, *found]))

    def patiently(self, call: Callable[[], A], again: Callable[[], A] | None = None) -> A:
        """See PatientClient: for calls that this store's database or server answers in another way."""
        return self.client.patiently(call, again)


def connect(
    adopted_run_id: str | None = None, own_tags: Mapping[str, str] | None = None, own_note: str = ""
) -> TrackingStore:
    """Open the store that MLflow's own settings name, and adopt the run that `mlflow run` made, if there is one.

    Without an adopted run, new runs go to the experiment that MLFLOW_EXPERIMENT_NAME names (made if there is none), or
    to MLflow's default experiment, which is where `mlflow run` puts them too.

    Eight processes that open a new SQLite store at once would collide in its migrations, so the first use is made
    under a lock.

    Args:
        adopted_run_id: of the run that `mlflow run` made.
        own_tags: of the user's own, for all new runs.
        own_note: of the user's own, for runs without a parent.

    Raises:
        RegistryError: where the store cannot be opened.
    """
    _quiet()
    uri = mlflow.get_tracking_uri()
    try:
        client = _open_sqlite(uri) if uri.startswith(SQLITE) else _open_remote(uri)
        with client.once():
            adopted = Record.of(client.get_run(adopted_run_id)) if adopted_run_id else None
            experiment_id = adopted.experiment_id if adopted else _experiment(client)
    except (MlflowException, SQLAlchemyError, OSError, ImportError, ValueError) as error:  # ValueError: "http://["
        raise RegistryError(masked(f"tracking store {uri}: {' '.join(str(error).split())}")) from error
    if uri.startswith(SQLITE) and (gone := _moved(client.get_experiment(experiment_id).artifact_location)) is not None:
        raise RegistryError(
            f"tracking store {masked(uri)}: its files belong in {gone}, which is gone; was that folder moved? "
            f"Move it back, or link its old place to the new one (ln -s)"
        )
    leases = Leases(MlflowClient(uri), experiment_id, patiently=client.patiently)
    detail(f"tracking store {masked(uri)}, experiment {experiment_id}")
    return TrackingStore(client, uri, experiment_id, adopted, leases, own_tags or {}, own_note)


def _moved(location: str) -> Path | None:
    """The folder in which an experiment's files were kept, if it lay on this machine and is there no more.

    Args:
        location: of the experiment's artifacts, as MLflow keeps it: FOLDER/mlruns/ID unless somebody has set another.
    """
    if not is_local_uri(location):
        return None
    place = Path(local_file_uri_to_path(location))
    above = [place, *place.parents][:3]
    return None if any(folder.exists() for folder in above) else above[-1]


def _open_sqlite(uri: str) -> PatientClient:
    """A client for a SQLite store, which is made on the way where there is none: making the client does it."""
    file = Path(uri.removeprefix(SQLITE))
    if file.is_dir():
        raise RegistryError(f"tracking store {uri}: is a folder, not a SQLite file")
    with FileLock(f"{file}.lock"):
        if not file.exists():
            _make(file)
        tuning.write_ahead(file)
        return _open(uri)


def _make(file: Path) -> None:
    """Make a SQLite store beside its place and rename it, so that a kill leaves a whole store or none: MLflow cannot go
    on with half of one."""
    part = file.with_name(f"{file.name}.part")
    for left in file.parent.glob(f"{part.name}*"):
        left.unlink()
    _open(f"{SQLITE}{part}")
    part.replace(file)


def _open_remote(uri: str) -> PatientClient:
    """A client for a server or a database that answers at once: MLflow itself would ask again for minutes."""
    scheme = uri.partition(":")[0]
    if scheme.startswith(("http", "databricks")):
        with _asking(retries=0, seconds=ANSWER_SECONDS):
            client = _open(uri)
        if not MLFLOW_HTTP_REQUEST_MAX_RETRIES.is_set():
            MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(HTTP_RETRIES)
        return client
    if not server_of(uri):
        return _open(uri)
    with alone(uri, "tracking store"):  # opening makes or migrates its tables
        return _open(uri)


@contextlib.contextmanager
def _asking(*, retries: int, seconds: int) -> Iterator[None]:
    """Have MLflow ask a server so often and wait so long for its answer, unless the user has said how often and how
    long."""
    wanted = {MLFLOW_HTTP_REQUEST_MAX_RETRIES: retries, MLFLOW_HTTP_REQUEST_TIMEOUT: seconds}
    added = {variable: value for variable, value in wanted.items() if not variable.is_set()}
    for variable, value in added.items():
        variable.set(value)
    try:
        yield
    finally:
        for variable in added:
            variable.unset()


def _open(uri: str) -> PatientClient:
    """A client for a store that answers."""
    client = PatientClient(uri)
    with client.once():
        client.search_experiments(max_results=1)
    return client


def close(store: TrackingStore) -> None:
    """End the work of this process with a store. What a SQLite store's log holds is written into its file, as far as
    nobody reads: the file alone is the store then."""
    store.leases.close()
    if store.uri.startswith(SQLITE):
        file = store.uri.removeprefix(SQLITE)
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file, timeout=5)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@event.listens_for(Engine, "connect")
def _on_connect(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        tuning.wait_less(connection)


def _experiment(client: PatientClient) -> str:
    name = MLFLOW_EXPERIMENT_NAME.get()
    if name is None:
        return "0"
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    return str(client.get_experiment_by_name(name).experiment_id)  # another process has made it at the same time


def _quiet() -> None:
    """Keep what MLflow says of its own workings off the user's screen."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow", "alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="mlflow")
