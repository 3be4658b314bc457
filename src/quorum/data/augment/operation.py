"""What every operation of an augmentation has in common."""

from __future__ import annotations

from typing import Protocol

import torch

from quorum.data.augment.draws import Prepared

Images = torch.Tensor  # float32 [n, 3, s, s], values 0..1
Draws = dict[str, torch.Tensor]  # every value [n, ...], on the CPU


class Operation(Protocol):
    """One kind of change to square images, drawn for each of them."""

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        """Parameters for n images of `size` x `size` pixels."""

    def prepare(self, draws: Draws, size: int) -> Prepared:
        """The parameters as `apply` needs them, still on the CPU."""

    def apply(self, images: Images, prepared: Prepared) -> Images:
        """The images changed as drawn, each as if it were alone; the argument is left as it was."""


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """[n] draws from [low, high)."""
    return torch.rand(n, generator=generator) * (high - low) + low


def pick(images: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Some of [n, 3, h, w] images, in the memory layout that they have."""
    if images.is_contiguous():
        return images.index_select(0, positions)
    # index_select would lay them out anew, which takes several times as long
    return images.permute(0, 2, 3, 1).index_select(0, positions).permute(0, 3, 1, 2)


def replace(images: Images, positions: torch.Tensor, changed: Images) -> Images:
    """The images with those at [m] positions replaced, in the memory layout that they have."""
    copy = images.clone()
    layout = torch.contiguous_format if copy.is_contiguous() else torch.channels_last
    copy[positions] = changed.contiguous(memory_format=layout)
    return copy
