"""RandAugment and TrivialAugment: changes at random out of fourteen, drawn for each image.

As with torchvision's of the same names, every change begins and ends with bytes. With the same draws the results are
torchvision's but for rounding: a move may take the other neighbor on a boundary between two pixels, and a saturation
that falls on a whole number may become the one below it (1/255).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from quorum.data.augment.color import luma
from quorum.data.augment.draws import Prepared, Subset
from quorum.data.augment.geometry import sample
from quorum.data.augment.operation import Draws, Images, Operation, register_operation, to_float

BINS = 31  # magnitudes from the first to the last of a kind
MOVES = ("shear x", "shear y", "translate x", "translate y", "rotate")
SIGNED = (*MOVES, "brightness", "color", "contrast", "sharpness")  # their magnitudes have a sign at random
KINDS = ("identity", *SIGNED, "posterize", "solarize", "autocontrast", "equalize")

Pixels = torch.Tensor  # uint8 [m, 3, s, s], contiguous
Magnitudes = torch.Tensor  # float32 [m, 1, 1, 1]


class AutoAugment(Operation):
    """Changes of an image one after the other, each of a kind at random."""

    takes_bytes: ClassVar[bool] = True

    @property
    @abstractmethod
    def changes(self) -> int:
        """How many changes are made to an image."""

    @abstractmethod
    def most(self, size: int) -> dict[str, tuple[float, float]]:
        """First and last magnitude of each kind that has one, for images of `size` x `size` pixels: slope of a shear,
        pixels of a translation, degrees, 1 - factor of a blend, bits of posterize, threshold of solarize."""

    @abstractmethod
    def bins(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Which of the BINS magnitudes each change has, int64."""

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        shape, most = (n, self.changes), self.most(size)
        kind = torch.randint(len(KINDS), shape, generator=generator)
        sign = torch.randint(2, shape, generator=generator) * 2 - 1
        table = torch.stack([torch.linspace(*most.get(name, (0, 0)), BINS) for name in KINDS])
        magnitude = table[kind, self.bins(shape, generator)]
        signed = torch.tensor([name in SIGNED for name in KINDS])[kind]
        return {"kind": kind, "magnitude": torch.where(signed, magnitude * sign, magnitude)}

    def prepare(self, draws: Draws, size: int) -> Prepared:
        """The magnitudes [n, changes], the inverse maps `theta` [n, changes, 2, 3] of moves as those of `Affine`, and
        for each change the images that are moved and those of each other kind."""
        kind, magnitude = draws["kind"], draws["magnitude"]
        subsets = {}
        for change in range(self.changes):
            moved = (kind[:, change] >= KINDS.index(MOVES[0])) & (kind[:, change] <= KINDS.index(MOVES[-1]))
            subsets[f"moves {change}"] = Subset.of(moved)
            for name in COLORS:
                subsets[f"{name} {change}"] = Subset.of(kind[:, change] == KINDS.index(name))
        return Prepared({"magnitude": magnitude, "theta": inverse_maps(kind, magnitude, size)}, subsets)

    def apply(self, images: Images, prepared: Prepared) -> Images:
        pixels = images if images.dtype == torch.uint8 else (images * 255).round_().byte()
        pixels = pixels.clone(memory_format=torch.contiguous_format)
        for change in range(self.changes):
            theta, magnitude = prepared["theta"][:, change], prepared["magnitude"][:, change, None, None, None]
            moved = prepared.subsets[f"moves {change}"].there
            if len(moved):
                picked = pixels.index_select(0, moved).float()
                pixels.index_copy_(0, moved, sample(picked, theta.index_select(0, moved)).byte())
            for name, color in COLORS.items():
                chosen = prepared.subsets[f"{name} {change}"].there
                if len(chosen):
                    changed = color(pixels.index_select(0, chosen), magnitude.index_select(0, chosen))
                    pixels.index_copy_(0, chosen, changed)
        return pixels if images.dtype == torch.uint8 else to_float(pixels)


