"""Mixing of images: each of a batch with the one before it, and their labels in the same shares.

Formulas are those of torchvision's transforms v2 of the same names, which the tests compare with. A batch is mixed as a
whole, after augmentation and normalization, with one draw.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from quorum.errors import ConfigError, unknown
from quorum.expressions import construct, parse_call

Alpha = Annotated[float, Field(gt=0)]
NONE = "none"


@dataclass(frozen=True)
class Mix:
    """How one batch is mixed.

    Attributes:
        share: of each image's own label; the image before it has the rest.
        box: left, top, right and bottom, in pixels, of what is cut out of the image before; None where the two are
            blended.
    """

    share: float
    box: tuple[int, int, int, int] | None = None

    def images(self, images: torch.Tensor) -> torch.Tensor:
        """Images float32 [n, 3, s, s], channels last, mixed; the argument is left as it was."""
        own = images.permute(0, 2, 3, 1)
        before = own.roll(1, 0)
        if self.box is None:
            return before.mul_(1 - self.share).add_(own * self.share).permute(0, 3, 1, 2)
        left, top, right, bottom = self.box
        mixed = own.clone()
        mixed[:, top:bottom, left:right] = before[:, top:bottom, left:right]
        return mixed.permute(0, 3, 1, 2)

    def labels(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """Shares of the classes, float32 [n, classes], of labels int64 [n]."""
        own = F.one_hot(labels, classes).float()
        return own.roll(1, 0).mul_(1 - self.share).add_(own * self.share)


class Mixing(ABC):
    """A way of mixing."""

    @abstractmethod
    def draw(self, draws: np.random.Generator, size: int) -> Mix:
        """How the next batch, of images of `size` x `size` pixels, is mixed."""


@dataclass(frozen=True)
class MixUp(Mixing):
    """Blended images. Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization.

    Attributes:
        alpha: of the Beta(alpha, alpha) distribution that the share is drawn from.
    """

    alpha: Alpha = 1.0

    def draw(self, draws: np.random.Generator, size: int) -> Mix:
        return Mix(draws.beta(self.alpha, self.alpha))


@dataclass(frozen=True)
class CutMix(Mixing):
    """A box of the other image. Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers.

    Attributes:
        alpha: of the Beta(alpha, alpha) distribution that the area outside of the box is drawn from, as a share of the
            image's. A box that reaches beyond the image is cut off, and the share is that of what is left.
    """

    alpha: Alpha = 1.0

    def draw(self, draws: np.random.Generator, size: int) -> Mix:
        reach = int(math.sqrt(1 - draws.beta(self.alpha, self.alpha)) / 2 * size)
        x, y = draws.integers(size, size=2).tolist()
        left, right = max(x - reach, 0), min(x + reach, size)
        top, bottom = max(y - reach, 0), min(y + reach, size)
        return Mix(1 - (right - left) * (bottom - top) / size**2, (left, top, right, bottom))


MIXINGS = {"mixup": MixUp, "cutmix": CutMix}


def mixing(text: str) -> Mixing | None:
    """The mixing of an expression: `mixup(alpha=0.2)`, `cutmix`; None for `none`.

    Raises:
        ConfigError: one line, for text that is none of these.
    """
    if text == NONE:
        return None
    call = parse_call(text, "mix")
    if call.name not in MIXINGS:
        raise ConfigError(unknown("mixing", call.name, (NONE, *MIXINGS)), setting="mix")
    return construct(call, MIXINGS[call.name], text, "mix")
