"""Square crop windows and the copying of them out of images of any size into one batch.

A window is the row and column of its top left corner, which may lie outside the image; what it covers beyond the
image is filled with zeros or with the nearest edge pixel. A box is a rectangle within its image, to be resized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from quorum.data.catalogue import Indices
from quorum.data.images import Pixels

Fill = Literal["zeros", "edge"]


def center_starts(lengths: Indices, size: int) -> Indices:
    """First rows (or columns) of torchvision's CenterCrop(size) on sides of [n] lengths; negative: padding."""
    padding = (size - lengths) // 2
    rounded = np.rint((lengths - size) / 2).astype(np.int64)  # to even, as in torchvision
    return np.where(lengths < size, -padding, rounded)


def random_starts(lengths: Indices, size: int, generator: torch.Generator) -> Indices:
    """First rows (or columns) of torchvision's RandomCrop(size, pad_if_needed=True), one draw for each of [n].

    torchvision pads a side that is too short by the whole of what it lacks on both ends, so a window starts
    anywhere from -(size - length) to 0; on a longer side anywhere from 0 to length - size.
    """
    slack = lengths - size
    draws = torch.rand(len(lengths), generator=generator, dtype=torch.float64).numpy()
    offset = np.minimum((draws * (np.abs(slack) + 1)).astype(np.int64), np.abs(slack))
    return np.where(slack >= 0, offset, offset + slack)


@dataclass(frozen=True)
class Boxes:
    """Rectangles in n images: int64 [n] each, first row and column, height and width in pixels."""

    tops: Indices
    lefts: Indices
    heights: Indices
    widths: Indices

    def part(self, start: int, stop: int) -> Self:
        """Those from `start` to `stop`."""
        part = slice(start, stop)
        return type(self)(self.tops[part], self.lefts[part], self.heights[part], self.widths[part])


TRIES = 10


