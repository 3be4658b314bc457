"""Augmentation policies: the operations that vary a batch, with a separate draw for every image.

All draws are made on the CPU, so that they are the same on every device, and used with tensor operations where the
batch is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from quorum.data.augment.color import ColorJitter, Grayscale
from quorum.data.augment.draws import Prepared
from quorum.data.augment.geometry import Affine, Flip, Perspective
from quorum.data.augment.operation import Images, Operation


@dataclass(frozen=True)
class Policy:
    """How training images are varied.

    Attributes:
        crop: `center`, or `random-edge`: a random window, edge pixels repeated where it leaves the image.
        operations: applied in order to the cropped batch.
    """

    crop: str = "center"
    operations: tuple[Operation, ...] = ()

    def draw(self, n: int, size: int, generator: torch.Generator) -> tuple[Prepared, ...]:
        """Draw for n images of `size` x `size` pixels, for one operation after the other; on the CPU."""
        return tuple(operation.prepare(operation.draw(n, size, generator), size) for operation in self.operations)

    def apply(self, images: torch.Tensor, prepared: Sequence[Prepared]) -> Images:
        """Vary a batch, uint8 or float32 [n, 3, s, s], with what was drawn for it; the argument is left as it was."""
        for operation, drawn in zip(self.operations, prepared, strict=True):
            if not isinstance(operation, Flip):  # moving bytes is moving a quarter of the memory
                images = to_float(images)
            images = operation.apply(images, drawn)
        return to_float(images)


def to_float(images: torch.Tensor) -> Images:
    """Bytes as values 0..1, as torchvision's ToTensor makes them; floats as they are."""
    return images if images.is_floating_point() else images.float().div_(255)


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
