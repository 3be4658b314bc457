"""Reading windows and boxes out of a pixel store: from the memory map, or on the device that holds all its bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch

from quorum.data.catalogue import Indices
from quorum.data.crop import Boxes, Fill, gather, gather_tensor
from quorum.data.device import upload
from quorum.data.pixel_store import PixelStore
from quorum.data.preprocess import to_channels_last
from quorum.data.resize import resize_batch, resize_to

RESIDENT_SHARE = 0.5  # of a device's free memory, at most, goes to a store
_COPIED_AT_ONCE = 2**26  # bytes


@dataclass(frozen=True)
class Windows:
    """Which window of which image, for each of n places.

    Attributes:
        positions: int64 [n] of the images in their store.
        tops, lefts: int64 [n] first row and column, relative to the image once it is resized.
        size: side of the windows.
        fill: what is seen where a window reaches beyond its image.
        there: int64 [3, n], positions, tops and lefts where the windows are to be.
    """

    positions: Indices
    tops: Indices
    lefts: Indices
    size: int
    fill: Fill
    there: torch.Tensor

    @classmethod
    def on(cls, device: torch.device, positions: Indices, tops: Indices, lefts: Indices, size: int, fill: Fill) -> Self:
        """Windows for a device."""
        there = upload(torch.from_numpy(np.stack([positions, tops, lefts])), device)
        return cls(positions, tops, lefts, size, fill, there)

    def part(self, start: int, stop: int) -> Self:
        """Those from `start` to `stop`."""
        part = slice(start, stop)
        return type(self)(
            self.positions[part], self.tops[part], self.lefts[part], self.size, self.fill, self.there[:, part]
        )

    def are_whole(self, shape: tuple[int, int]) -> bool:
        """Whether they are all there is of images of one (height, width)."""
        return shape == (self.size, self.size) and not self.tops.any() and not self.lefts.any()


class WindowReader(Protocol):
    """The images of a store, for one device."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of all images, or None where they differ."""

    def whole(self, windows: Windows) -> torch.Tensor:
        """The images that windows are of, uint8 [n, 3, h, w]; where all images have one size."""

    def crop(self, images: torch.Tensor, windows: Windows) -> torch.Tensor:
        """Windows uint8 [n, 3, s, s] of [n, 3, h, w] images, one of each."""

    def read(self, windows: Windows) -> torch.Tensor:
        """Windows uint8 [n, 3, s, s] of the images as they are stored."""


