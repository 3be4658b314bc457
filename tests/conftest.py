"""What tests share: the real images where they are, small ones, trained stores, and a folder to work in.

Whatever is expensive is made once for all of pytest-xdist's workers (`made_once`).
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
import pytest
import requests
import torch
from filelock import FileLock
from hypothesis import settings
from PIL import Image
from sklearn.datasets import load_digits

from quorum import plugins
from quorum.cli import main
from quorum.commands.wiring import COMMANDS, Command
from quorum.data import DATASETS
from quorum.data.sources import archives

settings.register_profile("untimed", deadline=None)  # machines are shared: no test is timed
settings.register_profile("quick", deadline=None, max_examples=15)  # of `make check`
settings.load_profile("untimed")

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"
SMALL_CLASSES, SMALL_IMAGES = 4, 20
THREADS = torch.get_num_threads()
REAL_IMAGES = {"caltech_archives", "caltech_folder", "cifar_archive", "cifar_folder"}
OPENINGS = {command.opening for command in COMMANDS.values()}
TRAINED = {"trained_store", "swept"}
LONGEST = {"benchmarks", "e2e", "faults"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that reads the real images, or needs a store with trainings, is slow, and so is every case of a family but
    the first.

    The folders with the longest tests come first, so that no process of pytest-xdist has one of them left at the end.
    """
    begun = set()
    items.sort(key=lambda item: not LONGEST.intersection(item.path.parts))
    for item in items:
        if (REAL_IMAGES | TRAINED).intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        if item.get_closest_marker("family"):
            function = item.nodeid.partition("[")[0]
            if function in begun:
                item.add_marker("slow")
            begun.add(function)


@pytest.fixture(scope="session", autouse=True)
def _as_many_cores_as_threads() -> Iterator[None]:
    """OMP_NUM_THREADS, which `make` sets to 1 under pytest-xdist, also bounds the threads that sweeps ask for."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "cpu_count", lambda: THREADS)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Commands that run in this process leave torch with another number of threads, on which results depend. Fixtures
    of the whole session are made after this, too."""
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def _no_plugins_of_other_tests() -> Iterator[None]:
    """A plugin that a test has loaded, from a folder that is gone, is no part of the next one's code version."""
    before = dict(plugins._loaded)
    yield
    plugins._loaded.clear()
    plugins._loaded.update(before)


@pytest.fixture(autouse=True)
def _no_folders_of_other_tests() -> Iterator[None]:
    """A folder that a test has named is no data set for the next one."""
    before = set(DATASETS)
    yield
    for name in set(DATASETS) - before:
        DATASETS.remove(name)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all workers of pytest-xdist see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker that asks for it makes; the others wait for it."""
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def _real(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"the real images are not at {path}")
    return path


@pytest.fixture(scope="session")
def caltech_splits() -> Path:
    """Folder of the official lists."""
    return _real(REAL / "caltech101" / "splits")


@pytest.fixture(scope="session")
def caltech_archives() -> list[Path]:
    """The three archives of Caltech-101."""
    _real(REAL / "caltech101")
    return sorted((REAL / "caltech101").glob("part-*.tar"))


@pytest.fixture(scope="session")
def caltech_folder(caltech_archives: list[Path], shared_folder: Path) -> Path:
    """Caltech-101, unpacked."""

    def unpack(folder: Path) -> None:
        archives.unpack(caltech_archives, folder)

    return made_once(shared_folder / "caltech101", unpack)


@pytest.fixture(scope="session")
def cifar_archive() -> Path:
    """CIFAR-10 as an archive of image folders."""
    return _real(REAL / "cifar10.tar.xz")


@pytest.fixture(scope="session")
def cifar_folder(cifar_archive: Path, shared_folder: Path) -> Path:
    """CIFAR-10, unpacked."""

    def unpack(folder: Path) -> None:
        archives.unpack([cifar_archive], folder)

    return made_once(shared_folder / "cifar10", unpack) / "cifar10"


def make_image(file: Path, seed: int, size: tuple[int, int] = (20, 24), tint: int = 0) -> None:
    """Write a random image of (height, width); `tint` shifts the red channel, so that classes can be told apart."""
    pixels = np.random.default_rng(seed).integers(0, 128, (*size, 3), dtype=np.uint8)
    pixels[..., 0] += np.uint8(tint)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def image_tree(tmp_path: Path) -> Path:
    """A folder data set: two classes of twenty images of differing sizes."""
    folder = tmp_path / "tree"
    for label, name in enumerate(("blue", "red")):
        for i in range(20):
            make_image(folder / name / f"{i:02d}.png", 100 * label + i, (20 + i, 30 - i % 5), tint=120 * label)
    return folder


def write_digits(folder: Path) -> None:
    """Write the first images of each digit as PNG files, in folders by class."""
    digits = load_digits()
    for label in range(SMALL_CLASSES):
        for i in np.flatnonzero(digits.target == label)[:SMALL_IMAGES]:
            file = folder / str(label) / f"{i:04d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.round(digits.images[i] * (255 / 16)).astype(np.uint8)).save(file)


@pytest.fixture(scope="session")
def small_digits(shared_folder: Path) -> Path:
    """A folder data set whose epoch takes a twentieth of the digits': four classes of twenty images."""
    return made_once(shared_folder / "small-digits", write_digits)


