"""Resizing as torchvision's tensor `Resize(n)`: the shorter side to n, bilinear, antialiased, rounded to bytes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from quorum.data.images import Pixels


def resized_shape(height: int, width: int, shorter: int) -> tuple[int, int]:
    """(height, width) once the shorter side is `shorter`; the longer is cut to a whole pixel as torchvision does."""
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def resize_batch(images: torch.Tensor, shorter: int) -> torch.Tensor:
    """Resize uint8 [n, 3, h, w] so that the shorter side has `shorter` pixels."""
    return resize_to(images, resized_shape(images.shape[-2], images.shape[-1], shorter))


def resize_to(images: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Resize uint8 [n, 3, h, w] to a (height, width)."""
    if shape == tuple(images.shape[-2:]):
        return images
    if images.device.type == "cpu":  # the CPU has this kernel for bytes, rounding included
        return F.interpolate(images, shape, mode="bilinear", antialias=True)
    return resize_in_float(images, shape)


def resize_in_float(images: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Resize uint8 [n, 3, h, w] to a (height, width) where there is no kernel for bytes; a byte may be one off."""
    scaled = F.interpolate(images.float(), shape, mode="bilinear", antialias=True)
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


def resize_shorter_side(pixels: Pixels, shorter: int) -> Pixels:
    """Resize one [h, w, 3] image."""
    batch = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
    return resize_batch(batch, shorter)[0].permute(1, 2, 0).contiguous().numpy()