@dataclass(frozen=True)
class HostReader:
    """Images that are read from the memory map and brought to the device batch by batch.

    Attributes:
        store: the images.
        device: where they are to be.
    """

    store: PixelStore
    device: torch.device

    @property
    def size(self) -> tuple[int, int] | None:
        return self.store.size

    def whole(self, windows: Windows) -> torch.Tensor:
        return upload(torch.from_numpy(self.store.stack(windows.positions)), self.device).permute(0, 3, 1, 2)

    def crop(self, images: torch.Tensor, windows: Windows) -> torch.Tensor:
        if self.device.type != "cpu":
            return crop_tensor(images, windows)
        arrays = list(images.permute(0, 2, 3, 1).numpy())
        return to_channels_last(gather(arrays, windows.tops, windows.lefts, windows.size, windows.fill))

    def read(self, windows: Windows) -> torch.Tensor:
        images = [self.store.image(position) for position in windows.positions.tolist()]
        gathered = gather(images, windows.tops, windows.lefts, windows.size, windows.fill)
        return upload(torch.from_numpy(gathered), self.device).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class DeviceReader:
    """Images that are all on the device; nothing here waits for it.

    Attributes:
        size: (height, width) of all images, or None where they differ.
        pixels: uint8 [total, 3], the rows of all images one after the other.
        starts: int64 [n] place of each image's first pixel.
        heights, widths: int64 [n].
    """

    size: tuple[int, int] | None
    pixels: torch.Tensor
    starts: torch.Tensor
    heights: torch.Tensor
    widths: torch.Tensor

    @classmethod
    def of(cls, store: PixelStore, device: torch.device) -> Self:
        """Copy a store to a device, a part at a time."""
        pixels = torch.empty(len(store.pixels), dtype=torch.uint8, device=device)
        for start in range(0, len(pixels), _COPIED_AT_ONCE):
            part = slice(start, start + _COPIED_AT_ONCE)
            pixels[part] = torch.from_numpy(np.array(store.pixels[part]))  # once, so not worth pinned memory
        starts, heights, widths = (
            upload(torch.from_numpy(values), device) for values in (store.offsets // 3, store.heights, store.widths)
        )
        return cls(store.size, pixels.view(-1, 3), starts, heights, widths)

    def whole(self, windows: Windows) -> torch.Tensor:
        assert self.size is not None
        return self.pixels.view(-1, *self.size, 3).index_select(0, windows.there[0]).permute(0, 3, 1, 2)

    def crop(self, images: torch.Tensor, windows: Windows) -> torch.Tensor:
        return crop_tensor(images, windows)

    def read(self, windows: Windows) -> torch.Tensor:
        positions, tops, lefts = windows.there
        starts, heights, widths = (values[positions] for values in (self.starts, self.heights, self.widths))
        gathered = gather_tensor(
            self.pixels, starts, heights, widths, tops, lefts, size=windows.size, fill=windows.fill
        )
        return gathered.permute(0, 3, 1, 2)


def crop_tensor(images: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Windows uint8 [n, 3, s, s] of [n, 3, h, w] images, one of each, on the device that the images are on."""
    n, _, height, width = images.shape
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
    starts = torch.arange(n, device=images.device) * (height * width)
    heights, widths = (torch.full_like(starts, side) for side in (height, width))
    _, tops, lefts = windows.there
    gathered = gather_tensor(pixels, starts, heights, widths, tops, lefts, size=windows.size, fill=windows.fill)
    return gathered.permute(0, 3, 1, 2)


def read_resized(reader: WindowReader, resize: int, windows: Windows) -> torch.Tensor:
    """Windows uint8 [n, 3, s, s] of images that are resized first, where all have one size.

    Images of differing sizes are stored as they are to be, as are all images where `resize` is 0.
    """
    if reader.size is None or (resize == 0 and not windows.are_whole(reader.size)):
        return reader.read(windows)
    images = resize_batch(reader.whole(windows), resize) if resize else reader.whole(windows)
    return images if windows.are_whole((images.shape[-2], images.shape[-1])) else reader.crop(images, windows)


def read_boxes(
    store: PixelStore, positions: Indices, boxes: Boxes, size: int, resize: int, device: torch.device
) -> torch.Tensor:
    """Boxes of images, each resized to a square uint8 [n, 3, s, s].

    They differ in size, so each is resized by itself, on the CPU, and brought to the device.

    Args:
        store: the images.
        positions: int64 [n] of the images in it.
        boxes: of the images once they are resized.
        size: side of the squares, in pixels.
        resize: shorter side, in pixels, that images of one size are resized to first; 0 for no resize.
        device: where the squares are to be.
    """
    squares = torch.empty(len(positions), size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    for place, position in enumerate(positions.tolist()):
        image = torch.from_numpy(np.array(store.image(position))).permute(2, 0, 1)[None]
        if resize and store.size is not None:
            image = resize_batch(image, resize)
        top, left = int(boxes.tops[place]), int(boxes.lefts[place])
        box = image[..., top : top + int(boxes.heights[place]), left : left + int(boxes.widths[place])]
        squares[place] = resize_to(box, (size, size))[0]
    return upload(squares, device)


_resident: WeakKeyDictionary[PixelStore, dict[torch.device, DeviceReader]] = WeakKeyDictionary()
_placing = threading.Lock()


def reader_on(device: torch.device, store: PixelStore) -> WindowReader:
    """A store's images for a device: on it, once for all trainings in this process, where that leaves it room."""
    if device.type != "cuda":
        return HostReader(store, device)
    with _placing:
        resident = _resident.setdefault(store.whole, {})
        if device not in resident and len(store.pixels) <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            resident[device] = DeviceReader.of(store, device)
        return resident.get(device) or HostReader(store, device)
