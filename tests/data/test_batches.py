"""Batches: the draws are those of (seed, epoch), whatever came before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quorum.data import DATASETS, load_catalogue
from quorum.data.batches import Batches, policy
from quorum.data.preprocess import Preprocess
from quorum.data.store import open_store
from quorum.errors import DataError
from quorum.randomness import generator

CPU = torch.device("cpu")


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    store = open_store(load_catalogue("digits", Path()), tmp_path / "stores")
    return Batches.alike(store, Preprocess(16, 16, "half"), CPU)


def labels_of(batches: Batches, seed: int, epoch: int) -> torch.Tensor:
    drawn = batches.training(seed=seed, epoch=epoch, batch_size=100, augment="none")
    return torch.cat([labels for _, labels in drawn])


def test_order_is_addressed_by_seed_and_epoch(batches: Batches) -> None:
    first = labels_of(batches, 0, 1)
    assert torch.equal(first, labels_of(batches, 0, 1))
    assert not torch.equal(first, labels_of(batches, 0, 2))
    assert not torch.equal(first, labels_of(batches, 1, 1))


def test_the_last_partial_batch_is_dropped(batches: Batches) -> None:
    assert len(labels_of(batches, 0, 1)) == 1200 == batches.count(100) * 100
    with pytest.raises(DataError, match="batch_size: 1258 is more than the 1257 training images"):
        batches.count(1258)


def test_an_epoch_sees_every_image_at_most_once(batches: Batches) -> None:
    drawn = batches.training(seed=0, epoch=1, batch_size=1, augment="none")
    labels = torch.cat([labels for _, labels in drawn])
    expected = np.bincount(batches.store.labels[batches.store.splits["train"]])
    assert torch.bincount(labels).tolist() == expected.tolist()


@pytest.mark.parametrize("augment", ["none", "flip", "crop-flip-grey", "flip-rotate10-jitter20-shift10"])
def test_augmented_batches_repeat(batches: Batches, augment: str) -> None:
    def images() -> torch.Tensor:
        return next(batches.training(seed=3, epoch=2, batch_size=64, augment=augment))[0]

    first = images()
    assert first.shape == (64, 3, 16, 16)
    assert first.dtype == torch.float32
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(first, images())


def test_evaluation_is_the_split_in_order(batches: Batches) -> None:
    labels = torch.cat([labels for _, labels in batches.evaluation("test")])
    assert labels.tolist() == batches.store.labels[batches.store.splits["test"]].tolist()


def test_evaluation_and_serving_preprocess_alike(batches: Batches) -> None:
    test = batches.store.splits["test"][:50]
    served = batches.preprocess.images([batches.store.image(i) for i in test])
    assert torch.equal(next(batches.evaluation("test"))[0][:50], served)


def test_images_of_differing_sizes_are_preprocessed_alike_too(image_tree: Path, tmp_path: Path) -> None:
    catalogue = load_catalogue("folder", Path(), image_tree)
    plain = open_store(catalogue, tmp_path / "stores")
    resized = Batches.alike(open_store(catalogue, tmp_path / "stores", resize=18), Preprocess(16, 18, "imagenet"), CPU)
    served = resized.preprocess.images([plain.image(i) for i in plain.splits["test"]])
    assert torch.equal(next(resized.evaluation("test"))[0], served)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_states_its_input(name: str) -> None:
    kind = DATASETS[name]
    assert kind.input_size in (64, 224)
    assert kind.resize(kind.input_size) >= 0
    assert kind.resize(32) >= 0


def test_unknown_policy() -> None:
    with pytest.raises(DataError, match="no augmentation policy 'flp' \\(did you mean 'flip'\\?\\)"):
        policy("flp")


def test_training_images_can_have_a_resize_of_their_own(tmp_path: Path) -> None:
    store = open_store(load_catalogue("digits", Path()), tmp_path / "stores")
    batches = Batches(store, Preprocess(16, 16, "half"), CPU, store, 20)
    train, _ = next(batches.training(seed=0, epoch=1, batch_size=32, augment="none"))
    assert train.shape == (32, 3, 16, 16)
    order = torch.randperm(len(store.splits["train"]), generator=generator(0, 1, "order"))[:32]
    chosen = store.splits["train"][order.numpy()]
    # digits are 8 x 8: 20 pixels, of which the middle 16 are seen in training, and 16 pixels in evaluation
    expected = Preprocess(16, 20, "half").images([store.image(i) for i in chosen])
    assert torch.equal(train, expected)
    evaluated = next(batches.evaluation("test"))[0]
    test = store.splits["test"][: len(evaluated)]
    assert torch.equal(evaluated, Preprocess(16, 16, "half").images([store.image(i) for i in test]))


def test_a_random_crop_takes_windows_of_the_resized_image(tmp_path: Path) -> None:
    store = open_store(load_catalogue("digits", Path()), tmp_path / "stores")
    batches = Batches(store, Preprocess(16, 16, "half"), CPU, store, 20)
    crop = "crop-flip-rotate15-jitter20-shift10"
    one, other = (next(batches.training(seed=0, epoch=1, batch_size=32, augment=name))[0] for name in (crop, "none"))
    assert one.shape == other.shape
    assert not torch.equal(one, other)


def test_images_of_differing_sizes_with_two_resizes(image_tree: Path, tmp_path: Path) -> None:
    catalogue = load_catalogue("folder", Path(), image_tree)
    small, large = (open_store(catalogue, tmp_path / "stores", resize=side) for side in (16, 20))
    batches = Batches(small, Preprocess(16, 16, "half"), CPU, large, 20)
    assert next(batches.training(seed=0, epoch=1, batch_size=4, augment="none"))[0].shape == (4, 3, 16, 16)
    assert next(batches.evaluation("test"))[0].shape[1:] == (3, 16, 16)
    assert small.digest == large.digest
