"""From pixels as they come to the tensor that a network takes: resize, center crop, normalize.

The same steps serve training, evaluation and the models that are registered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from quorum.config import AUTO, TrialConfig
from quorum.data.crop import center_starts, gather
from quorum.data.device import upload
from quorum.data.images import Pixels
from quorum.data.resize import resize_shorter_side
from quorum.errors import ModelError

# Channel means and standard deviations by name, for values 0..1. ImageNet's are torchvision's; CIFAR-10's are the
# usual ones of its 50,000 training images. The last four are what some of timm's networks were trained with
# (timm/data/constants.py; satellite: timm/models/eva.py).
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "dpn": ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
    "satellite": ((0.43, 0.411, 0.296), (0.213, 0.156, 0.143)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def normalization_named(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """The name of a normalization.

    Args:
        mean, std: of the channels, for values 0..1.

    Raises:
        ModelError: where it has none.
    """
    for name, known in NORMALIZATIONS.items():
        if np.allclose(known, (mean, std)):
            return name
    raise ModelError(
        f"normalize: mean {mean} and std {std}, which the network's weights are for, have no name here; choose from "
        f"{', '.join(NORMALIZATIONS)}",
        setting="normalize",
    )


@dataclass(frozen=True)
class Preprocess:
    """How an image that is not trained on becomes input.

    Attributes:
        input_size: side of the square input in pixels; a smaller image is padded with zeros.
        resize: shorter side in pixels before the crop; 0 for no resize.
        normalize: a name in NORMALIZATIONS.
    """

    input_size: int
    resize: int
    normalize: str

    def images(self, images: Sequence[Pixels]) -> torch.Tensor:
        """Input float32 [n, 3, s, s], channels last in memory, from images of any sizes."""
        resized = [resize_shorter_side(image, self.resize) if self.resize else image for image in images]
        tops, lefts = (
            center_starts(np.array([image.shape[side] for image in resized]), self.input_size) for side in (0, 1)
        )
        return self.scale(to_channels_last(gather(resized, tops, lefts, self.input_size)))

    def scale(self, images: torch.Tensor) -> torch.Tensor:
        """Bytes [n, 3, s, s] to normalized float32."""
        return self.standardize(images.float().div_(255))

    def standardize(self, images: torch.Tensor) -> torch.Tensor:
        """Values 0..1, float32 [n, 3, s, s], to the network's scale; works in place."""
        mean, std = _constants(self.normalize, images.device)
        if images.is_contiguous():
            return images.sub_(mean[:, None, None]).div_(std[:, None, None])
        # A CPU is fast on long innermost dimensions: whole rows of pixels, not the three channels of one.
        n, _, height, width = images.shape
        rows = images.permute(0, 2, 3, 1).view(n, height, width * 3)
        rows.sub_(mean.repeat(width)).div_(std.repeat(width))
        return images


@functools.cache
def _constants(normalize: str, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Means [3] and standard deviations [3] on a device."""
    mean, std = (upload(torch.tensor(values), device) for values in NORMALIZATIONS[normalize])
    return mean, std


def to_channels_last(batch: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> torch.Tensor:
    """uint8 [n, h, w, 3] as a tensor [n, 3, h, w] of the same memory."""
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def preprocess_of(config: TrialConfig) -> Preprocess:
    """The preprocessing of images that are not trained on, which resolved settings ask for."""
    resize = config.resize if config.eval_resize == AUTO else config.eval_resize
    assert isinstance(config.input_size, int) and isinstance(resize, int), "settings are not resolved"
    return Preprocess(config.input_size, resize, config.normalize)
