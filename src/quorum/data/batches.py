"""Batches of input from a pixel store: in training order with augmentation, or a split as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from quorum.data.augment import POLICIES, Policy
from quorum.data.catalogue import Indices
from quorum.data.crop import centre_starts, gather, random_starts
from quorum.data.preprocess import Preprocess, to_channels_last
from quorum.data.resize import resize_batch, resized_shape
from quorum.data.store import PixelStore
from quorum.errors import DataError, unknown
from quorum.randomness import generator

EVALUATION_BATCH = 256  # images; evaluation has no gradient, so its batch size changes speed alone

Batch = tuple[torch.Tensor, torch.Tensor]  # float32 [n, 3, s, s] channels last, int64 [n]


def policy(name: str) -> Policy:
    """An augmentation policy by name. Raises DataError for a name that is none."""
    if name not in POLICIES:
        raise DataError(unknown("augmentation policy", name, POLICIES), setting="augment")
    return POLICIES[name]


@dataclass(frozen=True)
class Batches:
    """The batches that one training or evaluation sees.

    Attributes:
        store: decoded images. Where their sizes differ they are already resized as `preprocess` asks.
        preprocess: what makes input of them for evaluation.
        device: where batches go.
        training_store: the same images, resized as `training_resize` asks where their sizes differ.
        training_resize: shorter side, in pixels, of training images before their crop; 0 for no resize.
    """

    store: PixelStore
    preprocess: Preprocess
    device: torch.device
    training_store: PixelStore
    training_resize: int

    @classmethod
    def alike(cls, store: PixelStore, preprocess: Preprocess, device: torch.device) -> Self:
        """Batches whose training images are resized as those of the other splits."""
        return cls(store, preprocess, device, store, preprocess.resize)

    def count(self, batch_size: int) -> int:
        """Training batches in an epoch; the last partial one is dropped.

        Raises:
            DataError: where the batch is larger than the training split.
        """
        images = len(self.store.splits["train"])
        if batch_size > images:
            raise DataError(
                f"batch_size: {batch_size} is more than the {images} training images of {self.store.name}",
                setting="batch_size",
            )
        return images // batch_size

    def training(self, *, seed: int, epoch: int, batch_size: int, augment: str) -> Iterator[Batch]:
        """The training split in the order of (seed, epoch), augmented by the draws of (seed, epoch)."""
        varied = policy(augment)
        store = self.training_store
        positions = store.splits["train"]
        order = torch.randperm(len(positions), generator=generator(seed, epoch, "order")).numpy()
        draws = generator(seed, epoch, "augment")
        for i in range(self.count(batch_size)):
            chosen = positions[order[i * batch_size : (i + 1) * batch_size]]
            pixels = self._windows(store, self.training_resize, chosen, draws if varied.crop == "random-edge" else None)
            images = varied(pixels.to(self.device).float().div_(255), draws)
            images = self.preprocess.standardise(images).contiguous(memory_format=torch.channels_last)
            yield images, self._labels(chosen)

    def evaluation(self, split: str) -> Iterator[Batch]:
        """A split in its own order, centre crop, not augmented."""
        positions = self.store.splits[split]
        for start in range(0, len(positions), EVALUATION_BATCH):
            chosen = positions[start : start + EVALUATION_BATCH]
            pixels = self._windows(self.store, self.preprocess.resize, chosen)
            yield self.preprocess.scale(pixels.to(self.device)), self._labels(chosen)

    def _labels(self, positions: Indices) -> torch.Tensor:
        return torch.from_numpy(self.store.labels[positions]).to(self.device)

    def _windows(
        self, store: PixelStore, resize: int, positions: Indices, draws: torch.Generator | None = None
    ) -> torch.Tensor:
        """Crops as uint8 [n, 3, s, s]: at random with repeated edges where there are draws, else in the centre."""
        size = self.preprocess.input_size
        images = [store.image(i) for i in positions]
        heights, widths = store.heights[positions], store.widths[positions]
        if store.size and resize:
            resized = resize_batch(to_channels_last(np.stack(images)), resize)
            shape = resized_shape(*store.size, resize)
            images = list(resized.permute(0, 2, 3, 1).numpy())
            heights, widths = np.full(len(images), shape[0]), np.full(len(images), shape[1])
        if draws is not None:
            tops, lefts = random_starts(heights, size, draws), random_starts(widths, size, draws)
            return to_channels_last(gather(images, tops, lefts, size, "edge"))
        return to_channels_last(gather(images, centre_starts(heights, size), centre_starts(widths, size), size))
