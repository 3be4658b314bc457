"""Folds: what seeds choose, what stays as it is, and views that travel without their pixels."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedKFold

from quorum.data import load_catalogue
from quorum.data.batches import Batches
from quorum.data.folds import fold_of
from quorum.data.pixel_store import PixelStore, open_store
from quorum.data.preprocess import Preprocess
from quorum.errors import DataError


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    return open_store(load_catalogue("digits", Path()), tmp_path_factory.mktemp("stores"))


def pool(store: PixelStore) -> set[int]:
    return {*store.splits["train"].tolist(), *store.splits["val"].tolist()}


@pytest.mark.parametrize("first", [0, 5, 1000])
def test_as_many_seeds_as_folds_are_one_partition(digits: PixelStore, first: int) -> None:
    folds = [fold_of(digits, 5, seed) for seed in range(first, first + 5)]
    validated = np.concatenate([fold.splits["val"] for fold in folds])
    assert len(validated) == len(set(validated.tolist())) == len(pool(digits))
    for fold in folds:
        assert pool(fold) == pool(digits)
        assert not set(fold.splits["train"].tolist()) & set(fold.splits["val"].tolist())
        assert np.array_equal(fold.splits["test"], digits.splits["test"])


def test_a_fold_is_scikit_learns(digits: PixelStore) -> None:
    positions = np.array(sorted(pool(digits)))
    parts = StratifiedKFold(5, shuffle=True, random_state=3).split(positions, digits.labels[positions])
    for seed, (train, val) in zip(range(15, 20), parts, strict=True):
        fold = fold_of(digits, 5, seed)
        assert np.array_equal(fold.splits["train"], positions[train])
        assert np.array_equal(fold.splits["val"], positions[val])


def test_classes_are_in_equal_proportion_and_partitions_differ(digits: PixelStore) -> None:
    counts = [np.bincount(digits.labels[fold_of(digits, 5, seed).splits["val"]]) for seed in range(5)]
    assert np.ptp(counts, axis=0).max() <= 1
    first, other = (set(fold_of(digits, 5, seed).splits["val"].tolist()) for seed in (0, 5))
    assert first & other
    assert first != other


def test_the_digest_is_of_the_data_and_the_partition_whatever_the_seed(image_tree: Path, tmp_path: Path) -> None:
    first, other = (open_store(load_catalogue("folder", Path(), image_tree, seed), tmp_path) for seed in (0, 1))
    assert len({fold_of(first, 5, seed).digest for seed in (0, 3, 12)}) == 1
    assert len({first.digest, *(fold_of(*one, 0).digest for one in ((first, 5), (first, 4), (other, 5)))}) == 4


def test_a_fold_travels_as_what_chooses_it(digits: PixelStore) -> None:
    """Three folds in one process map one file."""
    batches = Batches.alike(digits, Preprocess(8, 0, "half"), torch.device("cpu"))
    sent = [pickle.dumps(batches.of_fold(5, seed)) for seed in (1, 2, 8)]
    assert max(map(len, sent)) < 2000
    came = [pickle.loads(one) for one in sent]  # noqa: S301 - it was written one line before
    for one, seed in zip(came, (1, 2, 8), strict=True):
        assert one.store is one.training_store
        assert np.array_equal(one.store.splits["val"], fold_of(digits, 5, seed).splits["val"])
        assert one.store.whole is came[0].store.whole
    assert came[0].store.pixels is came[1].store.pixels


def test_a_fold_of_a_fold_is_one_of_the_whole(digits: PixelStore) -> None:
    assert fold_of(fold_of(digits, 5, 0), 5, 1) is fold_of(digits, 5, 1)
    assert fold_of(fold_of(digits, 5, 0), 0, 1) is digits


def test_a_class_that_is_too_small_is_named(image_tree: Path, tmp_path: Path) -> None:
    store = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    assert fold_of(store, 16, 0).counts() == {"train": 30, "val": 2, "test": 8}
    with pytest.raises(DataError, match="folds: 17 is more than the 16 training and validation images of blue"):
        fold_of(store, 17, 0)