def random_boxes(
    heights: Indices,
    widths: Indices,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Boxes:
    """Boxes as torchvision's RandomResizedCrop draws them: the first of ten draws of an area and a width / height that
    fits into the image, at a place at random; where none fits, the largest in the center that keeps to the ratios.

    Args:
        heights, widths: int64 [n] of the images.
        scale: smallest and largest area, as fractions of the image's.
        ratio: smallest and largest width / height, drawn on a logarithmic scale.
        generator: of the draws.
    """
    n = len(heights)
    areas, ratios, down, right = torch.rand(4, n, TRIES, generator=generator, dtype=torch.float64).numpy()
    areas = (scale[0] + areas * (scale[1] - scale[0])) * (heights * widths)[:, None]
    ratios = np.exp(np.log(ratio[0]) + ratios * (np.log(ratio[1]) - np.log(ratio[0])))
    drawn_widths = np.rint(np.sqrt(areas * ratios)).astype(np.int64)
    drawn_heights = np.rint(np.sqrt(areas / ratios)).astype(np.int64)
    fits = (drawn_widths >= 1) & (drawn_widths <= widths[:, None])
    fits &= (drawn_heights >= 1) & (drawn_heights <= heights[:, None])
    each, first = np.arange(n), fits.argmax(axis=1)
    box_heights, box_widths = drawn_heights[each, first], drawn_widths[each, first]
    tops = (down[each, first] * (heights - box_heights + 1)).astype(np.int64)
    lefts = (right[each, first] * (widths - box_widths + 1)).astype(np.int64)
    if (none := ~fits.any(axis=1)).any():
        shape = widths / heights
        largest_widths = np.where(shape > ratio[1], np.rint(heights * ratio[1]).astype(np.int64), widths)
        largest_heights = np.where(shape < ratio[0], np.rint(widths / ratio[0]).astype(np.int64), heights)
        box_heights, box_widths = (
            np.where(none, largest_heights, box_heights),
            np.where(none, largest_widths, box_widths),
        )
        tops = np.where(none, (heights - box_heights) // 2, tops)
        lefts = np.where(none, (widths - box_widths) // 2, lefts)
    return Boxes(tops, lefts, box_heights, box_widths)


def gather(
    images: Sequence[Pixels], tops: Indices, lefts: Indices, size: int, fill: Fill = "zeros"
) -> NDArray[np.uint8]:
    """Copy one window out of each image.

    Args:
        images: n arrays uint8 [h, w, 3] of any sizes.
        tops, lefts: [n] first row and column of each window, relative to its image.
        size: side of the windows.
        fill: what is seen where a window reaches beyond its image.

    Returns:
        uint8 [n, size, size, 3].
    """
    batch = np.zeros((len(images), size, size, 3), dtype=np.uint8)
    for out, image, top, left in zip(batch, images, tops.tolist(), lefts.tolist(), strict=True):
        h, w = image.shape[:2]
        if 0 <= top <= h - size and 0 <= left <= w - size:
            out[:] = image[top : top + size, left : left + size]
        elif fill == "edge":
            _copy_with_edges(out, image, top, left)
        elif -size < top < h and -size < left < w:
            (rows, to_rows), (columns, to_columns) = _overlap(top, size, h), _overlap(left, size, w)
            out[to_rows, to_columns] = image[rows, columns]
    return batch


def _copy_with_edges(out: Pixels, image: Pixels, top: int, left: int) -> None:
    size, (h, w) = len(out), image.shape[:2]
    (rows, to_rows), (columns, to_columns) = _overlap(top, size, h), _overlap(left, size, w)
    out[to_rows, to_columns] = image[rows, columns]
    out[: to_rows.start, to_columns] = out[to_rows.start, to_columns]
    out[to_rows.stop :, to_columns] = out[to_rows.stop - 1, to_columns]
    out[:, : to_columns.start] = out[:, to_columns.start, None]
    out[:, to_columns.stop :] = out[:, to_columns.stop - 1, None]


def _overlap(start: int, size: int, length: int) -> tuple[slice, slice]:
    """The part of a side of `length` pixels that a window from `start` covers, and its place in the window; where
    there is none, the pixel that is nearest."""
    first = min(max(start, 0), length - 1)
    stop = max(min(start + size, length), first + 1)
    place = min(max(first - start, 0), size - 1)
    return slice(first, stop), slice(place, place + stop - first)


def gather_tensor(
    pixels: torch.Tensor,
    starts: torch.Tensor,
    heights: torch.Tensor,
    widths: torch.Tensor,
    tops: torch.Tensor,
    lefts: torch.Tensor,
    *,
    size: int,
    fill: Fill = "zeros",
) -> torch.Tensor:
    """`gather` with tensor operations, on the device that the tensors are on and without waiting for it.

    Args:
        pixels: uint8 [total, 3], the rows of all images one after the other.
        starts: int64 [n] place of each image's first pixel in `pixels`.
        heights, widths: int64 [n] of each image.
        tops, lefts: int64 [n] first row and column of each window, relative to its image.
        size: side of the windows.
        fill: what is seen where a window reaches beyond its image.

    Returns:
        uint8 [n, size, size, 3].
    """
    place = torch.arange(size, device=pixels.device)
    rows, columns = tops[:, None] + place, lefts[:, None] + place
    nearest_rows = torch.minimum(rows.clamp(min=0), heights[:, None] - 1)
    nearest_columns = torch.minimum(columns.clamp(min=0), widths[:, None] - 1)
    row_starts = starts[:, None] + nearest_rows * widths[:, None]
    index = row_starts[:, :, None] + nearest_columns[:, None, :]
    windows = pixels.index_select(0, index.flatten()).view(len(starts), size, size, 3)
    if fill == "zeros":
        inside = (rows == nearest_rows)[:, :, None] & (columns == nearest_columns)[:, None, :]
        windows *= inside[..., None]
    return windows
