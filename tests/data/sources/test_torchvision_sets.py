"""torchvision's data sets, on made-up files: what is listed and drawn, what is said of missing and broken files, and
how they are fetched."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import utils

from quorum.data import Catalogue, load_catalogue
from quorum.data.datasets import Download
from quorum.data.opened import open_dataset
from quorum.data.sources import archives, cifar100
from quorum.data.sources.torchvision_sets import ROWS
from quorum.errors import DataError
from tests.conftest import Quorum, made_once, words
from tests.data.sources.made_up import WRITERS, level, write_dtd, write_mnist

# Everything else is drawn from `train`.
OWN_SPLITS = {
    "caltech256": {"train"},
    "eurosat": {"train"},
    "semeion": {"train"},
    "sun397": {"train"},
    "country211": {"train", "val", "test"},
    "dtd": {"train", "val", "test"},
    "fgvc_aircraft": {"train", "val", "test"},
    "flowers102": {"train", "val", "test"},
    "rendered_sst2": {"train", "val", "test"},
}
# Files that a classifier does not need: without them, classes have numbers for names.
NOT_NEEDED = {"unlabeled_X.bin", "class_names.txt"}
IMAGES = {".jpg", ".JPEG", ".png", ".ppm"}


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up files have other checksums and counts than the official ones."""
    monkeypatch.setattr(utils, "check_md5", lambda *_args: True)
    monkeypatch.setattr(cifar100, "COUNTS", {"train": 1000, "test": 1000})


@pytest.fixture(params=sorted(WRITERS))
def name(request: pytest.FixtureRequest) -> str:
    """Of each data set in turn."""
    return str(request.param)


@pytest.fixture
def root(name: str, shared_folder: Path) -> Path:
    """The folder of its files, which tests leave as they are."""
    return made_once(shared_folder / f"made-up-{name}", WRITERS[name])


def digest(name: str, root: Path, work_dir: Path) -> str:
    opened = open_dataset(name, data_dir=Path(), path=root, split_seed=0, work_dir=work_dir, skip_bad=False)
    return opened.pixels(16).digest


def parts(catalogue: Catalogue) -> dict[str, set[str]]:
    return {split: {catalogue.images[i].name for i in where} for split, where in catalogue.splits.items()}


def test_every_row_has_made_up_files() -> None:
    assert set(ROWS) | {"caltech256", "cifar100"} == set(WRITERS)


@pytest.mark.family
def test_an_image_has_the_label_that_it_shows(name: str, root: Path) -> None:
    catalogue = load_catalogue(name, root.parent, root)
    for image, label in zip(catalogue.images, catalogue.labels, strict=True):
        pixels = image.decode(image.content()).astype(int)
        assert abs(pixels - level(label)).max() <= 1, image.name  # a unit of rounding, in JPEG and in numbers as text


def test_splits_of_its_own_stay_and_others_follow_the_seed(name: str, root: Path) -> None:
    one, other = (parts(load_catalogue(name, root.parent, root, split_seed=seed)) for seed in (0, 1))
    own = OWN_SPLITS.get(name, {"train", "test"})
    for split in ("val", "test"):
        assert (one[split] == other[split]) is (split in own), split
    assert (one["train"] == other["train"]) is (own == {"train", "val", "test"})


@pytest.mark.family
def test_the_same_files_have_the_same_digest_anywhere(name: str, root: Path, tmp_path: Path) -> None:
    first = digest(name, root, tmp_path / "one")
    assert digest(name, root, tmp_path / "one") == first
    shutil.copytree(root, tmp_path / "elsewhere")
    assert digest(name, tmp_path / "elsewhere", tmp_path / "two") == first


def test_frames_of_one_traffic_sign_are_in_one_split(shared_folder: Path) -> None:
    root = made_once(shared_folder / "made-up-gtsrb", WRITERS["gtsrb"])
    catalogue = load_catalogue("gtsrb", root.parent, root)
    tracks = {split: {name.rpartition("_")[0] for name in names} for split, names in parts(catalogue).items()}
    assert not tracks["train"] & tracks["val"]
    assert {split: len(where) for split, where in catalogue.splits.items()} == {"train": 24, "val": 6, "test": 30}
    assert set(catalogue.labels[catalogue.splits["val"]]) == {0, 1, 2}


def test_a_folder_without_the_files_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        load_catalogue(name, tmp_path, tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}: ")
    assert "\n" not in message
    assert "download=True" not in message
    assert list(tmp_path.iterdir()) == []
    if name in ROWS:
        fetches = f"; `quorum data -P dataset={name} -P download=true` fetches it"
        assert message.endswith(fetches) is (name != "stanford_cars")


@pytest.mark.family
def test_a_file_that_is_empty_is_one_line(name: str, root: Path, tmp_path: Path) -> None:
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    first_image = next((file for file in files if file.suffix in IMAGES), None)
    for i, file in enumerate(file for file in files if file.suffix not in IMAGES or file == first_image):
        folder = tmp_path / str(i)
        shutil.copytree(root, folder)
        (folder / file).write_bytes(b"")
        if file.name in NOT_NEEDED:
            digest(name, folder, tmp_path / "work")
            continue
        with pytest.raises(DataError) as raised:
            digest(name, folder, tmp_path / "work")
        assert "\n" not in str(raised.value), file


