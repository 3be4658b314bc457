"""Draws for many images in the form in which operations use them, on the device that the images are on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch

from quorum.data.catalogue import Indices
from quorum.data.device import upload


@dataclass(frozen=True)
class Subset:
    """Some of a number of images.

    Their positions are known on the host too, so that no device has to be asked how many they are.

    Attributes:
        host: [m] positions, ascending.
        there: the same, int64, where the images are.
    """

    host: Indices
    there: torch.Tensor

    @classmethod
    def of(cls, chosen: torch.Tensor) -> Self:
        """The images that are chosen in [n] bools on the CPU."""
        positions = chosen.nonzero()[:, 0]
        return cls(positions.numpy(), positions)

    def __len__(self) -> int:
        return len(self.host)

    def part(self, start: int, stop: int) -> Self:
        """Those from `start` to `stop`, counted from `start`."""
        first, last = np.searchsorted(self.host, (start, stop)).tolist()
        return type(self)(self.host[first:last] - start, self.there[first:last] - start)

    def to(self, device: torch.device) -> Self:
        """The same, for images on a device."""
        return type(self)(self.host, upload(self.there, device))


@dataclass(frozen=True)
class Prepared:
    """What one operation does to each of n images.

    Attributes:
        values: by name, [n, ...] where the images are.
        subsets: by name, the images that something is done to.
    """

    values: dict[str, torch.Tensor] = field(default_factory=dict)
    subsets: dict[str, Subset] = field(default_factory=dict)

    def __getitem__(self, name: str) -> torch.Tensor:
        """A value by name, [n, ...] where the images are."""
        return self.values[name]

    def part(self, start: int, stop: int) -> Self:
        """That for the images from `start` to `stop`."""
        return type(self)(
            {name: value[start:stop] for name, value in self.values.items()},
            {name: subset.part(start, stop) for name, subset in self.subsets.items()},
        )

    def to(self, device: torch.device) -> Self:
        """The same, for images on a device."""
        return type(self)(
            {name: upload(value, device) for name, value in self.values.items()},
            {name: subset.to(device) for name, subset in self.subsets.items()},
        )