@register_operation("randaugment")
@dataclass(frozen=True)
class RandAugment(AutoAugment):
    """RandAugment(n, magnitude). Cubuk et al. 2020, RandAugment: Practical Automated Data Augmentation.

    Attributes:
        n: changes of an image.
        magnitude: of all of them, of 0 to 30.
    """

    n: Annotated[int, Field(ge=1, le=16)] = 2
    magnitude: Annotated[int, Field(ge=0, lt=BINS)] = 9

    @property
    def changes(self) -> int:
        return self.n

    def most(self, size: int) -> dict[str, tuple[float, float]]:
        return _ranges(shear=0.3, translate=150 / 331 * size, degrees=30, blend=0.9, bits=4)

    def bins(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        return torch.full(shape, self.magnitude)


@register_operation("trivial_augment")
@dataclass(frozen=True)
class TrivialAugment(AutoAugment):
    """TrivialAugmentWide: one change of a magnitude at random. Müller and Hutter 2021, TrivialAugment."""

    @property
    def changes(self) -> int:
        return 1

    def most(self, size: int) -> dict[str, tuple[float, float]]:
        return _ranges(shear=0.99, translate=32, degrees=135, blend=0.99, bits=2)

    def bins(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        return torch.randint(BINS, shape, generator=generator)


def _ranges(shear: float, translate: float, degrees: float, blend: float, bits: int) -> dict[str, tuple[float, float]]:
    last = (shear, shear, translate, translate, degrees, blend, blend, blend, blend)
    ranges = {name: (0.0, most) for name, most in zip(SIGNED, last, strict=True)}
    return {**ranges, "posterize": (8.0, bits), "solarize": (1.0, 0.0)}


def inverse_maps(kind: torch.Tensor, magnitude: torch.Tensor, size: int) -> torch.Tensor:
    """The inverse maps [..., 2, 3] of moves, from pixels about the center to grid_sample's -1..1; the identity for what
    is no move. Shears leave the first row or column where it is, as those of AutoAugment do."""
    shear_x, shear_y, x, y, degrees = (
        torch.where(kind == KINDS.index(name), magnitude.double(), 0.0) for name in MOVES
    )
    angle = torch.deg2rad(-degrees)
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = [cos, sin + shear_x, shear_x * size / 2 - x.trunc()]
    bottom = [shear_y - sin, cos, shear_y * size / 2 - y.trunc()]
    maps = torch.stack([torch.stack(top, dim=-1), torch.stack(bottom, dim=-1)], dim=-2)
    return (maps * (2 / size)).float()


def _blend(pixels: torch.Tensor, other: torch.Tensor, magnitude: Magnitudes) -> Pixels:
    """Pixels times 1 + magnitude, less the magnitude times the other; what is behind the point is dropped."""
    return (pixels * (1 + magnitude)).sub_(other * magnitude).clamp_(0, 255).byte()


def _gray(pixels: Pixels) -> torch.Tensor:
    return luma(pixels.float()).floor_()


def brightness(pixels: Pixels, magnitude: Magnitudes) -> Pixels:
    """Away from black."""
    return (pixels * (1 + magnitude)).clamp_(0, 255).byte()


def color(pixels: Pixels, magnitude: Magnitudes) -> Pixels:
    """Away from each pixel's gray: the saturation."""
    return _blend(pixels, _gray(pixels), magnitude)


def contrast(pixels: Pixels, magnitude: Magnitudes) -> Pixels:
    """Away from the image's mean gray."""
    gray = _gray(pixels)
    # over rows first: a sum that is split among threads would depend on how many images there are
    mean = gray.sum(3, keepdim=True).sum(2, keepdim=True) / gray[0].numel()
    return _blend(pixels, mean, magnitude)


def sharpness(pixels: Pixels, magnitude: Magnitudes) -> Pixels:
    """Away from the mean of the 3 x 3 pixels around, its middle counted five times; the border stays."""
    values = pixels.float()
    rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    middle = values[:, :, 1:-1, 1:-1]
    blurred = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]).add_(middle, alpha=4).div_(13).round_()
    changed = pixels.clone()
    changed[:, :, 1:-1, 1:-1] = (middle - blurred).mul_(magnitude).add_(middle).clamp_(0, 255).byte()
    return changed


def posterize(pixels: Pixels, bits: Magnitudes) -> Pixels:
    """The first bits of each byte."""
    dropped = (8 - bits.round()).byte()
    return pixels >> dropped << dropped


def solarize(pixels: Pixels, threshold: Magnitudes) -> Pixels:
    """Inverted from a threshold on, which is a fraction of white."""
    return torch.where(pixels >= threshold * 255, 255 - pixels, pixels)


def autocontrast(pixels: Pixels, _: Magnitudes) -> Pixels:
    """From black to white, each channel by itself."""
    from torchvision.transforms.v2 import functional  # two seconds to import, for trainings that do without

    return functional.autocontrast(pixels)


def equalize(pixels: Pixels, _: Magnitudes) -> Pixels:
    """As many pixels of each brightness, each channel by itself."""
    from torchvision.transforms.v2 import functional

    return functional.equalize(pixels)


COLORS: dict[str, Callable[[Pixels, Magnitudes], Pixels]] = {
    "brightness": brightness,
    "color": color,
    "contrast": contrast,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "autocontrast": autocontrast,
    "equalize": equalize,
}
