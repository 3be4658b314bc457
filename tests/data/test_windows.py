"""The way of images on a GPU: that it gives what the CPU's gives, and that no batch waits for the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from quorum.data import batches as batches_module
from quorum.data import load_catalogue, preprocess
from quorum.data import windows as windows_module
from quorum.data.augment.policies import POLICIES, policy
from quorum.data.batches import Batch, Batches
from quorum.data.crop import Fill
from quorum.data.pixel_store import PixelStore, open_store
from quorum.data.preprocess import Preprocess
from quorum.data.resize import resize_in_float
from quorum.data.windows import DeviceReader, HostReader, WindowReader, Windows, crop_tensor, read_resized, reader_on
from quorum.randomness import generator

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
NAMES = ["none", "flip", *POLICIES]


@pytest.fixture
def one_size(tmp_path: Path) -> PixelStore:
    """Digits of 8 x 8 pixels, 100 of them for training."""
    store = open_store(load_catalogue("digits", Path()), tmp_path / "stores")
    return replace(store, splits={**store.splits, "train": store.splits["train"][:100]})


@pytest.fixture
def differing(image_tree: Path, tmp_path: Path) -> PixelStore:
    """Images of 20 x 24 pixels and more."""
    store = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    assert store.size is None
    return store


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take images from a copy of all bytes from now on, as on a GPU."""
    return lambda: monkeypatch.setattr(
        batches_module, "reader_on", lambda device, store: DeviceReader.of(store, device)
    )


def all_of(batches: Batches, augment: str) -> Batch:
    """What an epoch trains on, and then what it evaluates."""
    parts = [*batches.training(seed=0, epoch=1, batch_size=8, augment=augment), *batches.evaluation("test")]
    images, labels = zip(*parts, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.family
@pytest.mark.parametrize("augment", NAMES)
@pytest.mark.parametrize("resize", [0, 12, 16, 20])
def test_the_same_batches_of_images_of_one_size(
    one_size: PixelStore, augment: str, resize: int, on_device: Callable[[], None]
) -> None:
    batches = Batches.alike(one_size, Preprocess(16, resize, "half"), CPU)
    images, labels = all_of(batches, augment)
    on_device()
    others, other_labels = all_of(batches, augment)
    assert torch.equal(images, others)
    assert torch.equal(labels, other_labels)


@pytest.mark.family
@pytest.mark.parametrize("augment", NAMES)
@pytest.mark.parametrize("size", [16, 30])  # windows within the images, and beyond them
def test_the_same_batches_of_images_of_differing_sizes(
    differing: PixelStore, augment: str, size: int, on_device: Callable[[], None]
) -> None:
    batches = Batches.alike(differing, Preprocess(size, 0, "imagenet"), CPU)
    images, labels = all_of(batches, augment)
    on_device()
    others, other_labels = all_of(batches, augment)
    assert torch.equal(images, others)
    assert torch.equal(labels, other_labels)


def test_a_resize_without_a_kernel_for_bytes_differs_by_its_rounding(
    one_size: PixelStore, on_device: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = Batches.alike(one_size, Preprocess(16, 20, "half"), CPU)
    images, _ = all_of(batches, "flip")
    on_device()
    monkeypatch.setattr(
        windows_module, "resize_batch", lambda images, shorter: resize_in_float(images, (shorter, shorter))
    )
    others, _ = all_of(batches, "flip")
    assert (images - others).abs().max() < 1.01 / 255 / 0.5


@pytest.mark.parametrize("fill", ["zeros", "edge"])
def test_windows_of_a_batch_are_those_of_the_store(one_size: PixelStore, fill: Fill) -> None:
    positions, tops, lefts = np.array([4, 2, 9]), np.array([-3, 0, 2]), np.array([1, -1, 5])
    windows = Windows.on(CPU, positions, tops, lefts, 6, fill)
    host = HostReader(one_size, CPU)
    whole = host.whole(windows)
    assert torch.equal(crop_tensor(whole, windows), host.crop(whole, windows))
    assert torch.equal(crop_tensor(whole, windows), host.read(windows))


@pytest.mark.family
@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="this torch knows no CUDA")
@pytest.mark.parametrize("augment", NAMES)
@pytest.mark.parametrize("kind", [DeviceReader.of, HostReader])
def test_no_step_asks_a_device_for_what_is_on_it(
    one_size: PixelStore,
    differing: PixelStore,
    augment: str,
    kind: Callable[[PixelStore, torch.device], WindowReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every step on made-up CUDA tensors, which have a shape and no content: mixing devices, .item(), .nonzero() and
    indexing by a mask raise."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    varied, n = policy(augment), 40
    drawn = varied.draw(n, 16, generator(0, 1, "augment"))
    places, starts = np.arange(n), np.full(n, -1)
    for store, resize in ((one_size, 0), (one_size, 16), (one_size, 20), (differing, 0)):
        with FakeTensorMode(allow_non_fake_inputs=True):
            images_of = kind(store, CUDA)
            windows = Windows.on(CUDA, places, starts, starts, 16, "edge").part(3, 20)
            prepared = [change.to(CUDA).part(3, 20) for change in drawn]
            images = varied.apply(read_resized(images_of, resize, windows), prepared)
            images = Preprocess(16, resize, "half").standardize(images)
        preprocess._constants.cache_clear()
        assert images.shape == (17, 3, 16, 16)
        assert images.device == CUDA


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("augment", NAMES)
@pytest.mark.parametrize("fits", [True, False])
def test_no_batch_waits_for_a_gpu(
    one_size: PixelStore, augment: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fits:
        monkeypatch.setattr(windows_module, "RESIDENT_SHARE", 0.0)
    assert isinstance(reader_on(CUDA, one_size), DeviceReader if fits else HostReader)
    monkeypatch.setattr(batches_module, "PIXELS_AT_ONCE_ON_DEVICE", 16 * 16 * 32)
    batches = Batches.alike(one_size, Preprocess(16, 16, "half"), CUDA)
    epoch = batches.training(seed=0, epoch=1, batch_size=8, augment=augment)
    parts = [next(epoch)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        parts.extend(epoch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = list(replace(batches, device=CPU).training(seed=0, epoch=1, batch_size=8, augment=augment))
    for (images, labels), (others, other_labels) in zip(parts, expected, strict=True):
        assert torch.equal(labels.cpu(), other_labels)
        # a byte of a resize may be one off, and the nearest pixel the other one on a boundary
        assert ((images.cpu() - others).abs() > 0.02).float().mean() < 0.02
