"""The official split of Caltech-101, from the real names."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.data import load_catalogue
from quorum.data.sources.caltech101 import BACKGROUND, official_lists, split_names
from quorum.errors import DataError


def test_the_rule_reproduces_the_official_lists(caltech_splits: Path) -> None:
    official = {split: (caltech_splits / f"{split}.txt").read_text().split() for split in ("train", "test")}
    lists = official_lists([*official["train"], *official["test"]][::-1])
    assert lists == official


def test_counts_are_the_published_ones(caltech_splits: Path) -> None:
    names = [n for split in ("train", "test") for n in (caltech_splits / f"{split}.txt").read_text().split()]
    splits = split_names(names)
    assert {split: len(listed) for split, listed in splits.items()} == {"train": 2892, "val": 2892, "test": 2893}
    assert not any(BACKGROUND in name for listed in splits.values() for name in listed)
    assert len({name for listed in splits.values() for name in listed}) == 8677


def test_the_real_tree(caltech_folder: Path) -> None:
    catalogue = load_catalogue("caltech101", Path(), caltech_folder)
    assert len(catalogue.classes) == 101
    assert {split: len(positions) for split, positions in catalogue.splits.items()} == {
        "train": 2892,
        "val": 2892,
        "test": 2893,
    }
    for image, label in zip(catalogue.images, catalogue.labels, strict=True):
        assert image.name.partition("/")[0] == catalogue.classes[label]


def test_an_incomplete_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "101_ObjectCategories" / "accordion").mkdir(parents=True)
    (tmp_path / "101_ObjectCategories" / "accordion" / "image_0001.jpg").touch()
    with pytest.raises(DataError, match="1 files where Caltech-101 has 9,145"):
        load_catalogue("caltech101", Path(), tmp_path)
