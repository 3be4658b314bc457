"""Operations that change colours.

Formulas follow torchvision's transforms of the same name on float tensors, which the tests compare with. They are
made of additions, multiplications, minima and maxima alone, whose results do not depend on where in a batch a pixel
stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quorum.data.operation import Draws, Images, pick, replace, uniform
from quorum.data.prepared import Prepared, Subset

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, as torchvision rounds it


@dataclass(frozen=True)
class Grayscale:
    """RandomGrayscale: ITU-R 601 luma in all three channels."""

    p: float = 0.1

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        return {"chosen": torch.rand(n, generator=generator) < self.p}

    def prepare(self, draws: Draws, size: int) -> Prepared:
        return Prepared(subsets={"chosen": Subset.of(draws["chosen"])})

    def apply(self, images: Images, prepared: Prepared) -> Images:
        chosen = prepared.subsets["chosen"]
        if not len(chosen):
            return images
        picked = pick(images, chosen.there)
        return replace(images, chosen.there, picked.copy_(luma(picked)))


@dataclass(frozen=True)
class ColorJitter:
    """ColorJitter(brightness, contrast, saturation, hue), the four in an order drawn for each image.

    Three of the four are one formula, images * f + (1 - f) * other, where `other` is black, the image's mean luma or
    each pixel's luma. So a turn is one pass over all images, with factors of 1 and 0 for those whose turn is the hue's.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        factors = [
            uniform(n, 1 - reach, 1 + reach, generator) for reach in (self.brightness, self.contrast, self.saturation)
        ]
        factors.append(uniform(n, -self.hue, self.hue, generator))
        return {
            "factors": torch.stack(factors, dim=1),
            "order": torch.rand(n, 4, generator=generator).argsort(dim=1),
        }

    def prepare(self, draws: Draws, size: int) -> Prepared:
        """For each of the turns [n, 4] the three factors of the formula; the shift [n] of the hue; when it is due."""
        factors, order = draws["factors"], draws["order"]
        contrast, saturation, hue = order == 1, order == 2, order == 3
        by_image = factors.gather(1, order).masked_fill(hue, 1)
        values = {
            "by_image": by_image,
            "by_mean": (1 - by_image) * contrast,
            "by_luma": (1 - by_image) * saturation,
            "shift": factors[:, 3].contiguous(),
        }
        return Prepared(values, {f"hue in turn {turn}": Subset.of(hue[:, turn]) for turn in range(4)})

    def apply(self, images: Images, prepared: Prepared) -> Images:
        images = images.clone(memory_format=torch.contiguous_format)
        by_image, by_mean, by_luma = (
            prepared.values[name][:, :, None, None, None] for name in ("by_image", "by_mean", "by_luma")
        )
        for turn in range(4):
            other = luma(images)
            # over rows first: a sum that is split among threads would depend on how many images there are
            constant = other.mean(3, keepdim=True).mean(2, keepdim=True).mul_(by_mean[:, turn])
            other.mul_(by_luma[:, turn]).add_(constant)
            images.mul_(by_image[:, turn]).add_(other).clamp_(0, 1)
            chosen = prepared.subsets[f"hue in turn {turn}"]
            if len(chosen):
                shift = prepared.values["shift"].index_select(0, chosen.there)[:, None, None, None]
                images.index_copy_(0, chosen.there, turn_hue(pick(images, chosen.there), shift))
        return images


def luma(images: Images) -> Images:
    """ITU-R 601 luma [n, 1, h, w], with torchvision's weights."""
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def turn_hue(images: Images, shift: torch.Tensor) -> Images:
    """Turn the hue by `shift` [n, 1, 1, 1], -0.5..0.5 of the colour circle.

    torchvision goes through HSV. With the smallest channel m and the chroma C = largest - m, the hue about red is
    +-(1 + (g + b - r - m) / C) sixths of the circle, with the sign of g - b; a channel whose own colour is at o sixths
    becomes m + C * clamp(||hue - o| - 3| - 1, 0, 1).
    """
    red, green, blue = images.split(1, dim=1)
    least = images.amin(1, keepdim=True)
    chroma = images.amax(1, keepdim=True).sub_(least)
    # where there is no chroma, neither is there a hue, and 0 / tiny is 0
    hue = (green + blue).sub_(red).sub_(least).div_(chroma.clamp_min(1e-12)).add_(1).mul_(1 / 6)
    hue = hue.copysign_(green - blue).add_(shift)
    hue.sub_(hue.round()).mul_(6)  # -3..3
    own = torch.arange(0, 6, 2, device=images.device)[:, None, None]
    return (hue - own).abs_().sub_(3).abs_().sub_(1).clamp_(0, 1).mul_(chroma).add_(least)
