"""Every operation against torchvision's own function, on the same drawn parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as reference
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import perspective

from quorum.data.augment.color import ColorJitter, Grayscale, turn_hue
from quorum.data.augment.geometry import Affine, Flip, Perspective, homography, horizontal_flip, vertical_flip
from quorum.data.augment.operation import Draws, Images, Operation
from quorum.data.crop import gather, random_starts
from quorum.randomness import generator

SIZE = 33


@pytest.fixture
def images() -> Images:
    return torch.rand(24, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def apply(operation: Operation, images: Images, draws: Draws) -> Images:
    return operation.apply(images, operation.prepare(draws, SIZE))


@pytest.mark.parametrize(
    ("operation", "theirs"), [(horizontal_flip(), reference.hflip), (vertical_flip(), reference.vflip)]
)
def test_flip(images: Images, operation: Flip, theirs: object) -> None:
    draws = operation.draw(len(images), SIZE, generator(0, 1, "augment"))
    out = apply(operation, images, draws)
    assert 0 < draws["chosen"].sum() < len(images)
    for i, chosen in enumerate(draws["chosen"]):
        assert torch.equal(out[i], theirs(images[i]) if chosen else images[i])  # type: ignore[operator]


def test_grayscale(images: Images) -> None:
    operation = Grayscale(0.5)
    draws = operation.draw(len(images), SIZE, generator(0, 1, "augment"))
    out = apply(operation, images, draws)
    assert 0 < draws["chosen"].sum() < len(images)
    for i, chosen in enumerate(draws["chosen"]):
        expected = reference.rgb_to_grayscale(images[i], 3) if chosen else images[i]
        torch.testing.assert_close(out[i], expected)


@pytest.mark.parametrize(
    "operation", [Affine(degrees=30), Affine(translate=0.1), Affine(translate=0.1, scale=(0.9, 1.1))]
)
def test_affine(images: Images, operation: Affine) -> None:
    draws = operation.draw(len(images), SIZE, generator(0, 2, "augment"))
    out = apply(operation, images, draws)
    for i in range(len(images)):
        degrees, scale = float(draws["degrees"][i]), float(draws["scale"][i])
        shift = [int(value) for value in draws["shift"][i]]
        if operation.degrees:
            expected = reference.rotate(images[i], degrees)
        else:
            expected = reference.affine(images[i], 0.0, shift, scale, [0.0, 0.0])
        # nearest neighbor: rounding may take the other neighbor on a boundary
        assert (out[i] != expected).any(dim=0).float().mean() < 0.01


def test_affine_draws_cover_their_range() -> None:
    draws = Affine(degrees=15, translate=0.25, scale=(0.9, 1.1)).draw(4000, 32, generator(0, 1, "augment"))
    assert -15 <= draws["degrees"].min() < -14
    assert 14 < draws["degrees"].max() <= 15
    assert draws["shift"].abs().max() == 8
    assert 0.9 <= draws["scale"].min() < 0.91
    assert 1.09 < draws["scale"].max() <= 1.1


def test_perspective(images: Images) -> None:
    operation = Perspective(0.5, 0.5, "bilinear")  # the one that torchvision has for tensors
    draws = operation.draw(len(images), SIZE, generator(0, 1, "augment"))
    out = apply(operation, images, draws)
    assert 0 < draws["chosen"].sum() < len(images)
    for i, chosen in enumerate(draws["chosen"]):
        if chosen:
            expected = perspective(images[i], START, corners(draws, i), interpolation=InterpolationMode.BILINEAR)
            torch.testing.assert_close(out[i], expected, atol=1e-3, rtol=0)
        else:
            assert torch.equal(out[i], images[i])


def test_bicubic_perspective_is_near_pillows() -> None:
    ramp = torch.linspace(0, 3, SIZE)
    smooth = (torch.sin(ramp)[:, None] * torch.cos(ramp)[None, :] / 2 + 0.5).expand(8, 3, SIZE, SIZE)
    operation = Perspective(0.5, 1.0)
    draws = operation.draw(8, SIZE, generator(0, 1, "augment"))
    out = apply(operation, smooth, draws)
    covered = apply(operation, torch.ones_like(smooth), draws)
    inside = -torch.nn.functional.max_pool2d(-covered, 7, stride=1, padding=3)[:, 0] > 0.99  # away from the border
    for i in range(8):
        picture = reference.to_pil_image(smooth[i])
        warped = reference.perspective(picture, START, corners(draws, i), interpolation=InterpolationMode.BICUBIC)
        expected = reference.to_tensor(warped)
        assert inside[i].sum() > 50
        assert (out[i] - expected).abs().amax(dim=0)[inside[i]].max() < 0.01


START = [[0, 0], [SIZE - 1, 0], [SIZE - 1, SIZE - 1], [0, SIZE - 1]]


@pytest.mark.parametrize(
    ("drawn", "kept"),
    [
        ([[2.0, 2.0], [6.0, 1.0], [6.0, 6.0], [0.0, 5.0]], True),  # the pixel at 0, 0 is on the horizon
        ([[4.0, 4.0], [4.0, 4.0], [4.0, 4.0], [4.0, 4.0]], False),  # no area is left
    ],
)
def test_a_perspective_whose_equations_are_singular(drawn: list[list[float]], kept: bool) -> None:
    target = torch.tensor([[0, 0], [7, 0], [7, 7], [0, 7]], dtype=torch.float64)
    source = torch.tensor([drawn], dtype=torch.float64)
    a = homography(source, target)[0]
    x, y = source[0].unbind(-1)
    mapped = torch.stack([a[0] * x + a[1] * y + a[2], a[3] * x + a[4] * y + a[5]], dim=-1)
    found = mapped / (a[6] * x + a[7] * y + 1)[:, None]
    torch.testing.assert_close(found, target if kept else source[0], atol=1e-3, rtol=0)


def corners(draws: Draws, i: int) -> list[list[int]]:
    return [[int(x) for x in corner] for corner in draws["corners"][i]]


def test_color_jitter(images: Images) -> None:
    operation = ColorJitter(0.3, 0.3, 0.3, 0.1)
    draws = operation.draw(len(images), SIZE, generator(0, 1, "augment"))
    out = apply(operation, images, draws)
    theirs = (
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    )
    assert len({tuple(order) for order in draws["order"].tolist()}) > 4
    for i in range(len(images)):
        expected = images[i]
        for kind in draws["order"][i]:
            expected = theirs[kind](expected, float(draws["factors"][i, kind]))
        torch.testing.assert_close(out[i], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("gray", [False, True])
def test_the_hue_is_turned_by_up_to_half_the_circle(images: Images, gray: bool) -> None:
    if gray:
        images = images[:, :1].expand(-1, 3, -1, -1).contiguous()
    primary = torch.tensor([[r, g, b] for r in (0.0, 1.0) for g in (0.0, 1.0) for b in (0.0, 1.0)])
    images[0, :, 0, :8] = primary.T
    shifts = torch.linspace(-0.5, 0.5, len(images))
    out = images.clone()
    turn_hue(out, shifts[:, None, None, None])
    for i, shift in enumerate(shifts.tolist()):
        torch.testing.assert_close(out[i], reference.adjust_hue(images[i], shift), atol=1e-5, rtol=0)


def test_a_mean_that_threads_could_share_is_alike_too() -> None:
    images = torch.rand(3, 3, 200, 200, generator=torch.Generator().manual_seed(1))  # torch shares from 32,768 on
    operation = ColorJitter(0.3, 0.3, 0.3, 0.1)
    prepared = operation.prepare(operation.draw(3, 200, generator(0, 1, "augment")), 200)
    whole = operation.apply(images, prepared)
    for i in range(3):
        assert torch.equal(operation.apply(images[i : i + 1], prepared.part(i, i + 1))[0], whole[i])


def test_a_random_crop_repeats_edges_as_torchvisions_padding_does() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    size = 32
    heights, widths = np.full(50, 20), np.full(50, 40)
    draws = generator(0, 1, "augment")
    tops, lefts = random_starts(heights, size, draws), random_starts(widths, size, draws)
    assert len(set(tops.tolist())) > 5
    windows = gather([pixels] * 50, tops, lefts, size, "edge")
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    # RandomCrop(32, pad_if_needed=True, padding_mode="edge") pads 12 rows on both ends and then crops
    padded = reference.pad(image, [0, 12, 0, 12], padding_mode="edge")
    for window, top, left in zip(windows, tops, lefts, strict=True):
        expected = reference.crop(padded, int(top) + 12, int(left), size, size)
        assert torch.equal(torch.from_numpy(window).permute(2, 0, 1), expected)
