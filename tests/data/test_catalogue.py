"""Data sets of a user's own, from files or arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorum.config import TrialConfig
from quorum.data import DATASETS, Catalogue, build_catalogue, load_catalogue, register_dataset
from quorum.data.opened import open_dataset
from quorum.errors import ConfigError, DataError

SIDE = 6
LABELS = ["cat", "dog"] * 10


def arrays(count: int = 20) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    return list(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))


def test_arrays_are_split_by_class_and_seed() -> None:
    made = build_catalogue("pets", arrays(), LABELS)
    assert made.classes == ("cat", "dog")
    assert made.labels.tolist() == [0, 1] * 10
    assert [image.name for image in made.images][:2] == ["00", "01"]
    assert {split: len(positions) for split, positions in made.splits.items()} == {"train": 12, "val": 4, "test": 4}
    assert sorted(np.concatenate(list(made.splits.values()))) == list(range(20))
    again, other = (build_catalogue("pets", arrays(), LABELS, split_seed=seed) for seed in (0, 1))
    assert [made.splits[split].tolist() == again.splits[split].tolist() for split in made.splits] == [True] * 3
    assert made.splits["test"].tolist() != other.splits["test"].tolist()


def test_files_are_named_relative_to_their_root(image_tree: Path) -> None:
    files = sorted(image_tree.rglob("*.png"))
    made = build_catalogue(
        "mine", files, [file.parent.name for file in files], root=image_tree, classes=["red", "blue"]
    )
    assert made.classes == ("red", "blue")
    assert made.images[0].name == "blue/00.png"
    assert made.labels[0] == 1


def test_splits_that_are_given_are_kept() -> None:
    splits = {"train": np.arange(10), "test": np.arange(10, 20)}
    made = build_catalogue("pets", arrays(), LABELS, splits=splits)
    assert made.splits["test"].tolist() == list(range(10, 20))
    assert len(made.splits["train"]) == 8
    assert len(made.splits["val"]) == 2
    assert len(splits["train"]) == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[1:]}, "19 labels for 20 images"),
        ({"images": [np.zeros((6, 6), np.uint8)] * 20}, r"image 00: is uint8 \(6, 6\); an image is uint8"),
        ({"images": [np.zeros((6, 6, 3))] * 20}, r"image 00: is float64 \(6, 6, 3\); an image is uint8"),
        ({"images": [Path("a.png")] * 20}, "two images are named a.png"),
        ({"classes": ["cat"]}, "labels that are not among its classes: dog"),
        ({"splits": {"train": np.arange(12), "test": np.arange(10, 20)}}, "splits are disjoint positions from 0 to 19"),
        ({"splits": {"train": np.arange(10, 30)}}, "splits are disjoint positions from 0 to 19"),
        ({"splits": {"test": np.arange(10)}}, "splits: 'train' is missing"),
        ({"splits": {"train": np.arange(10), "valid": np.arange(10, 20)}}, "splits: no split 'valid'"),
        ({"labels": ["cat"] * 19 + ["dog"]}, "the smallest class has 1"),
        ({"images": [], "labels": []}, "no images"),
    ],
)
def test_what_makes_no_data_set(changes: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"images": arrays(), "labels": LABELS, **changes}
    with pytest.raises(DataError, match=message):
        build_catalogue("pets", **given)  # type: ignore[arg-type]


def test_a_data_set_of_ones_own(tmp_path: Path) -> None:
    @register_dataset("pets", input_size=32, needs_folder=False, one_size=True)
    def pets(_root: Path, split_seed: int) -> Catalogue:
        return build_catalogue("pets", arrays(), LABELS, split_seed=split_seed)

    try:
        with pytest.raises(ConfigError, match="dataset 'pets': is registered already"):
            register_dataset("pets")(pets)
        opened = open_dataset("pets", data_dir=tmp_path, path=None, split_seed=1, work_dir=tmp_path, skip_bad=False)
        expected = load_catalogue("pets", tmp_path, split_seed=1).splits["val"]
        assert opened.catalogue.splits["val"].tolist() == expected.tolist()
        assert opened.source == f"{__name__}.{pets.__qualname__}"
        assert opened.pixels(32).size == (SIDE, SIDE)
        assert TrialConfig(dataset="pets").dataset in DATASETS
    finally:
        DATASETS.remove("pets")


def test_images_that_differ_in_size_are_not_of_one_size(tmp_path: Path) -> None:
    @register_dataset("pets", one_size=True)
    def pets(_root: Path, split_seed: int) -> Catalogue:
        images = [np.zeros((SIDE + i, SIDE, 3), np.uint8) for i in range(20)]
        return build_catalogue("pets", images, LABELS, split_seed=split_seed)

    try:
        opened = open_dataset("pets", data_dir=tmp_path, path=tmp_path, split_seed=0, work_dir=tmp_path, skip_bad=False)
        with pytest.raises(DataError, match="one_size=True, and its images differ in size"):
            opened.pixels()
    finally:
        DATASETS.remove("pets")


def test_a_data_set_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dataset 'digit' \(did you mean 'digits'\?\)"):
        load_catalogue("digit", tmp_path)
    with pytest.raises(DataError, match=r"cifar10 is not in .*archive=FILE.*download=true fetches it, path= points"):
        load_catalogue("cifar10", tmp_path)
    with pytest.raises(DataError, match="no such folder; path= names a tree"):
        load_catalogue("folder", tmp_path)
