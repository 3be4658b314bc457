"""Copies of a SQLite tracking store in PostgreSQL, with MLflow's server before them if that is wanted."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from mlflow.tracking import MlflowClient
from sqlalchemy import Connection, MetaData, Table, create_engine, insert, select, text

sys.path.append(str(Path(__file__).parents[1]))  # for the servers that tests start
from tests.servers.running import mlflow, postgres, running

ROWS = 5_000  # inserted at a time


def serve(file: Path, folder: Path, stack: contextlib.ExitStack, *, http: bool) -> str:
    """Copy a SQLite store into a PostgreSQL server of its own, which runs until a stack is unwound.

    Args:
        file: of the store.
        folder: for what MLflow's server writes.
        stack: ends the servers.
        http: whether MLflow's server stands before it.

    Returns:
        The tracking URI.
    """
    database = stack.enter_context(postgres())
    MlflowClient(database.uri).search_experiments()
    copy(file, database.uri)
    if not http:
        return database.uri
    return stack.enter_context(running(mlflow(folder, database.uri, str(folder / "artifacts"), {}))).uri


def copy(file: Path, uri: str) -> None:
    """Put all rows of a SQLite store in the place of those of a PostgreSQL store that has just been made."""
    source, target = create_engine(f"sqlite:///{file}"), create_engine(uri)
    theirs, ours = MetaData(), MetaData()
    with source.connect() as reading, target.begin() as writing:
        theirs.reflect(reading)
        ours.reflect(writing)
        tables = [table for table in ours.sorted_tables if table.name != "alembic_version"]
        for table in reversed(tables):
            writing.execute(table.delete())
        for table in tables:
            _copy_table(reading, theirs.tables[table.name], writing, table)
        writing.execute(
            text("SELECT setval('experiments_experiment_id_seq', max(experiment_id) + 1, false) FROM experiments")
        )
    source.dispose()
    target.dispose()


def _copy_table(reading: Connection, theirs: Table, writing: Connection, ours: Table) -> None:
    columns = [column for column in theirs.columns if column.name in ours.columns]
    rows = reading.execute(select(*columns)).mappings()
    while part := rows.fetchmany(ROWS):
        writing.execute(insert(ours), [dict(row) for row in part])