@dataclass(frozen=True)
class S3Server:
    """moto's S3, as a process of its own."""

    url: str

    def bucket(self) -> str:
        """The URL of a new bucket."""
        url = f"s3://bucket-{uuid.uuid4().hex}"
        fsspec.filesystem("s3").mkdir(url)
        return url

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """While nobody may do anything."""
        self._allow(0)
        try:
            yield
        finally:
            self._allow(10**9)

    def _allow(self, calls: int) -> None:
        requests.post(f"{self.url}/moto-api/reset-auth", data=str(calls), timeout=10).raise_for_status()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3 server whose address the environment holds, with credentials that it takes."""
    settings = {"ENDPOINT_URL": s3_server.url, "ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing"}
    for name, value in {**settings, "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return s3_server


def without_opening(err: str) -> str:
    """What a command said, without the line by which it says that it has begun to read."""
    opening, end, rest = err.partition("\n")
    return rest if end and opening in OPENINGS else err


@dataclass(frozen=True)
class Answer:
    """What a command did.

    Attributes:
        err: without the line by which it says that it has begun to read.
    """

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Quorum:
    """Runs commands in this process, in a folder of their own with a tracking store of their own."""

    folder: Path
    call: Callable[[Sequence[str], Mapping[str, Command]], Answer]

    def __call__(self, *arguments: str) -> Answer:
        return self.call(arguments, COMMANDS)


@pytest.fixture(scope="session")
def empty_store(shared_folder: Path) -> Path:
    """A tracking store with its schema and nothing in it: making one takes seconds, copying it does not."""
    from mlflow.tracking import MlflowClient

    def make(folder: Path) -> None:
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()

    return made_once(shared_folder / "empty-store", make) / "mlflow.db"


def enter(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str] | None = None
) -> Quorum:
    """The command line in a new folder with a copy of a tracking store and the project's study files."""
    from mlflow.tracking import MlflowClient

    folder.mkdir()
    shutil.copy(store, folder / "mlflow.db")
    (folder / "sweeps").symlink_to(ROOT / "sweeps")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "quorum")
    client = MlflowClient()
    if client.get_experiment_by_name("quorum") is None:
        client.create_experiment("quorum", artifact_location=str(folder / "mlruns"))

    def call(arguments: Sequence[str], commands: Mapping[str, Command]) -> Answer:
        if capfd is None:
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
                status = main(list(arguments), commands)
            return Answer(status, out.getvalue(), without_opening(err.getvalue()))
        capfd.readouterr()
        status = main(list(arguments), commands)
        captured = capfd.readouterr()
        return Answer(status, captured.out, without_opening(captured.err))

    return Quorum(folder, call)


@pytest.fixture
def quorum(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Quorum:
    """The command line in a folder with an empty store."""
    return enter(tmp_path / "work", empty_store, monkeypatch, capfd)


def words(command: str, **settings: object) -> list[str]:
    """A command line with settings."""
    return [command, *(word for name, value in settings.items() for word in ("-P", f"{name}={value}"))]


@pytest.fixture(scope="session")
def trained_store(shared_folder: Path, empty_store: Path) -> Path:
    """A store with four trainings of one network for 1 to 4 epochs, and one more that repeats the longest."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            run = enter(folder / "work", empty_store, monkeypatch)
            settings = {"model": "scratch-simple", "batch_size": 64, "lr": 0.05}
            for epochs, reuse in ((1, "true"), (2, "true"), (3, "true"), (4, "true"), (4, "false")):
                assert run(*words("train", **settings, epochs=epochs, reuse=reuse)).status == 0

    return made_once(shared_folder / "trained", make) / "work" / "mlflow.db"


@pytest.fixture
def trained(
    tmp_path: Path, trained_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Quorum:
    """The command line in a folder with a copy of the store of trainings; their artifacts are shared."""
    return enter(tmp_path / "work", trained_store, monkeypatch, capfd)
