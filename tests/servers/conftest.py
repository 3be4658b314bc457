"""Servers that the tests of a module share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Quorum, enter
from tests.servers.running import KEYS, Postgres, Server, make_bucket, mlflow, postgres, running, s3


@dataclass(frozen=True)
class Site:
    """MLflow's server on PostgreSQL, with its artifacts in S3."""

    database: Postgres
    objects: Server
    server: Server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with contextlib.ExitStack() as stack:
        database, objects = stack.enter_context(postgres()), stack.enter_context(running(s3(folder / "s3")))
        make_bucket(objects, "runs")
        environment = {**KEYS, "AWS_ENDPOINT_URL": objects.uri, "MLFLOW_S3_ENDPOINT_URL": objects.uri}
        server = stack.enter_context(running(mlflow(folder / "mlflow", database.uri, "s3://runs", environment)))
        yield Site(database, objects, server)


@pytest.fixture
def on_site(
    site: Site, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Quorum:
    """The command line in an empty folder, with the server as its store."""
    quorum = enter(tmp_path / "work", empty_store, monkeypatch, capfd)
    (quorum.folder / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", site.server.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    return quorum
