"""Augmentation of a whole batch at once, with a separate draw for every image.

Each operation draws its parameters on the CPU (so that they are the same on every device) and applies them with
tensor operations where the batch is. Formulas follow torchvision's transforms of the same name on float tensors,
which the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

Images = torch.Tensor  # float32 [n, 3, h, w], values 0..1
Draws = dict[str, torch.Tensor]  # every value [n, ...], on the CPU


class Operation(Protocol):
    """One kind of change to a batch."""

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        """Parameters for n images of `size` x `size` pixels."""

    def apply(self, images: Images, draws: Draws) -> Images:
        """The images changed as drawn; the argument is left as it was."""


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """[n] draws from [low, high)."""
    return torch.rand(n, generator=generator) * (high - low) + low


@dataclass(frozen=True)
class Flip:
    """RandomHorizontalFlip (axis -1) or RandomVerticalFlip (axis -2)."""

    axis: int
    p: float = 0.5

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        return {"chosen": torch.rand(n, generator=generator) < self.p}

    def apply(self, images: Images, draws: Draws) -> Images:
        chosen = draws["chosen"].to(images.device)[:, None, None, None]
        return torch.where(chosen, images.flip(self.axis), images)


@dataclass(frozen=True)
class Grayscale:
    """RandomGrayscale: ITU-R 601 luma in all three channels."""

    p: float = 0.1

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        return {"chosen": torch.rand(n, generator=generator) < self.p}

    def apply(self, images: Images, draws: Draws) -> Images:
        chosen = draws["chosen"].to(images.device)[:, None, None, None]
        return torch.where(chosen, luma(images), images)


@dataclass(frozen=True)
class Affine:
    """RandomRotation(degrees), RandomAffine(0, translate) or RandomAffine(0, translate, scale); nearest, zeros.

    Attributes:
        degrees: rotations are drawn from -degrees to degrees (counter-clockwise, as RandomRotation's).
        translate: largest shift as a fraction of the side; shifts are whole pixels.
        scale: smallest and largest factor.
    """

    degrees: float = 0.0
    translate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        reach = self.translate * size
        return {
            "degrees": uniform(n, -self.degrees, self.degrees, generator),
            "shift": torch.stack([uniform(n, -reach, reach, generator).round() for _ in "xy"], dim=1),
            "scale": uniform(n, *self.scale, generator),
        }

    def apply(self, images: Images, draws: Draws) -> Images:
        angle = torch.deg2rad(-draws["degrees"])  # images have y downwards
        cos, sin = torch.cos(angle) / draws["scale"], torch.sin(angle) / draws["scale"]
        x, y = draws["shift"].unbind(1)
        inverse = torch.stack([cos, sin, -(cos * x + sin * y), -sin, cos, sin * x - cos * y], dim=1)
        theta = inverse.reshape(-1, 2, 3).to(images.device)
        h, w = images.shape[-2:]
        rows = torch.arange(h, device=images.device) - (h - 1) / 2
        columns = torch.arange(w, device=images.device) - (w - 1) / 2
        grid = (
            columns[None, None, :, None] * theta[:, None, None, :, 0]
            + rows[None, :, None, None] * theta[:, None, None, :, 1]
            + theta[:, None, None, :, 2]
        )
        grid = grid / torch.tensor([w / 2, h / 2], device=images.device)
        return F.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


@dataclass(frozen=True)
class Perspective:
    """RandomPerspective(distortion, p) with zeros outside. The corners move inwards by whole pixels.

    Attributes:
        distortion: how far corners move at most, as a fraction of half the side.
        p: share of images that are changed.
        mode: interpolation. torch's bicubic kernel (a = -0.75) is a little sharper than Pillow's (a = -0.5).
    """

    distortion: float = 0.5
    p: float = 0.5
    mode: str = "bicubic"

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        reach = int(self.distortion * (size // 2))
        inward = torch.randint(0, reach + 1, (n, 4, 2), generator=generator)
        far = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.bool)  # corners as (x, y), clockwise
        return {
            "chosen": torch.rand(n, generator=generator) < self.p,
            "corners": torch.where(far, size - 1 - inward, inward).double(),
        }

    def apply(self, images: Images, draws: Draws) -> Images:
        chosen = draws["chosen"].nonzero()[:, 0]
        if not len(chosen):
            return images
        h, w = images.shape[-2:]
        start = torch.tensor([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], dtype=torch.float64)
        a = homography(draws["corners"][chosen], start).float().to(images.device)
        rows = torch.arange(h, device=images.device)[:, None] + 0.5
        columns = torch.arange(w, device=images.device)[None, :] + 0.5
        a = a[:, :, None, None]
        denominator = a[:, 6] * columns + a[:, 7] * rows + 1
        x = (a[:, 0] * columns + a[:, 1] * rows + a[:, 2]) / (denominator * (w / 2)) - 1
        y = (a[:, 3] * columns + a[:, 4] * rows + a[:, 5]) / (denominator * (h / 2)) - 1
        where = chosen.to(images.device)
        warped = F.grid_sample(
            images[where],
            torch.stack([x, y], dim=-1),
            mode=self.mode,
            padding_mode="zeros",
            align_corners=False,
        )
        return images.index_copy(0, where, warped.clamp_(0, 1))


def homography(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Coefficients [n, 8] of the projective map that takes four points `source` [n, 4, 2] to `target` [4, 2].

    x' = (a x + b y + c) / (g x + h y + 1), y' = (d x + e y + f) / (g x + h y + 1); solved in float64.
    """
    x, y = source.unbind(-1)
    u, v = target.expand_as(source).unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    top = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)
    bottom = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    return torch.linalg.solve(torch.cat([top, bottom], dim=1), torch.cat([u, v], dim=1))


