"""Square crop windows and the copying of them out of images of any size into one batch.

A window is the row and column of its top left corner, which may lie outside the image; what it covers beyond the
image is filled with zeros or with the nearest edge pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from quorum.data.catalogue import Indices
from quorum.data.images import Pixels

Fill = Literal["zeros", "edge"]


def centre_start(length: int, size: int) -> int:
    """First row (or column) of torchvision's CenterCrop(size) on a side of `length` pixels; negative: padding."""
    if length < size:
        return -((size - length) // 2)
    return round((length - size) / 2)  # Python's round to even, as in torchvision


def centre_starts(lengths: Indices, size: int) -> Indices:
    """`centre_start` for each of [n] lengths."""
    return np.array([centre_start(int(length), size) for length in lengths], dtype=np.int64)


def random_starts(lengths: Indices, size: int, generator: torch.Generator) -> Indices:
    """First rows (or columns) of torchvision's RandomCrop(size, pad_if_needed=True), one draw for each of [n].

    torchvision pads a side that is too short by the whole of what it lacks on both ends, so a window starts
    anywhere from -(size - length) to 0; on a longer side anywhere from 0 to length - size.
    """
    slack = lengths - size
    draws = torch.rand(len(lengths), generator=generator, dtype=torch.float64).numpy()
    offset = np.minimum((draws * (np.abs(slack) + 1)).astype(np.int64), np.abs(slack))
    return np.where(slack >= 0, offset, offset + slack)


def gather(
    images: Sequence[Pixels], tops: Indices, lefts: Indices, size: int, fill: Fill = "zeros"
) -> NDArray[np.uint8]:
    """Copy one window out of each image.

    Args:
        images: n arrays uint8 [h, w, 3] of any sizes.
        tops, lefts: [n] first row and column of each window, relative to its image.
        size: side of the windows.
        fill: what stands where a window reaches beyond its image.

    Returns:
        uint8 [n, size, size, 3].
    """
    batch = np.zeros((len(images), size, size, 3), dtype=np.uint8)
    for out, image, top, left in zip(batch, images, tops.tolist(), lefts.tolist(), strict=True):
        h, w = image.shape[:2]
        y0, y1 = max(top, 0), min(top + size, h)
        x0, x1 = max(left, 0), min(left + size, w)
        if fill == "edge" and (y1 - y0 < size or x1 - x0 < size):
            rows = np.clip(np.arange(top, top + size), 0, h - 1)
            columns = np.clip(np.arange(left, left + size), 0, w - 1)
            out[:] = image[rows[:, None], columns]
        elif y0 < y1 and x0 < x1:
            out[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return batch
