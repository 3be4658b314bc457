"""What every data set keeps to, on made-up files. A new one that needs a folder needs a row in MADE_UP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quorum.data import DATASETS, Catalogue, is_folder, load_catalogue
from quorum.data.sources import caltech101, cifar10, cifar100
from quorum.data.sources.torchvision_sets import ROWS
from tests.conftest import ROOT, make_image
from tests.data.sources.made_up import WRITERS
from tests.data.sources.test_cifar10 import write_official


def few_caltech101(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (caltech101.BACKGROUND, "Faces", "ant", "zebra"):
        for i in range(12):
            make_image(folder / caltech101.TREE / name / f"image_{i:04d}.jpg", i)
    monkeypatch.setattr(caltech101, "FILES", 48)


def few_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_official(folder / cifar10.OFFICIAL, 30)
    monkeypatch.setattr(cifar10, "COUNTS", {"train": 150, "test": 30})
    monkeypatch.setattr(cifar10, "VAL", 30)


def few_of_a_folder(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("blue", "red"):
        for i in range(10):
            make_image(folder / name / f"{i}.png", i, (20 + i, 24))


def few_of_torchvision(write: Callable[[Path], None]) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        write(folder)
        monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda *_args: True)
        monkeypatch.setattr(cifar100, "COUNTS", {"train": 1000, "test": 1000})

    return few


MADE_UP: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    **{name: few_of_torchvision(write) for name, write in WRITERS.items()},
    "caltech101": few_caltech101,
    "cifar10": few_cifar10,
    "folder": few_of_a_folder,
}


@pytest.fixture(params=sorted(DATASETS))
def catalogue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    name = request.param
    if DATASETS[name].needs_folder:
        MADE_UP[name](tmp_path / name, monkeypatch)
    return load_catalogue(name, tmp_path, tmp_path / name)


@pytest.mark.family
def test_splits_part_the_images(catalogue: Catalogue) -> None:
    positions = np.concatenate(list(catalogue.splits.values()))
    assert sorted(positions) == list(range(len(catalogue.images)))


@pytest.mark.family
def test_labels_and_names(catalogue: Catalogue) -> None:
    assert len(catalogue.labels) == len(catalogue.images)
    assert len({image.name for image in catalogue.images}) == len(catalogue.images)
    assert len(set(catalogue.classes)) == len(catalogue.classes)
    for split, positions in catalogue.splits.items():
        assert set(catalogue.labels[positions]) == set(range(len(catalogue.classes))), split


@pytest.mark.family
def test_one_size_is_what_it_says(catalogue: Catalogue) -> None:
    if DATASETS[catalogue.name].one_size:
        assert len({image.decode(image.content()).shape for image in catalogue.images}) == 1


@pytest.mark.family
def test_it_states_its_input(catalogue: Catalogue) -> None:
    kind = DATASETS[catalogue.name]
    assert 8 <= kind.input_size <= 1024
    assert kind.resize(kind.input_size) >= 0
    assert kind.resize(32) >= 0
    assert kind.source


@pytest.mark.family
def test_images_decode_to_rgb_bytes(catalogue: Catalogue) -> None:
    for image in (catalogue.images[0], catalogue.images[-1]):
        pixels = image.decode(image.content())
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


def test_the_page_of_data_sets_lists_each_with_its_input_and_what_is_drawn() -> None:
    lines = [line for line in (ROOT / "docs" / "data-sets.md").read_text().splitlines() if line.startswith("| `")]
    cells = {name.strip("` "): rest for _, name, *rest in (line.split("|")[:-1] for line in lines)}
    own = {name for name in DATASETS if is_folder(name)}  # of tests before this one
    assert set(cells) == set(DATASETS) - {"folder"} - own
    for name, (_, _, val, test, size) in cells.items():
        assert int(size) == DATASETS[name].input_size, name
        if name in ROWS:
            drawn = {split for split, cell in (("val", val), ("test", test)) if cell.strip() == "drawn"}
            assert drawn == {"val", "test"} - set(ROWS[name].parts), name