@dataclass(frozen=True)
class ColorJitter:
    """ColorJitter(brightness, contrast, saturation, hue), the four in an order drawn for each image."""

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

    def apply(self, images: Images, draws: Draws) -> Images:
        images = images.clone()
        adjust = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
        for turn in range(4):
            for kind, function in enumerate(adjust):
                chosen = (draws["order"][:, turn] == kind).nonzero()[:, 0]
                if len(chosen):
                    factor = draws["factors"][chosen, kind].to(images.device)[:, None, None, None]
                    where = chosen.to(images.device)
                    images[where] = function(images[where], factor)
        return images


def luma(images: Images) -> Images:
    """ITU-R 601 luma [n, 1, h, w], with torchvision's weights."""
    red, green, blue = images.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]


def _blend(images: Images, other: Images | float, factor: torch.Tensor) -> Images:
    return (factor * images + (1 - factor) * other).clamp_(0, 1)


def adjust_brightness(images: Images, factor: torch.Tensor) -> Images:
    """Scale towards black (factor 0) or beyond the image (factor > 1). Factors are [n, 1, 1, 1]."""
    return _blend(images, 0.0, factor)


def adjust_contrast(images: Images, factor: torch.Tensor) -> Images:
    """Scale about each image's mean luma."""
    return _blend(images, luma(images).mean(dim=(1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Images, factor: torch.Tensor) -> Images:
    """Scale about each pixel's luma."""
    return _blend(images, luma(images), factor)


def adjust_hue(images: Images, shift: torch.Tensor) -> Images:
    """Turn the hue by a fraction of the colour circle.

    Uses value and chroma directly: for hue H in sixths, channel k of (r, g, b) is
    V - C * max(0, min(k', 4 - k', 1)) with k' = (n_k + H) mod 6 and n = (5, 3, 1).
    """
    value, _ = images.max(dim=1, keepdim=True)
    chroma = value - images.min(dim=1, keepdim=True).values
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    red, green, blue = images.split(1, dim=1)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    offsets = torch.tensor([5.0, 3.0, 1.0], device=images.device)[None, :, None, None]
    k = (offsets + hue + 6 * shift) % 6
    return value - chroma * torch.minimum(torch.minimum(k, 4 - k), torch.ones_like(k)).clamp_(min=0)


@dataclass(frozen=True)
class Policy:
    """How training images are varied.

    Attributes:
        crop: `centre`, or `random-edge`: a random window, edge pixels repeated where it leaves the image.
        operations: applied in order to the cropped batch.
    """

    crop: str = "centre"
    operations: tuple[Operation, ...] = ()

    def __call__(self, images: Images, generator: torch.Generator) -> Images:
        """Vary a batch, float32 [n, 3, s, s] with values 0..1."""
        for operation in self.operations:
            images = operation.apply(images, operation.draw(len(images), images.shape[-1], generator))
        return images


HFLIP, VFLIP = Flip(-1), Flip(-2)
_CROP_FLIP_GREY: tuple[Operation, ...] = (HFLIP, Grayscale(0.1))
_WARPS: tuple[Operation, ...] = (Perspective(0.5, 0.5), Affine(degrees=30))

POLICIES: dict[str, Policy] = {
    "none": Policy(),
    "flip": Policy(operations=(HFLIP,)),
    # The Caltech-101 report's three.
    "crop-flip-grey": Policy("random-edge", _CROP_FLIP_GREY),
    "perspective-rotation-vflip": Policy(operations=(*_WARPS, VFLIP)),
    "all-but-vflip": Policy("random-edge", (*_CROP_FLIP_GREY, *_WARPS)),
    # The CIFAR-10 report's four; the first crops a window of the resized image, where it is larger than the input.
    "crop-flip-rotate15-jitter20-shift10": Policy(
        "random-edge", (HFLIP, Affine(degrees=15), ColorJitter(0.2, 0.2, 0.2, 0.1), Affine(translate=0.1))
    ),
    "flip-rotate10-jitter20-shift10": Policy(
        operations=(HFLIP, Affine(degrees=10), ColorJitter(0.2, 0.2, 0.2, 0.1), Affine(translate=0.1))
    ),
    "flip-rotate15-jitter20-shift10": Policy(
        operations=(HFLIP, Affine(degrees=15), ColorJitter(0.2, 0.2, 0.2, 0.1), Affine(translate=0.1))
    ),
    "flip-rotate15-jitter30-shift10-zoom10": Policy(
        operations=(
            HFLIP,
            Affine(degrees=15),
            ColorJitter(0.3, 0.3, 0.3, 0.1),
            Affine(translate=0.1, scale=(0.9, 1.1)),
        )
    ),
}
