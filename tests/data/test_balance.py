"""Unbalanced classes: what an epoch draws of each, and what each weighs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from quorum.config import Balance
from quorum.data import load_catalogue
from quorum.data.balance import class_weights, epoch_order
from quorum.data.batches import Batches
from quorum.data.pixel_store import PixelStore, open_store
from quorum.data.preprocess import Preprocess
from quorum.errors import DataError
from quorum.randomness import generator

LABELS = np.repeat([0, 1, 2], [4, 11, 7])[np.random.default_rng(0).permutation(22)]
DRAWN: dict[Balance, list[int]] = {"none": [4, 11, 7], "under": [4] * 3, "over": [11] * 3, "weights": [4, 11, 7]}
drawing = pytest.mark.parametrize("balance", ["under", "over"])


@pytest.mark.parametrize("balance", DRAWN)
def test_an_epoch_draws_so_many_of_each_class(balance: Balance) -> None:
    places = epoch_order(LABELS, balance, seed=0, epoch=1)
    assert np.bincount(LABELS[places]).tolist() == DRAWN[balance]
    most = 3 if balance == "over" else 1  # 11 of 4 images
    assert max(Counter(places.tolist()).values()) == most
    if balance != "under":
        assert set(places.tolist()) == set(range(22))
    if balance == "over":
        assert Counter(Counter(places[LABELS[places] == 0].tolist()).values()) == {2: 1, 3: 3}


@pytest.mark.parametrize("balance", DRAWN)
def test_it_is_that_of_seed_and_epoch(balance: Balance) -> None:
    first = epoch_order(LABELS, balance, seed=0, epoch=1).tolist()
    assert first == epoch_order(LABELS, balance, seed=0, epoch=1).tolist()
    for other in (epoch_order(LABELS, balance, seed=0, epoch=2), epoch_order(LABELS, balance, seed=1, epoch=1)):
        assert first != other.tolist()
        if balance == "under":
            assert set(first) != set(other.tolist())


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_without_draws_the_order_is_a_permutation(balance: Balance) -> None:
    expected = torch.randperm(22, generator=generator(3, 2, "order"))
    assert epoch_order(LABELS, balance, seed=3, epoch=2).tolist() == expected.tolist()


def test_all_images_are_seen_over_the_epochs() -> None:
    seen = {place for epoch in range(1, 30) for place in epoch_order(LABELS, "under", seed=0, epoch=epoch).tolist()}
    assert seen == set(range(22))


@drawing
def test_the_order_mixes_the_classes(balance: Balance) -> None:
    labels = np.repeat([0, 1], [50, 100])
    first = labels[epoch_order(labels, balance, seed=0, epoch=1)][:40]
    assert 5 < first.sum() < 35


def test_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    found = class_weights(np.bincount(LABELS))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert float(found[LABELS].mean()) == pytest.approx(1)


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    """Digits, of whose zeros ten are left for training."""
    store = open_store(load_catalogue("digits", Path()), tmp_path)
    train = store.splits["train"]
    zeros = train[store.labels[train] == 0]
    return _trained_on(
        Batches.alike(store, Preprocess(8, 0, "half"), torch.device("cpu")), np.setdiff1d(train, zeros[10:])
    )


def _trained_on(batches: Batches, train: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Batches:
    def shortened(store: PixelStore) -> PixelStore:
        return replace(store, splits={**store.splits, "train": train})

    return replace(batches, store=shortened(batches.store), training_store=shortened(batches.training_store))


@drawing
@pytest.mark.parametrize("drop_last", [True, False])
def test_batches_are_as_many_as_an_epoch_has(batches: Batches, balance: Balance, drop_last: bool) -> None:
    made = list(
        batches.training(seed=0, epoch=1, batch_size=32, augment="randaugment", drop_last=drop_last, balance=balance)
    )
    images = batches.images_per_epoch(32, drop_last=drop_last, balance=balance)
    assert sum(len(labels) for _, labels in made) == images
    if not drop_last:
        counts = torch.bincount(torch.cat([labels for _, labels in made]))
        largest = int(np.bincount(batches.store.labels[batches.store.splits["train"]]).max())
        assert counts.tolist() == [10 if balance == "under" else largest] * 10
    assert len(made[0][1]) == 32


def test_repeated_images_are_augmented_each_by_its_own_draw(batches: Batches) -> None:
    made = batches.training(seed=0, epoch=1, batch_size=50, augment="rotate(90)", drop_last=False, balance="over")
    zeros = torch.cat([images[labels == 0] for images, labels in made])
    assert len({image.numpy().tobytes() for image in zeros}) > 50  # of ten


def test_a_batch_of_more_than_an_epoch_draws_is_refused(batches: Batches) -> None:
    assert batches.images_per_epoch(100, balance="under") == 100
    with pytest.raises(DataError, match="101 is more than the 100 training images of digits that balance=under draws"):
        batches.images_per_epoch(101, balance="under")


@pytest.mark.parametrize("balance", ["under", "over", "weights"])
def test_a_class_without_training_images_is_refused(batches: Batches, balance: Balance) -> None:
    train = batches.store.splits["train"]
    without = _trained_on(batches, train[batches.store.labels[train] != 7])
    message = f"balance: '{balance}' needs training images of every class; digits has none of '7'"
    with pytest.raises(DataError, match=message) as caught:
        without.images_per_epoch(10, balance=balance)
    assert caught.value.setting == "balance"
    assert without.images_per_epoch(10) > 0
    with pytest.raises(DataError, match="digits has none of '7'"):
        without.class_weights()
