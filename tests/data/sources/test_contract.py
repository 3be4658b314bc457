"""Contracts that every data set keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorum.data import DATASETS, Catalogue, load_catalogue


@pytest.fixture(params=sorted(DATASETS))
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Catalogue:
    name = request.param
    fixtures = {"caltech101": "caltech_folder", "cifar10": "cifar_folder", "folder": "image_tree"}
    path = request.getfixturevalue(fixtures[name]) if name in fixtures else None
    return load_catalogue(name, tmp_path, path)


def test_splits_part_the_images(catalogue: Catalogue) -> None:
    positions = np.concatenate(list(catalogue.splits.values()))
    assert sorted(positions) == list(range(len(catalogue.images)))


def test_labels_and_names(catalogue: Catalogue) -> None:
    assert len(catalogue.labels) == len(catalogue.images)
    assert len({image.name for image in catalogue.images}) == len(catalogue.images)
    assert len(set(catalogue.classes)) == len(catalogue.classes)
    for split, positions in catalogue.splits.items():
        assert set(catalogue.labels[positions]) == set(range(len(catalogue.classes))), split


def test_images_decode_to_rgb_bytes(catalogue: Catalogue) -> None:
    for image in (catalogue.images[0], catalogue.images[-1]):
        pixels = image.decode(image.content())
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


def test_the_stamp_is_stable_and_sees_the_split(catalogue: Catalogue) -> None:
    assert catalogue.stamp() == catalogue.stamp()
    swapped = {**catalogue.splits, "val": catalogue.splits["test"], "test": catalogue.splits["val"]}
    other = Catalogue(catalogue.name, catalogue.classes, catalogue.images, catalogue.labels, swapped)
    assert other.stamp() != catalogue.stamp()
