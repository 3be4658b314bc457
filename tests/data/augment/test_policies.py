"""Policies: expressions and the reports' names for them."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.functional as reference
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import perspective

from quorum.data.augment.color import ColorJitter, Grayscale
from quorum.data.augment.geometry import Affine, Flip, Perspective
from quorum.data.augment.operation import Draws, Images, Operation, RandomCrop, to_float
from quorum.data.augment.policies import POLICIES, Policy, policy
from quorum.errors import ConfigError
from quorum.randomness import generator

SIZE = 33
NAMES = ["none", "flip", *POLICIES]
HFLIP, VFLIP, CROP = Flip(-1), Flip(-2), RandomCrop("edge")
JITTER20, SHIFT10 = ColorJitter(0.2, 0.2, 0.2, 0.1), Affine(translate=0.1)


@pytest.fixture
def images() -> Images:
    return torch.rand(24, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def vary(name: str, images: torch.Tensor, draws: torch.Generator) -> Images:
    varied = policy(name)
    return varied.apply(images, varied.draw(len(images), SIZE, draws))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", Policy()),
        ("flip", Policy(None, (HFLIP,))),
        ("crop-flip-grey", Policy(CROP, (HFLIP, Grayscale(0.1)))),
        ("perspective-rotation-vflip", Policy(None, (Perspective(0.5, 0.5, "bicubic"), Affine(30), VFLIP))),
        ("all-but-vflip", Policy(CROP, (HFLIP, Grayscale(0.1), Perspective(0.5, 0.5, "bicubic"), Affine(30)))),
        ("crop-flip-rotate15-jitter20-shift10", Policy(CROP, (HFLIP, Affine(15), JITTER20, SHIFT10))),
        ("flip-rotate10-jitter20-shift10", Policy(None, (HFLIP, Affine(10), JITTER20, SHIFT10))),
        ("flip-rotate15-jitter20-shift10", Policy(None, (HFLIP, Affine(15), JITTER20, SHIFT10))),
        (
            "flip-rotate15-jitter30-shift10-zoom10",
            Policy(
                None,
                (HFLIP, Affine(15), ColorJitter(0.3, 0.3, 0.3, 0.1), Affine(translate=0.1, scale=(0.9, 1.1))),
            ),
        ),
    ],
)
def test_the_reports_policies_are_these_operations(name: str, expected: Policy) -> None:
    assert policy(name) == expected


def test_a_policy_can_be_written_out() -> None:
    written = policy("random_crop('zeros') | flip(0.3) | rotate(degrees=15) | jitter(0.2, hue=0.1) | perspective")
    assert written.crop == RandomCrop("zeros")
    assert written.operations == (
        Flip(-1, 0.3),
        Affine(degrees=15),
        ColorJitter(0.2, 0, 0, 0.1),
        Perspective(0.5, 0.5, "bicubic"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop-flip-gray", "no augmentation policy 'crop-flip-gray' \\(did you mean 'crop-flip-grey'"),
        ("flp", "'flp' at character 1: no augmentation operation 'flp' \\(did you mean 'flip'"),
        ("flip | rotat(15)", "at character 8: no augmentation operation 'rotat' \\(did you mean 'rotate'"),
        ("flip | random_crop", "at character 8: random_crop has to come first"),
        ("random_crop | random_crop", "at character 15: random_crop has to come first"),
        ("random_crop(fill='gray')", "random_crop: fill='gray' must be 'zeros' or 'edge'"),
        ("flip(1.5)", "flip: p=1.5 must be less than or equal to 1"),
        ("rotate", "missing a required argument: 'degrees'; it is rotate\\(degrees\\)"),
        ("rotate(-1)", "degrees=-1 must be greater than or equal to 0"),
        ("jitter(hue=0.6)", "hue=0.6 must be less than or equal to 0.5"),
        ("affine(scale=(1.1, 0.9))", "scale=\\(1.1, 0.9\\) must be two factors above 0"),
        ("perspective(mode='cubic')", "mode='cubic' must be 'bicubic', 'bilinear' or 'nearest'"),
        ("crop-flip-grey | rotate(15)", "at character 1: expected NAME"),
        ("", "at character 1: cannot be read"),
    ],
)
def test_a_policy_that_is_wrong_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        policy(text)
    assert caught.value.setting == "augment"
    assert "\n" not in str(caught.value)


@pytest.mark.family
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_an_image_is_varied_alike_whatever_is_beside_it(images: Images, name: str, channels_last: bool) -> None:
    varied = policy(name)
    pixels = (images * 255).byte()
    if channels_last:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    prepared = varied.draw(len(pixels), SIZE, generator(3, 1, "augment"))
    whole = varied.apply(pixels, prepared)
    for size in (1, 5, 16):
        for start in range(0, len(pixels), size):
            stop = min(start + size, len(pixels))
            part = varied.apply(pixels[start:stop], [drawn.part(start, stop) for drawn in prepared])
            assert torch.equal(part, whole[start:stop])


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_varied_as_their_values_are(images: Images, name: str) -> None:
    pixels = (images * 255).byte()
    before = pixels.clone()
    out = vary(name, pixels, generator(3, 1, "augment"))
    assert torch.equal(out, vary(name, to_float(pixels), generator(3, 1, "augment")))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_keeps_shape_range_and_its_argument(images: Images, name: str) -> None:
    before = images.clone()
    out = vary(name, images, generator(3, 1, "augment"))
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(images, before)
    assert torch.equal(out, vary(name, images, generator(3, 1, "augment")))
    if policy(name).operations:
        assert not torch.equal(out, vary(name, images, generator(3, 2, "augment")))


START = [[0, 0], [SIZE - 1, 0], [SIZE - 1, SIZE - 1], [0, SIZE - 1]]


def corners(draws: Draws, i: int) -> list[list[int]]:
    return [[int(x) for x in corner] for corner in draws["corners"][i]]


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


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_is_torchvisions_transforms_one_after_the_other(images: Images, name: str) -> None:
    draws = generator(3, 1, "augment")
    expected = list(images)
    operations = [
        # torchvision has no bicubic perspective for tensors; test_bicubic_perspective_is_near_pillows compares that
        Perspective(o.distortion, o.p, "bilinear") if isinstance(o, Perspective) else o
        for o in policy(name).operations
    ]
    for operation in operations:
        drawn = operation.draw(len(images), SIZE, draws)
        expected = [theirs(operation, image, drawn, i) for i, image in enumerate(expected)]
    varied = Policy(operations=tuple(operations))
    out = varied.apply(images, varied.draw(len(images), SIZE, generator(3, 1, "augment")))
    # nearest neighbor: rounding may take the other neighbor on a boundary, and jitter's contrast, which looks at the
    # mean of the image, hands that on to every pixel, a little
    differ = ((out - torch.stack(expected)).abs() > 0.01).any(dim=1).float().mean()
    assert differ < 0.02
