"""Crop arithmetic, against torchvision."""

from __future__ import annotations

import numpy as np
import torch
import torchvision.transforms.v2.functional as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from quorum.data.crop import Fill, center_starts, gather, gather_tensor, random_starts
from quorum.data.images import Pixels
from quorum.data.resize import resize_batch, resize_in_float, resize_shorter_side, resized_shape

SIDES = st.integers(1, 40)


def image(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


@given(SIDES, SIDES, SIDES)
def test_center_crop_is_torchvisions(height: int, width: int, size: int) -> None:
    pixels = image(height, width)
    tops, lefts = center_starts(np.array([height]), size), center_starts(np.array([width]), size)
    ours = gather([pixels], tops, lefts, size)[0]
    theirs = reference.center_crop(tensor(pixels), [size, size]).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(ours, theirs)


@given(SIDES, SIDES, SIDES, st.integers(0, 1000))
def test_random_crop_is_a_window_of_torchvisions_padded_image(height: int, width: int, size: int, seed: int) -> None:
    pixels = image(height, width)
    draws = torch.Generator().manual_seed(seed)
    top = random_starts(np.array([height]), size, draws)
    left = random_starts(np.array([width]), size, draws)
    ours = gather([pixels], top, left, size, "edge")[0]
    # RandomCrop(pad_if_needed=True) pads a short side by all that it lacks, on both ends
    pad_y, pad_x = max(size - height, 0), max(size - width, 0)
    padded = reference.pad(tensor(pixels), [pad_x, pad_y, pad_x, pad_y], padding_mode="edge")
    y, x = int(top[0]) + pad_y, int(left[0]) + pad_x
    assert 0 <= y <= padded.shape[1] - size
    assert 0 <= x <= padded.shape[2] - size
    np.testing.assert_array_equal(ours, padded[:, y : y + size, x : x + size].permute(1, 2, 0).numpy())


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=30)
def test_random_crop_reaches_every_place_equally_often(length: int, size: int) -> None:
    lengths = np.full(4000, length)
    starts = random_starts(lengths, size, torch.Generator().manual_seed(0))
    slack = length - size
    places = np.arange(min(slack, 0), max(slack, 0) + 1)
    counts = np.array([(starts == place).sum() for place in places])
    assert counts.sum() == 4000
    expected = 4000 / len(places)
    assert (np.abs(counts - expected) < 6 * np.sqrt(expected)).all()


@given(
    st.lists(st.tuples(SIDES, SIDES, st.integers(-60, 60), st.integers(-60, 60)), min_size=1, max_size=6),
    SIDES,
    st.sampled_from(["zeros", "edge"]),
)
def test_windows_are_gathered_by_tensor_operations_alike(
    windows: list[tuple[int, int, int, int]], size: int, fill: Fill
) -> None:
    heights, widths, tops, lefts = (np.array(column) for column in zip(*windows, strict=True))
    images = [image(height, width) for height, width, _, _ in windows]
    lengths = heights * widths
    ours = gather_tensor(
        torch.from_numpy(np.concatenate([pixels.reshape(-1, 3) for pixels in images])),
        *(torch.from_numpy(values) for values in (np.cumsum(lengths) - lengths, heights, widths, tops, lefts)),
        size=size,
        fill=fill,
    )
    np.testing.assert_array_equal(ours.numpy(), gather(images, tops, lefts, size, fill))


@given(st.integers(2, 60), st.integers(2, 60), st.integers(2, 60))
def test_resize_in_float_is_that_of_bytes_but_for_rounding(height: int, width: int, shorter: int) -> None:
    pixels = tensor(image(height, width))[None]
    of_bytes = resize_batch(pixels, shorter)
    in_float = resize_in_float(pixels, resized_shape(height, width, shorter))
    assert (in_float.int() - of_bytes.int()).abs().max() <= 1


@given(st.integers(2, 60), st.integers(2, 60), st.integers(2, 60))
def test_resize_is_torchvisions(height: int, width: int, shorter: int) -> None:
    pixels = image(height, width)
    theirs = reference.resize(tensor(pixels), [shorter], antialias=True).permute(1, 2, 0).numpy()
    ours = resize_shorter_side(pixels, shorter)
    assert ours.shape[:2] == resized_shape(height, width, shorter)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
