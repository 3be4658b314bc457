"""What tests share: the real images where they are, small made-up ones, and a folder to work in."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from quorum.cli import main

settings.register_profile("untimed", deadline=None)  # machines are shared: no test is timed
settings.load_profile("untimed")

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"


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
def caltech_folder(caltech_archives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caltech-101, unpacked."""
    folder = tmp_path_factory.mktemp("caltech101")
    for archive in caltech_archives:
        with tarfile.open(archive) as tar:
            tar.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def cifar_archive() -> Path:
    """CIFAR-10 as an archive of image folders."""
    return _real(REAL / "cifar10.tar.xz")


@pytest.fixture(scope="session")
def cifar_folder(cifar_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10, unpacked."""
    folder = tmp_path_factory.mktemp("cifar10")
    with tarfile.open(cifar_archive) as tar:
        tar.extractall(folder)
    return folder / "cifar10"


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


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Quorum:
    """Runs commands in this process, in a folder of their own with a tracking store of their own."""

    folder: Path
    call: Callable[[Sequence[str]], Answer]

    def __call__(self, *arguments: str) -> Answer:
        return self.call(arguments)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking store with its schema and nothing in it: making one takes seconds, copying it does not."""
    from mlflow.tracking import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


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

    def call(arguments: Sequence[str]) -> Answer:
        if capfd is None:
            return Answer(main(list(arguments)), "", "")
        capfd.readouterr()
        status = main(list(arguments))
        captured = capfd.readouterr()
        return Answer(status, captured.out, captured.err)

    return Quorum(folder, call)


@pytest.fixture
def quorum(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Quorum:
    """The command line in a folder with an empty store."""
    return enter(tmp_path / "work", empty_store, monkeypatch, capfd)


@pytest.fixture(scope="session")
def trained_store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A store with four trainings of one network for 1 to 4 epochs, and one more that repeats the longest."""
    folder = tmp_path_factory.mktemp("trained") / "work"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = enter(folder, empty_store, monkeypatch)
        for epochs, reuse in ((1, "true"), (2, "true"), (3, "true"), (4, "true"), (4, "false")):
            settings = f"model=scratch-simple batch_size=64 lr=0.05 epochs={epochs} reuse={reuse}".split()
            assert run("train", *(word for setting in settings for word in ("-P", setting))).status == 0
    return folder / "mlflow.db"


@pytest.fixture
def trained(
    tmp_path: Path, trained_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Quorum:
    """The command line in a folder with a copy of the store of trainings; their artifacts are shared."""
    return enter(tmp_path / "work", trained_store, monkeypatch, capfd)
