"""Rectangles that are erased."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from quorum.data.augment.draws import Prepared, Subset
from quorum.data.augment.operation import Draws, Fraction, Images, Operation, pick, register_operation, replace, uniform

TRIES = 10


@register_operation("random_erasing")
@dataclass(frozen=True)
class RandomErasing(Operation):
    """RandomErasing(p, scale, ratio, value): a rectangle at random, filled with one gray. The first of ten draws that
    is smaller than the image; where none is, the image stays. Zhong et al. 2020, Random Erasing Data Augmentation.

    Attributes:
        p: share of images that are changed.
        scale: smallest and largest area, as fractions of the image's.
        ratio: smallest and largest height / width, drawn on a logarithmic scale.
        value: the gray, 0..1, before the normalization: 0 is black.
    """

    p: Fraction = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: Fraction = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale={self.scale} must be two fractions above 0 and up to 1, the smaller one first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio={self.ratio} must be two numbers above 0, the smaller one first")

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        chosen = torch.rand(n, generator=generator) < self.p
        area = uniform(n * TRIES, *self.scale, generator).view(n, TRIES) * size**2
        low, high = map(math.log, self.ratio)
        ratio = uniform(n * TRIES, low, high, generator).view(n, TRIES).exp()
        heights, widths = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (heights < size) & (widths < size)
        first = fits.int().argmax(dim=1, keepdim=True)  # 0 where none fits, so that none is chosen
        sides = torch.cat([heights.gather(1, first), widths.gather(1, first)], dim=1)
        sides = torch.where((chosen & fits.any(dim=1))[:, None], sides, 0)
        return {"start": (torch.rand(n, 2, generator=generator) * (size - sides + 1)).floor(), "sides": sides}

    def prepare(self, draws: Draws, size: int) -> Prepared:
        return Prepared(draws, {"erased": Subset.of(draws["sides"].all(dim=1))})

    def apply(self, images: Images, prepared: Prepared) -> Images:
        erased = prepared.subsets["erased"].there
        if not len(erased):
            return images
        start = prepared["start"].index_select(0, erased)[..., None]
        stop = start + prepared["sides"].index_select(0, erased)[..., None]
        place = torch.arange(images.shape[-1], device=images.device)
        inside = (start <= place) & (place < stop)  # [m, 2, s]: rows and columns
        inside = inside[:, 0, :, None] & inside[:, 1, None, :]
        return replace(images, erased, pick(images, erased).masked_fill_(inside[:, None], self.value))
