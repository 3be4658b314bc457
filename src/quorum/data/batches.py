"""Batches of input from a pixel store: in training order with augmentation, or a split as it is."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from quorum.config import Balance
from quorum.data.augment.mixing import Mixing, mixing
from quorum.data.augment.operation import Crop, RandomCrop, RandomResizedCrop, to_float
from quorum.data.augment.policies import policy
from quorum.data.balance import class_weights, epoch_order, images_of_each_class
from quorum.data.catalogue import Indices
from quorum.data.crop import center_starts, random_boxes, random_starts
from quorum.data.device import upload
from quorum.data.folds import fold_of
from quorum.data.pixel_store import PixelStore
from quorum.data.preprocess import Preprocess
from quorum.data.resize import resized_shape
from quorum.data.windows import Windows, read_boxes, read_resized, reader_on
from quorum.errors import DataError, shown
from quorum.randomness import generator, numpy_generator

# 2**19 pixels are 6 MB of float32. With fewer the calls themselves cost, with more a CPU's caches are left (2**15 to
# 2**21, inputs of 32, 64 and 224 pixels, one thread and two); a GPU has calls to save and no such caches.
PIXELS_AT_ONCE = 2**19
PIXELS_AT_ONCE_ON_DEVICE = 2**22
EVALUATION_BATCH = 256  # images; evaluation has no gradient, so its batch size changes speed alone

# float32 [n, 3, s, s] channels last; labels int64 [n], or float32 [n, classes] where images are mixed
Batch = tuple[torch.Tensor, torch.Tensor]


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

    def of_fold(self, folds: int, seed: int) -> Self:
        """The same with the splits of a fold, see `fold_of`."""
        store, training_store = (fold_of(one, folds, seed) for one in (self.store, self.training_store))
        return dataclasses.replace(self, store=store, training_store=training_store)

    def images_per_epoch(self, batch_size: int, *, drop_last: bool = True, balance: Balance = "none") -> int:
        """Images that an epoch trains on.

        Args:
            batch_size: images in a batch.
            drop_last: whether a last batch that is not full is left out.
            balance: see `quorum.data.balance`.

        Raises:
            DataError: where that leaves none, since the batch is larger than what an epoch draws, and where classes
                are to be balanced of which one has no training image.
        """
        images = int(images_of_each_class(self._class_counts(balance), balance).sum())
        if not drop_last:
            return images
        if batch_size > images:
            drawn = f" that balance={balance} draws" if balance in ("under", "over") else ""
            raise DataError(
                f"batch_size: {batch_size} is more than the {images} training images of {self.store.name}{drawn}",
                setting="batch_size",
            )
        return images // batch_size * batch_size

    def class_weights(self) -> torch.Tensor:
        """What each class weighs in the loss, float32 [classes], where batches go; see `quorum.data.balance`.

        Raises:
            DataError: where a class has no training image.
        """
        return upload(class_weights(self._class_counts("weights")), self.device)

    def _class_counts(self, balance: Balance) -> Indices:
        """Training images of each class, int64 [classes]. None of them is 0 where classes are to be balanced."""
        store = self.store
        counts = np.bincount(store.labels[store.splits["train"]], minlength=len(store.classes))
        if balance != "none" and not counts.all():
            empty = store.classes[int(counts.argmin())]
            raise DataError(
                f"balance: {balance!r} needs training images of every class; {store.name} has none of {shown(empty)}",
                setting="balance",
            )
        return counts

    def training(
        self,
        *,
        seed: int,
        epoch: int,
        batch_size: int,
        augment: str,
        drop_last: bool = True,
        balance: Balance = "none",
        mix: str = "none",
    ) -> Iterator[Batch]:
        """The training split in the order of (seed, epoch), augmented by the draws of (seed, epoch).

        Order and draws are made for the whole split, so what the k-th image of an epoch looks like depends neither on
        the batch size nor on what is computed at once.
        """
        varied, size = policy(augment), self.preprocess.input_size
        count = self.images_per_epoch(batch_size, drop_last=drop_last, balance=balance)
        draws = generator(seed, epoch, "augment")
        chosen = self.training_store.splits["train"][self._order(seed, epoch, balance)]
        cut = self._cut(chosen, varied.crop, draws)
        prepared = [drawn.to(self.device) for drawn in varied.draw(len(chosen), size, draws)]

        def read(start: int, stop: int) -> torch.Tensor:
            return varied.apply(cut(start, stop), [drawn.part(start, stop) for drawn in prepared])

        batches = self._batches(read, chosen[:count], batch_size)
        if (kind := mixing(mix)) is None:
            yield from batches
        else:
            yield from self._mixed(batches, kind, numpy_generator(seed, epoch, "mix"))

    def _mixed(self, batches: Iterator[Batch], kind: Mixing, draws: np.random.Generator) -> Iterator[Batch]:
        """Whole batches mixed, one draw for each: what is mixed depends on the batch size."""
        for images, labels in batches:
            mix = kind.draw(draws, self.preprocess.input_size)
            yield mix.images(images), mix.labels(labels, len(self.store.classes))

    def order(
        self, *, seed: int, epoch: int, batch_size: int, drop_last: bool = True, balance: Balance = "none"
    ) -> torch.Tensor:
        """Places in the training split, int64 [m] on the CPU, of the images that `training` goes through."""
        count = self.images_per_epoch(batch_size, drop_last=drop_last, balance=balance)
        return torch.from_numpy(self._order(seed, epoch, balance)[:count])

    def _order(self, seed: int, epoch: int, balance: Balance) -> Indices:
        labels = self.store.labels[self.store.splits["train"]]
        return epoch_order(labels, balance, seed=seed, epoch=epoch)

    def evaluation(self, split: str) -> Iterator[Batch]:
        """A split in its own order, center crop, not augmented."""
        return self._plain(self.store, self.preprocess.resize, split)

    def plain_training(self) -> Iterator[Batch]:
        """The training split in its own order, in evaluation's batches, as `training` gives it without augmentation."""
        return self._plain(self.training_store, self.training_resize, "train")

    def labels_of(self, split: str) -> Sequence[torch.Tensor]:
        """The labels of each batch of a split in its own order, int64 [n] on the device."""
        labels = torch.from_numpy(self.store.labels[self.store.splits[split]])
        return upload(labels, self.device).split(EVALUATION_BATCH)

    def content(self, split: str) -> str:
        """All that the images of a split in its own order depend on: the data, and how it becomes input."""
        resize = self.training_resize if split == "train" else self.preprocess.resize
        positions = hashlib.sha256(self.store.splits[split].tobytes()).hexdigest()  # a fold has the digest of its data
        return f"{self.store.digest} {positions} {self.preprocess} {resize}"

    def _plain(self, store: PixelStore, resize: int, split: str) -> Iterator[Batch]:
        positions = store.splits[split]
        windows = self._windows(store, resize, positions)
        reader = reader_on(self.device, store)

        def read(start: int, stop: int) -> torch.Tensor:
            return to_float(read_resized(reader, resize, windows.part(start, stop)))

        yield from self._batches(read, positions, EVALUATION_BATCH)

    def _cut(self, chosen: Indices, crop: Crop | None, draws: torch.Generator) -> Callable[[int, int], torch.Tensor]:
        """What cuts input uint8 [n, 3, s, s] out of the training images at `chosen[start:stop]`."""
        store, resize, size = self.training_store, self.training_resize, self.preprocess.input_size
        if isinstance(crop, RandomResizedCrop):
            boxes = random_boxes(*_sides(store, resize, chosen), crop.scale, crop.ratio, draws)
            return lambda start, stop: read_boxes(
                store, chosen[start:stop], boxes.part(start, stop), size, resize, self.device
            )
        windows, reader = self._windows(store, resize, chosen, crop, draws), reader_on(self.device, store)
        return lambda start, stop: read_resized(reader, resize, windows.part(start, stop))

    def _windows(
        self,
        store: PixelStore,
        resize: int,
        positions: Indices,
        crop: RandomCrop | None = None,
        draws: torch.Generator | None = None,
    ) -> Windows:
        """Windows at random, by the draws of a crop, else in the center."""
        size = self.preprocess.input_size
        heights, widths = _sides(store, resize, positions)
        if crop is None or draws is None:
            tops, lefts = center_starts(heights, size), center_starts(widths, size)
            return Windows.on(self.device, positions, tops, lefts, size, "zeros")
        tops, lefts = random_starts(heights, size, draws), random_starts(widths, size, draws)
        return Windows.on(self.device, positions, tops, lefts, size, crop.fill)

    def _batches(
        self, read: Callable[[int, int], torch.Tensor], positions: Indices, batch_size: int
    ) -> Iterator[Batch]:
        """Batches of the images at some positions; `read` makes values 0..1 [n, 3, s, s] of those from start to stop.

        They are made several batches in one go, and in pieces where a batch is large; neither changes a bit of them.
        """
        size = self.preprocess.input_size
        labels = upload(torch.from_numpy(self.store.labels[positions]), self.device)
        # Images of one size are read whole before they are resized, and may be larger than what is made of them.
        piece = images_at_once(max(size, *(self.store.size or (0,))), self.device)
        chunk = batch_size * max(1, piece // batch_size)
        for start in range(0, len(positions), chunk):
            stop = min(start + chunk, len(positions))
            images = torch.empty(stop - start, size, size, 3, device=self.device).permute(0, 3, 1, 2)
            for first in range(start, stop, piece):
                last = min(first + piece, stop)
                images[first - start : last - start] = self.preprocess.standardize(read(first, last))
            yield from zip(images.split(batch_size), labels[start:stop].split(batch_size), strict=True)


def _sides(store: PixelStore, resize: int, positions: Indices) -> tuple[Indices, Indices]:
    """Heights and widths, int64 [n], of the images at some positions once they are resized."""
    if store.size and resize:
        height, width = (np.full(len(positions), side) for side in resized_shape(*store.size, resize))
        return height, width
    return store.heights[positions], store.widths[positions]


def images_at_once(size: int, device: torch.device) -> int:
    """How many images an operation is applied to in one call."""
    return max(1, (PIXELS_AT_ONCE if device.type == "cpu" else PIXELS_AT_ONCE_ON_DEVICE) // size**2)
