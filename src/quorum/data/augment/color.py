"""Operations that change colors.

Formulas follow torchvision's transforms of the same name on float tensors, which the tests compare with. They are
made of operations whose result does not depend on where in a batch a pixel is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from quorum.data.augment.draws import Prepared, Subset
from quorum.data.augment.operation import Draws, Fraction, Images, Operation, pick, register_operation, replace, uniform

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, as torchvision rounds it


@register_operation("grayscale")
@dataclass(frozen=True)
class Grayscale(Operation):
    """RandomGrayscale: ITU-R 601 luma in all three channels."""

    p: Fraction = 0.1

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


@register_operation("jitter")
@dataclass(frozen=True)
class ColorJitter(Operation):
    """ColorJitter(brightness, contrast, saturation, hue), the four in an order drawn for each image.

    Three of the four are one formula, images * f + (1 - f) * other, where `other` is black, the image's mean luma or
    each pixel's luma, so a turn is one pass over all images but those whose turn is the hue's.
    """

    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0

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
        by_image = factors.gather(1, order)
        values = {
            "by_image": by_image,
            "by_mean": (1 - by_image) * contrast,
            "by_luma": (1 - by_image) * saturation,
            "shift": factors[:, 3].contiguous(),
        }
        return Prepared(values, {f"hue in turn {turn}": Subset.of(hue[:, turn]) for turn in range(4)})

    def apply(self, images: Images, prepared: Prepared) -> Images:
        """Those whose hue is due in the same turn go through all four turns together: few enough to stay in a cache."""
        images = images.contiguous()
        subsets = [prepared.subsets[f"hue in turn {turn}"].there for turn in range(4)]
        changed = []
        for hue_turn, subset in enumerate(subsets):
            group = images.index_select(0, subset)
            values = {name: value.index_select(0, subset) for name, value in prepared.values.items()}
            for turn in range(4):
                if turn == hue_turn:
                    turn_hue(group, _broadcast(values["shift"]))
                else:
                    _blend(group, *(_broadcast(values[name][:, turn]) for name in ("by_image", "by_mean", "by_luma")))
            changed.append(group)
        return torch.cat(changed).index_select(0, torch.cat(subsets).argsort())


def _broadcast(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]


def _blend(images: Images, by_image: torch.Tensor, by_mean: torch.Tensor, by_luma: torch.Tensor) -> None:
    """Make images, in place, images * by_image + mean luma * by_mean + luma * by_luma; factors are [n, 1, 1, 1]."""
    other = luma(images)
    # over rows first: a sum that is split among threads would depend on how many images there are
    constant = other.mean(3, keepdim=True).mean(2, keepdim=True).mul_(by_mean)
    images.mul_(by_image).add_(other.mul_(by_luma).add_(constant)).clamp_(0, 1)


def luma(images: Images) -> Images:
    """ITU-R 601 luma [n, 1, h, w], with torchvision's weights."""
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def turn_hue(images: Images, shift: torch.Tensor) -> None:
    """Turn the hue, in place, by `shift` [n, 1, 1, 1], -0.5..0.5 of the color circle.

    torchvision goes through HSV. With the smallest channel m and the chroma C = largest - m, the hue about red is
    +-(1 + (g + b - r - m) / C) sixths of the circle, with the sign of g - b; a channel whose own color is at o sixths
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
    torch.sub(hue, own, out=images).abs_().sub_(3).abs_().sub_(1).clamp_(0, 1).mul_(chroma).add_(least)
