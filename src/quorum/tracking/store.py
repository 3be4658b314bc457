"""The tracking store: where it is, its schema, and the run that `mlflow run` made for this process."""

from __future__ import annotations

import contextlib
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
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from quorum import tuning
from quorum.console import detail
from quorum.errors import RegistryError, masked
from quorum.tracking import context
from quorum.tracking.databases import ANSWER_SECONDS, alone, server_of
from quorum.tracking.experiments import DEFAULT, Experiments, missing_folder, named_experiment
from quorum.tracking.leases import Leases
from quorum.tracking.patience import PatientClient
from quorum.tracking.records import Record
from quorum.tracking.run_starts import RunStarts

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
        experiment_id: where new runs go; "" for the experiment of their data set.
        adopted: the run that `mlflow run` made for this process, until something takes it.
        leases: what this process is at work on, and the others.
        made: the store's experiments.
        starts: of the runs that this process begins.
        origin: tags that say who began a run, from which program: those of the adopted run, where there is one.
        own_tags: of the user's own, for all new runs.
        own_note: of the user's own, for runs without a parent.
    """

    client: PatientClient
    uri: str
    experiment_id: str
    adopted: Record | None
    leases: Leases
    made: Experiments
    starts: RunStarts
    origin: Mapping[str, str] = field(default_factory=dict)
    own_tags: Mapping[str, str] = field(default_factory=dict)
    own_note: str = ""

    @property
    def experiments(self) -> list[str]:
        """Ids of all experiments."""
        return self.made.ids()

    def experiment_of(self, dataset: str) -> str:
        """Where new runs of a data set go; made if it is not there. Those of none ("") go to the default experiment.
        Raises RegistryError where it was deleted."""
        return self.experiment_id or (self.made.of_dataset(dataset) if dataset else DEFAULT)

    def patiently(self, call: Callable[[], A], again: Callable[[], A] | None = None) -> A:
        """See PatientClient: for calls that this store's database or server answers in another way."""
        return self.client.patiently(call, again)


def connect(
    adopted_run_id: str | None = None, own_tags: Mapping[str, str] | None = None, own_note: str = ""
) -> TrackingStore:
    """Open the store that MLflow's own settings name, and adopt the run that `mlflow run` made, if there is one.

    New runs go to the experiment that MLFLOW_EXPERIMENT_NAME (made if there is none), `mlflow run --experiment-name` or
    MLFLOW_EXPERIMENT_ID names, or, where none of them does, to that of their data set.

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
            run = client.get_run(adopted_run_id) if adopted_run_id else None
            adopted = Record.of(run) if run else None
            experiment_id = named_experiment(client, adopted.experiment_id if adopted else None)
            home = experiment_id or DEFAULT
            location = client.get_experiment(home).artifact_location
    except (MlflowException, SQLAlchemyError, OSError, ImportError, ValueError) as error:  # ValueError: "http://["
        raise RegistryError(masked(f"tracking store {uri}: {' '.join(str(error).split())}")) from error
    if uri.startswith(SQLITE) and (gone := missing_folder(location)) is not None:
        raise RegistryError(
            f"tracking store {masked(uri)}: its files belong in {gone}, which is gone; was that folder moved? "
            f"Move it back, or link its old place to the new one (ln -s)"
        )
    leases = Leases(MlflowClient(uri), home, patiently=client.patiently)
    origin = context.of_run(run.data.tags) if run else {}
    detail(f"tracking store {masked(uri)}, experiment {home}")
    made = Experiments(client)
    starts = RunStarts(client, made.ids)
    return TrackingStore(client, uri, experiment_id, adopted, leases, made, starts, origin, own_tags or {}, own_note)


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


def _quiet() -> None:
    """Keep what MLflow says of its own workings off the user's screen."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow", "alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="mlflow")
