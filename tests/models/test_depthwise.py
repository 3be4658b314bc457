"""Depthwise convolutions: the same values, and gradients that are as near to the true ones as torch's own."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from quorum.models import build
from quorum.models.depthwise import DepthwiseConv2d, DepthwiseConv2dSame, with_fast_depthwise


def gradients(conv: nn.Module, images: torch.Tensor, precision: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Output, and the gradients of input and weights, of a sum of squares."""
    given = images.clone().requires_grad_()
    conv.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        output = conv(given)
    output.float().square().sum().backward()
    assert given.grad is not None
    [weight] = conv.parameters()
    assert weight.grad is not None
    return output.detach().float(), given.grad, weight.grad.clone()


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 16])
def test_gradients_are_as_near_as_torchs(side: int, stride: int, kernel: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(24, 24, kernel, stride, kernel // 2, groups=24, bias=False)
    ours = DepthwiseConv2d.of(plain)
    assert ours.weight is plain.weight
    images = torch.randn(8, 24, side, side).contiguous(memory_format=torch.channels_last)
    exact = gradients(plain, images, torch.float32)
    for mine, torchs in zip(gradients(ours, images, torch.float32), exact, strict=True):
        if side < kernel or (kernel == 5 and exact[0].shape[-1] <= 8):
            torch.testing.assert_close(mine, torchs)
        else:
            assert torch.equal(mine, torchs)
    theirs, found = (gradients(conv, images, torch.bfloat16) for conv in (plain, ours))
    assert torch.equal(found[0], theirs[0])
    for mine, torchs, true in zip(found[1:], theirs[1:], exact[1:], strict=True):
        assert distance(mine, true) <= 1.1 * distance(torchs, true) + 1e-6


@pytest.mark.parametrize("kernel", [3, (5, 3)])
@pytest.mark.parametrize("stride", [2, (1, 2), 3])
@pytest.mark.parametrize(("height", "width"), [(1, 2), (4, 7), (16, 15)])
def test_images_that_are_padded_as_tensorflow_does(
    height: int, width: int, stride: int | tuple[int, int], kernel: int | tuple[int, int]
) -> None:
    torch.manual_seed(0)
    plain = Conv2dSame(24, 24, kernel, stride, groups=24, bias=False)
    ours = DepthwiseConv2dSame.of(plain)
    images = torch.randn(8, 24, height, width).contiguous(memory_format=torch.channels_last)
    exact = gradients(plain, images, torch.float32)
    for mine, torchs in zip(gradients(ours, images, torch.float32), exact, strict=True):
        torch.testing.assert_close(mine, torchs)
    theirs, found = (gradients(conv, images, torch.bfloat16) for conv in (plain, ours))
    assert torch.equal(found[0], theirs[0])
    for mine, torchs, true in zip(found[1:], theirs[1:], exact[1:], strict=True):
        assert distance(mine, true) <= 1.1 * distance(torchs, true) + 1e-6


@pytest.mark.family
@pytest.mark.parametrize(("height", "width"), [(1, 6), (6, 2), (3, 4)])
@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (2, 2)), ((2, 3), (2, 4)), ((3, 1), (3, 2))])
def test_images_smaller_than_the_kernel(
    height: int, width: int, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv = DepthwiseConv2d.of(nn.Conv2d(3, 3, (4, 5), stride, padding, groups=3, bias=False)).double()
    nn.init.normal_(conv.weight)
    images = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)

    def convolved(given: torch.Tensor, _weight: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = conv(given)
        return output

    assert torch.autograd.gradcheck(convolved, (images, conv.weight))


def test_gradients_that_are_not_needed_are_not_computed() -> None:
    conv = DepthwiseConv2d.of(nn.Conv2d(4, 4, 3, 2, 1, groups=4, bias=False))
    conv.weight.requires_grad_(False)
    images = torch.randn(2, 4, 8, 8, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        conv(images).float().sum().backward()
    assert conv.weight.grad is None
    assert images.grad is not None


def test_only_depthwise_convolutions_are_replaced_and_names_stay() -> None:
    model = build("mobilenet_v2", 10, seed=0)
    kinds = [type(layer) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert (kinds.count(DepthwiseConv2d), kinds.count(nn.Conv2d)) == (17, 35)
    grouped = nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(1, 1, 3))
    names = list(grouped.state_dict())
    with_fast_depthwise(grouped)
    assert [type(layer) for layer in grouped] == [nn.Conv2d] * 3  # groups of two; a bias; one channel
    assert list(grouped.state_dict()) == names
    lite = [type(layer) for layer in build("timm/tf_efficientnet_lite0", 10, seed=0).modules()]
    assert (lite.count(DepthwiseConv2d), lite.count(DepthwiseConv2dSame), lite.count(Conv2dSame)) == (12, 4, 1)
