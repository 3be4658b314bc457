"""Batches for the rest of a network whose frozen beginning was computed beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from quorum.config import Balance
from quorum.engine.activations import Activations, ActivationStore
from quorum.engine.device import autocast, numerics_class
from quorum.engine.epoch import Batch
from quorum.engine.frozen import CutNetwork


class BatchSource(Protocol):
    """Where batches come from (see quorum.data.batches)."""

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
        """The training batches of an epoch."""

    def images_per_epoch(self, batch_size: int, *, drop_last: bool = True, balance: Balance = "none") -> int:
        """Images that an epoch trains on."""

    def class_weights(self) -> torch.Tensor:
        """What each class weighs in the loss of `balance=weights`, float32 [classes], on the device."""

    def evaluation(self, split: str) -> Iterator[Batch]:
        """The batches of a split, in order."""

    def plain_training(self) -> Iterator[Batch]:
        """The training split in its own order, in batches as large as those of evaluation, not augmented."""

    def labels_of(self, split: str) -> Sequence[torch.Tensor]:
        """The labels of each batch of a split in its own order, int64 [n] on the device."""

    def order(
        self, *, seed: int, epoch: int, batch_size: int, drop_last: bool = True, balance: Balance = "none"
    ) -> torch.Tensor:
        """int64 [m]: places in the training split of the images that an epoch trains on, in its order; on the CPU."""

    def content(self, split: str) -> str:
        """All that the images of a split and their preprocessing are."""


@dataclass
class CutBatches:
    """Batches of activations.

    Attributes:
        network: in two parts, on the device.
        batches: its input.
        precision: of its arithmetic.
        store: where activations are kept; None keeps them in memory, for this training alone.
        what: the network and its data, in words.
        code: version of the code that computes.
    """

    network: CutNetwork
    batches: BatchSource
    precision: str
    store: ActivationStore | None
    what: str
    code: str
    _found: dict[str, Activations | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._device = next(self.network.rest.parameters()).device
        self._names = (self.network.digest(), self.precision, numerics_class(self._device), self.code)

    def training(self, order: torch.Tensor, batch_size: int) -> Iterator[Batch]:
        """Training batches from kept activations; the images are neither augmented nor mixed.

        Args:
            order: int64 [m], places in the training split of the images of an epoch; on the CPU.
            batch_size: images in a batch.
        """
        activations = self._of("train")
        if activations is None:  # they did fit when the training was planned
            activations = self._found["train"] = Activations.of(self._blocks("train"))
        labels = torch.cat(tuple(self.batches.labels_of("train")))
        for places in order.split(batch_size):
            yield activations.pick(places, self._device), labels[places.to(self._device)]

    def renewed(self) -> CutBatches:
        """What takes its place once weights were loaded: itself, where those of the beginning are as they were."""
        other = dataclasses.replace(self, _found={})
        return self if other._names == self._names else other

    def has(self, split: str) -> bool:
        """Whether the activations of a split are kept; they are computed for it. There may be too many."""
        return self._of(split) is not None

    def evaluation(self, split: str) -> Iterator[Batch]:
        """A split that it has, in order, in the batches of a whole network: the logits are the same bit for bit."""
        activations = self._of(split)
        assert activations is not None
        start = 0
        for labels in self.batches.labels_of(split):
            yield activations.part(start, start + len(labels), self._device), labels
            start += len(labels)

    def _of(self, split: str) -> Activations | None:
        if split not in self._found:
            self._found[split] = self._get(split)
        return self._found[split]

    def _get(self, split: str) -> Activations | None:
        if self.store is None:
            return Activations.of(self._blocks(split))
        images = sum(map(len, self.batches.labels_of(split)))
        names = (*self._names, self.batches.content(split), split)
        return self.store.get(*names, images=images, blocks=self._blocks(split), what=f"{self.what}, {split}")

    @torch.no_grad()
    def _blocks(self, split: str) -> Iterator[torch.Tensor]:
        """The activations of each batch of a split, on the CPU."""
        self.network.beginning.eval()
        batches = self.batches.plain_training() if split == "train" else self.batches.evaluation(split)
        for images, _ in batches:
            with autocast(self.precision, self._device):
                yield self.network.beginning(images).cpu()
