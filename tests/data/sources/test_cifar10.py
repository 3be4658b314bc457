"""CIFAR-10 in both layouts."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from quorum.data import load_catalogue
from quorum.data.pixel_store import open_store
from quorum.data.sources import cifar10
from quorum.data.sources.cifar10 import OFFICIAL
from quorum.data.sources.cifar_files import read_images
from quorum.errors import DataError


def write_official(folder: Path, images: int) -> None:
    """Official files of `images` random images each, as Python 2 protocol pickles."""
    folder.mkdir(parents=True)
    for number, file in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        draw = np.random.default_rng(number)
        batch = {
            "data": draw.integers(0, 256, (images, 3072), dtype=np.uint8),
            "labels": [i % 10 for i in range(images)],
            "batch_label": "made up",
        }
        (folder / file).write_bytes(pickle.dumps(batch, protocol=2))


def test_the_real_tree(cifar_folder: Path) -> None:
    catalogue = load_catalogue("cifar10", Path(), cifar_folder)
    assert {split: len(positions) for split, positions in catalogue.splits.items()} == {
        "train": 40_000,
        "val": 10_000,
        "test": 10_000,
    }
    for split, each in (("val", 1000), ("test", 1000)):
        assert (np.bincount(catalogue.labels[catalogue.splits[split]]) == each).all()
    test_names = {catalogue.images[i].name.partition("/")[0] for i in catalogue.splits["test"]}
    assert test_names == {"test"}
    joined = np.concatenate(list(catalogue.splits.values()))
    assert len(np.unique(joined)) == 60_000


@pytest.mark.slow
def test_official_files_are_read_channels_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_official(tmp_path / OFFICIAL, 100)
    monkeypatch.setattr(cifar10, "COUNTS", {"train": 500, "test": 100})
    monkeypatch.setattr(cifar10, "VAL", 50)
    catalogue = load_catalogue("cifar10", Path(), tmp_path)
    raw = pickle.loads((tmp_path / OFFICIAL / "data_batch_1").read_bytes())["data"][3]  # noqa: S301 - written above
    decoded = catalogue.images[3].decode(catalogue.images[3].content())
    assert decoded.shape == (32, 32, 3)
    np.testing.assert_array_equal(decoded, raw.reshape(3, 32, 32).transpose(1, 2, 0))
    assert {split: len(p) for split, p in catalogue.splits.items()} == {"train": 450, "val": 50, "test": 100}
    assert open_store(catalogue, tmp_path / "stores").size == (32, 32)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    write_official(tmp_path / OFFICIAL, 10)
    with pytest.raises(DataError, match="50 train images where CIFAR-10 has 50,000"):
        load_catalogue("cifar10", Path(), tmp_path)


def test_an_official_file_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(DataError, match="which no CIFAR-10 file does"):
        read_images(tmp_path / "data_batch_1", "CIFAR-10", "labels", 10)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a table of two billion objects
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little"),  # a text that the file is too short for
    ],
)
def test_an_official_file_that_asks_for_terabytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match="not an official CIFAR-10 file"):
        read_images(tmp_path / "data_batch_1", "CIFAR-10", "labels", 10)
