"""Servers that tests start and stop. Each is a program of its own on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import requests

POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # Debian's
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
SECONDS = 120  # that a server may need until it answers


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Postgres:
    """A PostgreSQL server with an empty database."""

    folder: Path
    port: int

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg://quorum@127.0.0.1:{self.port}/postgres"

    def control(self, *words: str) -> None:
        """pg_ctl, as a user who may run it: root may not."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", *words)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.control("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self.control("-m", "immediate", "stop")

    def run(self, program: str, *words: str) -> None:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*user, str(POSTGRESQL[-1] / program), *words]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A server that has just been started. Skips the test where PostgreSQL is not installed, which CI never does."""
    if not POSTGRESQL:
        assert "CI" not in os.environ, "PostgreSQL is missing"
        pytest.skip("PostgreSQL is not installed: no /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="quorum-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = Postgres(folder, free_port())
    try:
        server.run("initdb", "-D", str(folder / "data"), "-U", "quorum", "--auth=trust", "--no-sync")
        server.start()
        yield server
    finally:
        with contextlib.suppress(AssertionError):  # it may have been stopped
            server.stop()
        shutil.rmtree(folder)


@dataclass
class Server:
    """A server that answers HTTP."""

    command: Sequence[str]
    folder: Path
    port: int
    environment: Mapping[str, str]
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                requests.get(self.uri, timeout=5)
                return
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-2000:])

    def stop(self) -> None:
        """Kill it and all that it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """A server from its start to its stop."""
    server.folder.mkdir(parents=True, exist_ok=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def s3(folder: Path, host: str = "127.0.0.1") -> Server:
    """A server that speaks S3, with nothing in it."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", host, "-p", str(port)]
    return Server(command, folder, port, KEYS, host)


def make_bucket(server: Server, name: str) -> None:
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=server.uri, **keys).create_bucket(Bucket=name)


def mlflow(folder: Path, store: str, artifacts: str, environment: Mapping[str, str]) -> Server:
    """MLflow's tracking server on a database, which hands out the artifacts of an object store."""
    port = free_port()
    words = f"server --backend-store-uri {store} --artifacts-destination {artifacts} --port {port} --workers 1"
    # Its ten processes for jobs of its own are of no use here.
    environment = {**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return Server([sys.executable, "-m", "mlflow", *words.split()], folder, port, environment)
