"""Batches: the draws are those of (seed, epoch), whatever came before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quorum.data import batches as module
from quorum.data import load_catalogue
from quorum.data.augment.policies import POLICIES
from quorum.data.batches import Batch, Batches
from quorum.data.pixel_store import PixelStore, open_store
from quorum.data.preprocess import Preprocess
from quorum.errors import DataError
from quorum.randomness import generator

CPU = torch.device("cpu")
NAMES = ["none", "flip", *POLICIES]


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    store = open_store(load_catalogue("digits", Path()), tmp_path / "stores")
    return Batches.alike(store, Preprocess(16, 16, "half"), CPU)


def epoch_of(batches: Batches, augment: str, batch_size: int = 32, epoch: int = 1) -> Batch:
    """All images and labels of an epoch."""
    images, labels = zip(*batches.training(seed=0, epoch=epoch, batch_size=batch_size, augment=augment), strict=True)
    return torch.cat(images), torch.cat(labels)


def labels_of(batches: Batches, seed: int, epoch: int) -> torch.Tensor:
    drawn = batches.training(seed=seed, epoch=epoch, batch_size=100, augment="none")
    return torch.cat([labels for _, labels in drawn])


def test_order_is_addressed_by_seed_and_epoch(batches: Batches) -> None:
    first = labels_of(batches, 0, 1)
    assert torch.equal(first, labels_of(batches, 0, 1))
    assert not torch.equal(first, labels_of(batches, 0, 2))
    assert not torch.equal(first, labels_of(batches, 1, 1))


def test_the_last_partial_batch_is_dropped(batches: Batches) -> None:
    assert len(labels_of(batches, 0, 1)) == 1200 == batches.images_per_epoch(100)
    with pytest.raises(DataError, match="batch_size: 1258 is more than the 1257 training images"):
        batches.images_per_epoch(1258)
    kept = [
        len(images) for images, _ in batches.training(seed=0, epoch=1, batch_size=100, augment="none", drop_last=False)
    ]
    assert kept == [100] * 12 + [57]
    assert batches.images_per_epoch(100, drop_last=False) == batches.images_per_epoch(2000, drop_last=False) == 1257


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


@pytest.mark.family
@pytest.mark.parametrize("augment", NAMES)
def test_an_image_depends_on_its_place_in_the_epoch_alone(batches: Batches, augment: str) -> None:
    images, labels = epoch_of(batches, augment, batch_size=32)
    others, other_labels = epoch_of(batches, augment, batch_size=100)
    n = min(len(images), len(others))
    assert torch.equal(images[:n], others[:n])
    assert torch.equal(labels[:n], other_labels[:n])
    assert not torch.equal(images, epoch_of(batches, augment, epoch=2)[0])


@pytest.mark.family
@pytest.mark.parametrize("augment", NAMES)
@pytest.mark.parametrize("at_once", [1, 10, 77])
def test_how_many_images_are_computed_at_once_changes_nothing(
    batches: Batches, augment: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1 and 10 images are parts of a batch of 16, 77 are several batches and not a multiple of them
    few = replace(batches, training_store=first_of(batches.store, 100), store=first_of(batches.store, 100))
    images, labels = epoch_of(few, augment, batch_size=16)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", at_once * 16 * 16)
    assert torch.equal(images, epoch_of(few, augment, batch_size=16)[0])
    assert torch.equal(labels, epoch_of(few, augment, batch_size=16)[1])
    assert [len(images) for images, _ in few.training(seed=0, epoch=1, batch_size=16, augment=augment)] == [16] * 6


def first_of(store: PixelStore, count: int) -> PixelStore:
    """The same images with fewer of them in the training split."""
    return replace(store, splits={**store.splits, "train": store.splits["train"][:count]})


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


def test_training_after_an_evaluation_in_inference_mode(batches: Batches) -> None:
    fresh = replace(batches, preprocess=Preprocess(16, 16, "cifar10"))
    with torch.inference_mode():
        next(fresh.evaluation("val"))
    images, labels = next(fresh.training(seed=0, epoch=1, batch_size=8, augment="flip"))
    layer = torch.nn.Conv2d(3, 10, 16)
    torch.nn.functional.cross_entropy(layer(images).flatten(1), labels).backward()
    assert layer.weight.grad is not None


@pytest.mark.family
@pytest.mark.parametrize("mix", ["mixup(alpha=0.4)", "cutmix"])
def test_how_many_images_are_computed_at_once_changes_no_mixed_batch(
    batches: Batches, mix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> list[torch.Tensor]:
        drawn = batches.training(seed=0, epoch=1, batch_size=32, augment="flip", drop_last=False, mix=mix)
        return [tensor for batch in drawn for tensor in batch]

    whole = made()
    assert all(labels.shape[1:] == (10,) and labels.dtype == torch.float32 for labels in whole[1::2])
    for at_once in (1, 10, 77):
        monkeypatch.setattr("quorum.data.batches.PIXELS_AT_ONCE", at_once * 64)
        assert all(torch.equal(one, other) for one, other in zip(whole, made(), strict=True))


def test_mixing_leaves_the_augmentation_as_it_is(batches: Batches) -> None:
    plain, mixed = (
        list(batches.training(seed=0, epoch=1, batch_size=32, augment="flip", mix=mix)) for mix in ("none", "mixup")
    )
    second = list(batches.training(seed=0, epoch=2, batch_size=32, augment="flip", mix="mixup"))
    shares = [float(labels.amax(dim=1).min()) for _, labels in mixed]
    assert len(set(shares)) == len(shares) > 10  # one draw a batch
    assert shares != [float(labels.amax(dim=1).min()) for _, labels in second]
    for (images, labels), (blended, soft) in zip(plain, mixed, strict=True):
        first = int(labels[0]), int(labels[-1])
        if first[0] != first[1]:
            share = float(soft[0, first[0]])
            torch.testing.assert_close(blended[0], images[0] * share + images[-1] * (1 - share))
