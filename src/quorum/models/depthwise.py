"""Depthwise convolutions that are not slow to train on a CPU.

oneDNN is slow at three of their gradients:
- that of the weights where the input is smaller than the kernel, or the kernel large and the output small, in any
  arithmetic: up to 150 times the time of a sum of products of pixels for each weight, which is what is computed here;
- in bf16, that of the input where the stride is more than one (5 to 500 times the time of the float32 kernel);
- in bf16, that of the weights where the kernel is large (3 times) or the output a few pixels (5 times). What is slow in
  bf16 is computed in float32, which is at least as precise.

MobileNetV2 at 64 pixels trains 1.4 times as fast in float32, and twice as fast in bf16.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import nn

FEW_PIXELS = 4  # of an output, up to which the float32 kernel of the weights' gradient is the faster one
LARGE = 5  # weights along both sides of a kernel from which its gradient in bf16 is slow
SUMMED_PIXELS = 64  # of an output, up to which a large kernel's gradient is computed by sums of products

Pair = tuple[int, int]


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself; the same values as nn.Conv2d."""

    @classmethod
    def of(cls, conv: nn.Conv2d) -> DepthwiseConv2d:
        """The same convolution with the same parameters."""
        made = cls(
            conv.in_channels,
            conv.out_channels,
            cast("Pair", conv.kernel_size),
            cast("Pair", conv.stride),
            cast("Pair", conv.padding),
            groups=conv.groups,
            bias=False,
            device="meta",
        )
        made.weight = conv.weight
        return made

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[n, c, h, w] to [n, c, h', w']."""
        if input.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(input)
        mixed = torch.is_autocast_enabled("cpu")
        kind = torch.get_autocast_dtype("cpu") if mixed else input.dtype
        if not mixed and not _is_summed(input, self.weight, _pixels(input, self)):
            return super().forward(input)
        output: torch.Tensor = _FastGradients.apply(input.to(kind), self.weight.to(kind), self.stride, self.padding)
        return output


class DepthwiseConv2dSame(DepthwiseConv2d):
    """The same of images that are padded as TensorFlow's `same` does: an output for every stride of the input, and the
    odd pixel below and on the right."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[n, c, h, w] to [n, c, ceil(h / stride), ceil(w / stride)]."""
        height, width = (
            max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            for side, stride, kernel in zip(input.shape[-2:], self.stride, self.kernel_size, strict=True)
        )
        edges = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(nn.functional.pad(input, edges))


def with_fast_depthwise(
    model: nn.Module, slow: type[nn.Conv2d] = nn.Conv2d, fast: type[DepthwiseConv2d] = DepthwiseConv2d
) -> nn.Module:
    """Put fast convolutions in the place of those of a network that are depthwise, in place.

    Args:
        model: the network.
        slow: the kind that is replaced, no kind derived from it.
        fast: a kind that computes the same.
    """
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is slow and _fits(child):
                setattr(parent, name, fast.of(child))
    return model


def _fits(conv: nn.Conv2d) -> bool:
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    plain = conv.bias is None and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    return depthwise and plain and not isinstance(conv.padding, str)


def _is_smaller(input: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether an image has fewer rows or columns than the kernel."""
    return any(pixels < weights for pixels, weights in zip(input.shape[-2:], weight.shape[-2:], strict=True))


def _pixels(input: torch.Tensor, conv: nn.Conv2d) -> int:
    """Pixels of a convolution's output for an image."""
    sides = zip(input.shape[-2:], cast("Pair", conv.padding), conv.kernel_size, conv.stride, strict=True)
    return math.prod((side + 2 * padding - kernel) // stride + 1 for side, padding, kernel, stride in sides)


def _is_large(weight: torch.Tensor) -> bool:
    return min(weight.shape[-2:]) >= LARGE


def _is_summed(input: torch.Tensor, weight: torch.Tensor, pixels: int) -> bool:
    """Whether the gradient of the weights is computed by sums of products."""
    return _is_smaller(input, weight) or (_is_large(weight) and pixels <= SUMMED_PIXELS)


class _FastGradients(torch.autograd.Function):
    """A depthwise convolution whose gradients are computed in the way that is fastest."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair) -> torch.Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.nn.functional.conv2d(input, weight, None, stride, padding, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        input, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        of_input, of_weight = ctx.needs_input_grad[:2]
        precise = torch.promote_types(grad.dtype, torch.float32)
        found_input = found_weight = None
        if of_input:
            kind = precise if max(stride) > 1 else grad.dtype
            # The gradient of the input needs its shape alone, so its values are not converted.
            shaped = input if kind == input.dtype else torch.empty_like(input, dtype=kind)
            found_input = _gradient(grad.to(kind), shaped, weight.to(kind), stride, padding, 0).to(input.dtype)
        if of_weight:
            pixels = grad.shape[-2] * grad.shape[-1]
            summed = _is_summed(input, weight, pixels)
            kind = precise if summed or _is_large(weight) or pixels <= FEW_PIXELS else grad.dtype
            if summed:
                found_weight = _sums_of_products(grad.to(kind), input.to(kind), weight.shape, stride, padding)
            else:
                found_weight = _gradient(grad.to(kind), input.to(kind), weight.to(kind), stride, padding, 1)
            found_weight = found_weight.to(weight.dtype)
        return found_input, found_weight, None, None


def _gradient(
    grad: torch.Tensor, input: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair, which: int
) -> torch.Tensor:
    mask = [which == 0, which == 1, False]
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        grad, input, weight, None, stride, padding, (1, 1), False, (0, 0), weight.shape[0], mask
    )[which]
    return found


def _sums_of_products(
    grad: torch.Tensor, input: torch.Tensor, shape: torch.Size, stride: Pair, padding: Pair
) -> torch.Tensor:
    """The gradient of the weights, [c, 1, kh, kw]: for each weight, the sum over the pixels that it meets."""
    found = grad.new_zeros(shape)
    rows = [_meeting(i, grad.shape[2], input.shape[2], stride[0], padding[0]) for i in range(shape[2])]
    columns = [_meeting(j, grad.shape[3], input.shape[3], stride[1], padding[1]) for j in range(shape[3])]
    for i, (out_rows, in_rows) in enumerate(rows):
        for j, (out_columns, in_columns) in enumerate(columns):
            products = grad[:, :, out_rows, out_columns] * input[:, :, in_rows, in_columns]
            found[:, 0, i, j] = products.sum((0, 2, 3))
    return found


def _meeting(offset: int, outputs: int, inputs: int, stride: int, padding: int) -> tuple[slice, slice]:
    """Along one side: the outputs for which a weight of the kernel meets an input, and those inputs."""
    shift = offset - padding  # output o meets input o * stride + shift
    first = max(0, -(shift // stride))
    count = max(0, min(outputs, (inputs - 1 - shift) // stride + 1) - first)
    begin = first * stride + shift
    return slice(first, first + count), slice(begin, begin + count * stride, stride)
