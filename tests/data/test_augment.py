"""Every operation against torchvision's own function, on the same drawn parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as reference
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import perspective

from quorum.data.augment.color import ColorJitter, Grayscale, turn_hue
from quorum.data.augment.geometry import Affine, Flip, Perspective
from quorum.data.augment.operation import Draws, Images, Operation
from quorum.data.augment.policies import HFLIP, POLICIES, VFLIP, Policy, to_float
from quorum.data.crop import gather, random_starts
from quorum.randomness import generator

SIZE = 33


@pytest.fixture
def images() -> Images:
    return torch.rand(24, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def apply(operation: Operation, images: Images, draws: Draws) -> Images:
    return operation.apply(images, operation.prepare(draws, SIZE))


def vary(policy: Policy, images: torch.Tensor, draws: torch.Generator) -> Images:
    return policy.apply(images, policy.draw(len(images), SIZE, draws))


@pytest.mark.parametrize(("operation", "theirs"), [(HFLIP, reference.hflip), (VFLIP, reference.vflip)])
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


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("channels_last", [False, True])
def test_an_image_is_varied_alike_whatever_is_beside_it(images: Images, name: str, channels_last: bool) -> None:
    policy = POLICIES[name]
    pixels = (images * 255).byte()
    if channels_last:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    prepared = policy.draw(len(pixels), SIZE, generator(3, 1, "augment"))
    whole = policy.apply(pixels, prepared)
    for size in (1, 5, 16):
        for start in range(0, len(pixels), size):
            stop = min(start + size, len(pixels))
            part = policy.apply(pixels[start:stop], [drawn.part(start, stop) for drawn in prepared])
            assert torch.equal(part, whole[start:stop])


def test_a_mean_that_threads_could_share_is_alike_too() -> None:
    images = torch.rand(3, 3, 200, 200, generator=torch.Generator().manual_seed(1))  # torch shares from 32,768 on
    operation = ColorJitter(0.3, 0.3, 0.3, 0.1)
    prepared = operation.prepare(operation.draw(3, 200, generator(0, 1, "augment")), 200)
    whole = operation.apply(images, prepared)
    for i in range(3):
        assert torch.equal(operation.apply(images[i : i + 1], prepared.part(i, i + 1))[0], whole[i])


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_bytes_are_varied_as_their_values_are(images: Images, name: str) -> None:
    pixels = (images * 255).byte()
    before = pixels.clone()
    out = vary(POLICIES[name], pixels, generator(3, 1, "augment"))
    assert torch.equal(out, vary(POLICIES[name], to_float(pixels), generator(3, 1, "augment")))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_keeps_shape_range_and_its_argument(images: Images, name: str) -> None:
    before = images.clone()
    out = vary(POLICIES[name], images, generator(3, 1, "augment"))
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(images, before)
    assert torch.equal(out, vary(POLICIES[name], images, generator(3, 1, "augment")))
    if POLICIES[name].operations:
        assert not torch.equal(out, vary(POLICIES[name], images, generator(3, 2, "augment")))


def theirs(operation: Operation, image: Images, draws: Draws, i: int) -> Images:
    """torchvision's own function for one image [3, s, s], with the parameters that were drawn for it."""
    if isinstance(operation, Flip):
        flip = reference.hflip if operation.axis == -1 else reference.vflip
        return flip(image) if draws["chosen"][i] else image
    if isinstance(operation, Grayscale):
        return reference.rgb_to_grayscale(image, 3) if draws["chosen"][i] else image
    if isinstance(operation, Affine):
        degrees, scale = float(draws["degrees"][i]), float(draws["scale"][i])
        shift = [int(value) for value in draws["shift"][i]]
        if operation.degrees:
            return reference.rotate(image, degrees)
        return reference.affine(image, 0.0, shift, scale, [0.0, 0.0])
    if isinstance(operation, Perspective):
        if not draws["chosen"][i]:
            return image
        return perspective(image, START, corners(draws, i), interpolation=InterpolationMode.BILINEAR)
    assert isinstance(operation, ColorJitter)
    adjust = (
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    )
    for kind in draws["order"][i]:
        image = adjust[kind](image, float(draws["factors"][i, kind]))
    return image


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_is_torchvisions_transforms_one_after_the_other(images: Images, name: str) -> None:
    draws = generator(3, 1, "augment")
    expected = list(images)
    operations = [
        # torchvision has no bicubic perspective for tensors; test_bicubic_perspective_is_near_pillows compares that
        Perspective(o.distortion, o.p, "bilinear") if isinstance(o, Perspective) else o
        for o in POLICIES[name].operations
    ]
    for operation in operations:
        drawn = operation.draw(len(images), SIZE, draws)
        expected = [theirs(operation, image, drawn, i) for i, image in enumerate(expected)]
    out = vary(Policy(operations=tuple(operations)), images, generator(3, 1, "augment"))
    # nearest neighbor: rounding may take the other neighbor on a boundary, and jitter's contrast, which looks at the
    # mean of the image, hands that on to every pixel, a little
    differ = ((out - torch.stack(expected)).abs() > 0.01).any(dim=1).float().mean()
    assert differ < 0.02


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
