"""Depthwise convolutions that are not slow to train in bf16 on a CPU.

oneDNN has no fast bf16 kernel for two of their gradients: that of the input where the stride is more than one (5 to
500 times the time of the float32 kernel) and that of the weights where the output is a few pixels (5 times). Both are
computed in float32 here, which is at least as precise. MobileNetV2 at 64 pixels trains twice as fast.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

FEW_PIXELS = 4  # of an output, up to which the float32 kernel of the weights' gradient is the faster one

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
        if input.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
            kind = torch.get_autocast_dtype("cpu")
            output: torch.Tensor = _Float32Gradients.apply(
                input.to(kind), self.weight.to(kind), self.stride, self.padding
            )
            return output
        return super().forward(input)


def with_fast_depthwise(model: nn.Module) -> nn.Module:
    """Put DepthwiseConv2d in the place of the convolutions of a network that are depthwise, in place."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d and _fits(child):
                setattr(parent, name, DepthwiseConv2d.of(child))
    return model


def _fits(conv: nn.Conv2d) -> bool:
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    plain = conv.bias is None and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    return depthwise and plain and not isinstance(conv.padding, str)


class _Float32Gradients(torch.autograd.Function):
    """A depthwise convolution whose gradients are computed in float32 where that is faster."""

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
        few_pixels = grad.shape[-2] * grad.shape[-1] <= FEW_PIXELS
        found_input = found_weight = None
        if of_input:
            kind = torch.float32 if max(stride) > 1 else grad.dtype
            # The gradient of the input needs its shape alone, so its values are not converted.
            shaped = input if kind == input.dtype else torch.empty_like(input, dtype=kind)
            found_input = _gradient(grad.to(kind), shaped, weight.to(kind), stride, padding, 0).to(input.dtype)
        if of_weight:
            kind = torch.float32 if few_pixels else grad.dtype
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
