"""Trees of class/image files, and the splits that are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.data import load_catalogue
from quorum.data.catalogue import stratified
from quorum.errors import DataError
from tests.conftest import make_image


def test_a_tree_without_splits_is_split_by_class_and_seed(image_tree: Path) -> None:
    catalogue = load_catalogue("folder", Path(), image_tree)
    assert catalogue.classes == ("blue", "red")
    assert {split: len(p) for split, p in catalogue.splits.items()} == {"train": 24, "val": 8, "test": 8}
    for positions in catalogue.splits.values():
        counts = np.bincount(catalogue.labels[positions])
        assert counts[0] == counts[1]
    again = load_catalogue("folder", Path(), image_tree)
    other = load_catalogue("folder", Path(), image_tree, split_seed=1)
    assert (again.splits["test"] == catalogue.splits["test"]).all()
    assert (other.splits["test"] != catalogue.splits["test"]).any()


def test_folders_for_the_splits_are_used(tmp_path: Path) -> None:
    for split, count in (("train", 10), ("val", 3), ("test", 4)):
        for name in ("a", "b"):
            for i in range(count):
                make_image(tmp_path / split / name / f"{i}.png", i)
    catalogue = load_catalogue("folder", Path(), tmp_path)
    for split, count in (("train", 20), ("val", 6), ("test", 8)):
        names = [catalogue.images[i].name for i in catalogue.splits[split]]
        assert len(names) == count
        assert all(name.startswith(f"{split}/") for name in names)


def test_a_missing_val_folder_is_drawn_from_train(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            for i in range(10):
                make_image(tmp_path / split / name / f"{i}.png", i)
    catalogue = load_catalogue("folder", Path(), tmp_path)
    assert {split: len(p) for split, p in catalogue.splits.items()} == {"train": 16, "val": 4, "test": 20}
    assert all(catalogue.images[i].name.startswith("train/") for i in catalogue.splits["val"])


def test_what_is_hidden_is_left_out(image_tree: Path) -> None:
    for hidden in ("red/.thumbnails/00.png", "red/more/.cache/deep/00.png", "red/.00.png", ".trash/00.png"):
        make_image(image_tree / hidden, 0)
    make_image(image_tree / "red" / "more" / "seen.png", 0)
    names = [image.name for image in load_catalogue("folder", Path(), image_tree).images]
    assert len(names) == 41
    assert "red/more/seen.png" in names


def test_a_tree_in_a_hidden_folder_is_read(image_tree: Path) -> None:
    assert load_catalogue("folder", Path(), image_tree.rename(image_tree.with_name(".tree"))).classes == ("blue", "red")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "class folders with images; a classifier needs two"),
        (["a/1.png", "a/2.png"], "1 class folders"),
        (["test/a/1.png", "test/b/1.png"], "has test/ but no train/"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "classes that train/ lacks: c"),
        (["a/1.png", "b/1.png"], "the smallest class has 1"),
    ],
)
def test_trees_that_cannot_be_used(tmp_path: Path, files: list[str], message: str) -> None:
    for file in files:
        make_image(tmp_path / file, 0)
    with pytest.raises(DataError, match=message):
        load_catalogue("folder", Path(), tmp_path)


@given(
    st.lists(st.integers(4, 40), min_size=2, max_size=8),
    st.integers(0, 2**31 - 1),
)
def test_a_stratified_split_parts_every_class_in_proportion(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    positions = np.arange(len(labels))
    held_out = len(labels) // 2
    first, second = stratified(positions, labels, held_out, seed)
    assert sorted([*first, *second]) == list(positions)
    assert len(second) == held_out
    taken = np.bincount(labels[second], minlength=len(counts))
    assert (np.abs(taken - np.array(counts) / 2) <= 1).all()