def test_a_file_that_is_listed_and_not_there_is_counted(tmp_path: Path) -> None:
    write_dtd(tmp_path)
    next((tmp_path / "dtd" / "dtd" / "images").rglob("*.jpg")).unlink()
    with pytest.raises(DataError, match=r"1 of 90 images cannot be used: dtd/dtd/images/.*: not a file"):
        digest("dtd", tmp_path, tmp_path / "work")


def test_labels_that_no_class_has(tmp_path: Path) -> None:
    WRITERS["stl10"](tmp_path)
    labels = tmp_path / "stl10_binary" / "train_y.bin"
    labels.write_bytes(b"\0" + labels.read_bytes()[1:])
    with pytest.raises(DataError, match="labels from 0 to 255 where there are 10 classes"):
        load_catalogue("stl10", tmp_path, tmp_path)


def test_classes_have_torchvisions_names_and_numbers_where_it_has_none(shared_folder: Path) -> None:
    expected = {
        "fashion_mnist": "T-shirt/top",
        "flowers102": "pink primrose",
        "imagenette": "tench",
        "oxford_iiit_pet": "Abyssinian",
        "stanford_cars": "AM General Hummer",
        "stl10": "class 0",
        "gtsrb": "0",
        "svhn": "0",
        "cifar100": "thing 0",
    }
    for name, first in expected.items():
        root = made_once(shared_folder / f"made-up-{name}", WRITERS[name])
        assert load_catalogue(name, root.parent, root).classes[0] == first


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
def test_a_pickle_in_its_folder_cannot_run_code(name: str, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    root = tmp_path / name
    root.mkdir()
    WRITERS[name](root)
    (root / "MNIST" / "processed").mkdir(parents=True)  # what torchvision's first versions left there
    for file in ("MNIST/processed/training.pt", "MNIST/processed/test.pt"):
        (root / file).write_bytes(pickle.dumps(Evil()))
    if name == "cifar100":
        (root / "cifar-100-python" / "meta").write_bytes(pickle.dumps({"fine_label_names": Evil()}))
    with pytest.raises(DataError):
        load_catalogue(name, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_too_few_images_of_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["cifar100"](tmp_path)
    monkeypatch.undo()
    with pytest.raises(DataError, match="1,000 train images where CIFAR-100 has 50,000"):
        load_catalogue("cifar100", tmp_path, tmp_path)


@pytest.mark.slow
def test_it_is_fetched_described_and_trained_on(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    source = quorum.folder / "source"
    write_mnist(source, "FashionMNIST")

    def download(_url: str, folder: str, filename: str, md5: str) -> None:
        assert len(md5) == 32
        content = (source / "FashionMNIST" / "raw" / filename.removesuffix(".gz")).read_bytes()
        (Path(folder) / filename).write_bytes(gzip.compress(content))

    monkeypatch.setattr(utils, "download_url", download)
    answer = quorum("data", "--json", "-P", "dataset=fashion_mnist", "-P", "download=true")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["splits"] == {"train": 80, "val": 20, "test": 100}
    files = {path.suffix for path in (quorum.folder / "data" / "fashion_mnist").rglob("*") if path.is_file()}
    assert files == {""}  # no archive is kept
    settings = {"dataset": "fashion_mnist", "model": "scratch-simple", "epochs": 1, "batch_size": 40}
    trained = quorum(*words("train", **settings), "--json")
    assert trained.status == 0, trained.err
    assert 0 <= json.loads(trained.out)["test_accuracy"] <= 1


@pytest.mark.parametrize("filtered", [True, False])  # whether this Python's tarfile has filters: 3.11.2 has none
@pytest.mark.parametrize("member", ["../outside", "link"])
def test_an_archive_that_torchvision_unpacks_stays_in_its_folder(
    quorum: Quorum, monkeypatch: pytest.MonkeyPatch, member: str, filtered: bool
) -> None:
    if not filtered:
        monkeypatch.setattr(archives, "data_filter", None)
    extract_all = tarfile.TarFile.extractall

    def download(_url: str, folder: str, filename: str, _md5: str) -> None:
        with tarfile.open(Path(folder) / filename, "w:gz") as tar:
            info = tarfile.TarInfo(member)
            if member == "link":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info, io.BytesIO())

    Path(quorum.folder, "data").mkdir()
    monkeypatch.setattr(utils, "download_url", download)
    answer = quorum("data", "-P", "dataset=food101", "-P", "download=true")
    assert answer.status == 2
    assert answer.err.startswith("quorum: download: food101 cannot be fetched (")
    assert answer.err.count("\n") == 1
    assert list(Path(quorum.folder, "data").iterdir()) == []
    assert getattr(tarfile.TarFile, "extraction_filter", None) is None
    assert tarfile.TarFile.extractall is extract_all


def test_what_torchvision_fetches_without_a_checksum_is_fetched_with_one() -> None:
    assert isinstance(ROWS["fgvc_aircraft"].download, Download)


@pytest.mark.slow
def test_torchvision_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, quorum.data; assert 'torchvision' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gray_images_take_no_more_memory_than_they_have(shared_folder: Path) -> None:
    root = made_once(shared_folder / "made-up-mnist", WRITERS["mnist"])
    image = load_catalogue("mnist", root.parent, root).images[0]
    assert image.pixels.strides[-1] == 0  # type: ignore[attr-defined]
    assert np.frombuffer(image.content(), np.uint8).size == 28 * 28 * 3
