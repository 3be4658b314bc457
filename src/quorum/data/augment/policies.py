"""Augmentation policies: the operations that vary a batch, with a separate draw for every image.

All draws are made on the CPU, so that they are the same on every device, and used with tensor operations where the
batch is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

# These fill OPERATIONS.
from quorum.data.augment import auto, color, erasing, geometry  # noqa: F401
from quorum.data.augment.draws import Prepared
from quorum.data.augment.operation import OPERATIONS, Crop, Images, Operation, to_float
from quorum.errors import ConfigError, unknown
from quorum.expressions import construct, parse_calls, wrong_call


@dataclass(frozen=True)
class Policy:
    """How training images are varied.

    Attributes:
        crop: which part of an image is varied; None for the window in its center, with zeros beyond it.
        operations: applied in order to the cropped batch.
    """

    crop: Crop | None = None
    operations: tuple[Operation, ...] = ()

    def draw(self, n: int, size: int, generator: torch.Generator) -> tuple[Prepared, ...]:
        """Draw for n images of `size` x `size` pixels, for one operation after the other; on the CPU."""
        return tuple(operation.prepare(operation.draw(n, size, generator), size) for operation in self.operations)

    def apply(self, images: torch.Tensor, prepared: Sequence[Prepared]) -> Images:
        """Vary a batch, uint8 or float32 [n, 3, s, s], with what was drawn for it; the argument is left as it was."""
        for operation, drawn in zip(self.operations, prepared, strict=True):
            if not operation.takes_bytes:
                images = to_float(images)
            images = operation.apply(images, drawn)
        return to_float(images)


_SHIFTED = "jitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1) | shift(fraction=0.1)"

# Names for expressions. The first three are the Caltech-101 report's, the others the CIFAR-10 report's; its first crops
# a window of the resized image, where that is larger than the input; its last is that of PyTorch's tutorial.
POLICIES = {
    "crop-flip-grey": "random_crop | flip | grayscale(p=0.1)",
    "perspective-rotation-vflip": "perspective(distortion=0.5, p=0.5) | rotate(degrees=30) | vflip",
    "all-but-vflip": (
        "random_crop | flip | grayscale(p=0.1) | perspective(distortion=0.5, p=0.5) | rotate(degrees=30)"
    ),
    "crop-flip-rotate15-jitter20-shift10": f"random_crop | flip | rotate(degrees=15) | {_SHIFTED}",
    "flip-rotate10-jitter20-shift10": f"flip | rotate(degrees=10) | {_SHIFTED}",
    "flip-rotate15-jitter20-shift10": f"flip | rotate(degrees=15) | {_SHIFTED}",
    "flip-rotate15-jitter30-shift10-zoom10": (
        "flip | rotate(degrees=15) | jitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1)"
        " | affine(translate=0.1, scale=(0.9, 1.1))"
    ),
    "resized-crop-flip": "random_resized_crop | flip",
}
NONE = "none"


def policy(text: str) -> Policy:
    """The policy of an expression, of a name in POLICIES, or of `none`.

    Args:
        text: `random_crop | flip | rotate(15)`: operations of OPERATIONS in their order, a crop first if there is one.

    Raises:
        ConfigError: one line with the position, for text that is none of these.
    """
    if text == NONE:
        return Policy()
    if text not in POLICIES and re.fullmatch(r"\w+(-\w+)+", text):
        raise ConfigError(unknown("augmentation policy", text, (NONE, *POLICIES)), setting="augment")
    expression = POLICIES.get(text, text)
    crop, operations = None, []
    for place, call in enumerate(parse_calls(expression, "augment")):
        if call.name not in OPERATIONS:
            reason = unknown(OPERATIONS.kind, call.name, OPERATIONS)
            raise wrong_call(expression, "augment", call.column, reason)
        made = construct(call, OPERATIONS[call.name], expression, "augment")
        if not isinstance(made, Crop):
            operations.append(made)
        elif place:
            raise wrong_call(expression, "augment", call.column, f"{call.name} has to come first")
        else:
            crop = made
    return Policy(crop, tuple(operations))
