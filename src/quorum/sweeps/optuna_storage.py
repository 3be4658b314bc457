"""Where Optuna keeps its studies: in the tracking store's own database, or in a file beside it."""

from __future__ import annotations

from pathlib import Path

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from quorum.console import say
from quorum.errors import RegistryError, masked
from quorum.tracking.databases import POSTGRESQL, alone, server_of
from quorum.tracking.store import SQLITE, TrackingStore

FILE = "optuna.db"
SCHEMA = "optuna"  # of PostgreSQL: MLflow and Optuna both have a table called alembic_version
_WHAT = "optuna_storage"


def storage_url(store: TrackingStore, work_dir: Path, given: str | None) -> str:
    """Where a sweep's Optuna studies are.

    Args:
        store: the tracking store.
        work_dir: the working folder.
        given: what the user has said.

    Returns:
        The given URL, if there is one. Otherwise that of the store's own database, if it is PostgreSQL; of a file
        beside the store, if the store is a SQLite file; or of a file in the working folder, which a line then reports.
    """
    if given:
        return given
    if server_of(store.uri) == POSTGRESQL:
        return store.uri
    if store.uri.startswith(SQLITE):
        return f"{SQLITE}{Path(store.uri.removeprefix(SQLITE)).resolve().with_name(FILE)}"
    file = (work_dir / FILE).resolve()
    say(f"Optuna's studies are kept in {file}; optuna_storage= names another place, which other machines see too")
    return f"{SQLITE}{file}"


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage, created by one process at a time.

    Raises:
        RegistryError: for a URL that is none, a driver that is missing, or a database that does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if not url.startswith(SQLITE):
            return _open_server(url)
        file = Path(url.removeprefix(SQLITE))
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
    except (SQLAlchemyError, StorageInternalError, OSError, ImportError, ValueError, RuntimeError) as error:
        raise RegistryError(masked(f"{_WHAT} {url}: {' '.join(str(error).split())}")) from error


def _open_server(url: str) -> optuna.storages.RDBStorage:
    arguments = {"options": f"-csearch_path={SCHEMA}"} if server_of(url) == POSTGRESQL else {}
    with alone(url, _WHAT) as connection:
        if arguments:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            connection.commit()
        return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": arguments, "pool_pre_ping": True})
