"""Operations that move pixels: flips, rotations, shifts and changes of perspective.

Formulas follow torchvision's transforms of the same name on float tensors, which the tests compare with. A grid of
sampling points is laid out as [n, 2, h, w], which grid_sample reads faster on a CPU than [n, h, w, 2].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from quorum.data.augment.draws import Prepared, Subset
from quorum.data.augment.operation import Draws, Fraction, Images, Operation, pick, register_operation, replace, uniform

Degrees = Annotated[float, Field(ge=0, le=180)]


@dataclass(frozen=True)
class Flip(Operation):
    """RandomHorizontalFlip (axis -1) or RandomVerticalFlip (axis -2); of bytes as well as of floats."""

    axis: int
    p: float = 0.5
    takes_bytes: ClassVar[bool] = True

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        return {"chosen": torch.rand(n, generator=generator) < self.p}

    def prepare(self, draws: Draws, size: int) -> Prepared:
        return Prepared({"chosen": draws["chosen"].long()})

    def apply(self, images: Images, prepared: Prepared) -> Images:
        n = len(images)
        source = prepared["chosen"] * n + torch.arange(n, device=images.device)
        return pick(torch.cat([images, images.flip(self.axis)]), source)


@register_operation("flip")
def horizontal_flip(p: Fraction = 0.5) -> Flip:
    """RandomHorizontalFlip(p)."""
    return Flip(-1, p)


@register_operation("vflip")
def vertical_flip(p: Fraction = 0.5) -> Flip:
    """RandomVerticalFlip(p)."""
    return Flip(-2, p)


@register_operation("affine")
@dataclass(frozen=True)
class Affine(Operation):
    """RandomRotation(degrees), RandomAffine(0, translate) or RandomAffine(0, translate, scale); nearest, zeros.

    Attributes:
        degrees: rotations are drawn from -degrees to degrees (counter-clockwise, as RandomRotation's).
        translate: largest shift as a fraction of the side; shifts are whole pixels.
        scale: smallest and largest factor.
    """

    degrees: Degrees = 0.0
    translate: Fraction = 0.0
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale={self.scale} must be two factors above 0, the smaller one first")

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        reach = self.translate * size
        return {
            "degrees": uniform(n, -self.degrees, self.degrees, generator),
            "shift": torch.stack([uniform(n, -reach, reach, generator).round() for _ in "xy"], dim=1),
            "scale": uniform(n, *self.scale, generator),
        }

    def prepare(self, draws: Draws, size: int) -> Prepared:
        """The inverse map `theta` [n, 2, 3]: from pixels about the center to grid_sample's -1..1."""
        angle = torch.deg2rad(-draws["degrees"])  # images have y downwards
        cos, sin = torch.cos(angle) / draws["scale"], torch.sin(angle) / draws["scale"]
        x, y = draws["shift"].unbind(1)
        inverse = torch.stack([cos, sin, -(cos * x + sin * y), -sin, cos, sin * x - cos * y], dim=1)
        return Prepared({"theta": inverse.reshape(-1, 2, 3) * (2 / size)})

    def apply(self, images: Images, prepared: Prepared) -> Images:
        return sample(images, prepared["theta"])


def sample(images: Images, theta: torch.Tensor) -> Images:
    """Images by the inverse maps `theta` [n, 2, 3] of `Affine`; nearest, zeros."""
    place = torch.arange(images.shape[-1], device=images.device) - (images.shape[-1] - 1) / 2
    by_column, by_row, constant = theta.unbind(2)  # each [n, 2]
    columns = by_column[:, :, None] * place
    rows = by_row[:, :, None] * place + constant[:, :, None]
    grid = columns[:, :, None, :] + rows[:, :, :, None]
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), mode="nearest", padding_mode="zeros", align_corners=False)


@register_operation("rotate")
def rotation(degrees: Degrees) -> Affine:
    """RandomRotation(degrees)."""
    return Affine(degrees=degrees)


@register_operation("shift")
def shift(fraction: Fraction) -> Affine:
    """RandomAffine(0, translate=(fraction, fraction))."""
    return Affine(translate=fraction)


@register_operation("perspective")
@dataclass(frozen=True)
class Perspective(Operation):
    """RandomPerspective(distortion, p) with zeros outside. The corners move inwards by whole pixels.

    Attributes:
        distortion: how far corners move at most, as a fraction of half the side.
        p: share of images that are changed.
        mode: interpolation. torch's bicubic kernel (a = -0.75) is a little sharper than Pillow's (a = -0.5).
    """

    distortion: Fraction = 0.5
    p: Fraction = 0.5
    mode: Literal["bicubic", "bilinear", "nearest"] = "bicubic"

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        reach = int(self.distortion * (size // 2))
        inward = torch.randint(0, reach + 1, (n, 4, 2), generator=generator)
        far = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.bool)  # corners as (x, y), clockwise
        return {
            "chosen": torch.rand(n, generator=generator) < self.p,
            "corners": torch.where(far, size - 1 - inward, inward).double(),
        }

    def prepare(self, draws: Draws, size: int) -> Prepared:
        """The coefficients [n, 8] of the inverse map of pixels (left alone where an image is)."""
        chosen, last = draws["chosen"], size - 1
        start = torch.tensor([[0, 0], [last, 0], [last, last], [0, last]], dtype=torch.float64)
        coefficients = torch.zeros(len(chosen), 8)
        coefficients[chosen] = homography(draws["corners"][chosen], start).float()
        return Prepared({"coefficients": coefficients}, {"chosen": Subset.of(chosen)})

    def apply(self, images: Images, prepared: Prepared) -> Images:
        chosen = prepared.subsets["chosen"]
        if not len(chosen):
            return images
        size = images.shape[-1]
        a = prepared["coefficients"].index_select(0, chosen.there)[:, :, None, None]
        columns = torch.arange(size, device=images.device) + 0.5
        rows = columns[:, None]
        denominator = a[:, 6] * columns + (a[:, 7] * rows + 1)
        by_column, by_row, constant = (a[:, :6].reshape(-1, 2, 3, 1, 1) * (2 / size)).unbind(2)
        grid = (by_column * columns + (by_row * rows + constant)).div_(denominator[:, None]).sub_(1)
        warped = F.grid_sample(
            pick(images, chosen.there),
            grid.permute(0, 2, 3, 1),
            mode=self.mode,
            padding_mode="zeros",
            align_corners=False,
        )
        return replace(images, chosen.there, warped.clamp_(0, 1))


def homography(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Coefficients [n, 8] of the projective map that takes four points `source` [n, 4, 2] to `target` [4, 2].

    x' = (a x + b y + c) / (g x + h y + 1), y' = (d x + e y + f) / (g x + h y + 1); solved in float64. The identity
    where no such map exists, as three of the points lie on a line.
    """
    coefficients, singular = _solve(source, target)
    if singular.any():
        # the form has no solution either where (0, 0) is mapped to infinity: a millionth of a pixel away it has
        identity = torch.tensor([1, 0, 0, 0, 1, 0, 0, 0], dtype=coefficients.dtype)
        moved, none = _solve(source[singular] + 1e-6, target)
        coefficients[singular] = torch.where(none[:, None], identity, moved)
    return coefficients


def _solve(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The coefficients [n, 8], and [n] bools: where the equations have no solution."""
    x, y = source.unbind(-1)
    u, v = target.expand_as(source).unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    top = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)
    bottom = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    solution, info = torch.linalg.solve_ex(torch.cat([top, bottom], dim=1), torch.cat([u, v], dim=1))
    return solution, info != 0
