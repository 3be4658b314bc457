"""A running average of a network's weights."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

from quorum.engine.device import autocast
from quorum.engine.epoch import Batch
from quorum.engine.state import AverageState

Tensors = list[torch.Tensor]


class WeightAverage:
    """A network that has the average of another one's weights. The first that are added are the average.

    It averages as torch's `AveragedModel` does, by the same functions. That one, at every update, reads its counter
    from the device, which each batch would wait for, and walks through all modules; here tensors are listed once an
    epoch.

    Attributes:
        network: a copy of the network that is averaged, with the average.
        count: how many times weights were added.
    """

    def __init__(self, source: nn.Module, state: AverageState | None = None) -> None:
        """An average of the weights that a network will have.

        Args:
            source: the network.
            state: an average of its weights to go on with.
        """
        self._source = source
        self.network = copy.deepcopy(source).requires_grad_(False)
        self.count = 0
        if state is not None:
            self.network.load_state_dict(state.weights)
            self.count = state.count

    def state(self) -> AverageState:
        """The average as it is; its tensors are the network's own."""
        return AverageState(self.network.state_dict(), self.count)

    @contextlib.contextmanager
    def adding_steps(self, optimizer: torch.optim.Optimizer, decay: float | None) -> Iterator[None]:
        """Add the weights after each step of an optimizer. Buffers of floating point, such as the statistics of batch
        norm, are averaged like weights; others are copied at the end.

        Args:
            optimizer: of the network that is averaged.
            decay: of an exponential average; None: all that was added has the same weight.
        """
        averaged, current = (_parameters(one) + _buffers(one, floating=True) for one in self._networks)
        hook = optimizer.register_step_post_hook(lambda *_: self._add(averaged, current, decay))
        try:
            yield
        finally:
            hook.remove()
        _copy(*(_buffers(one, floating=False) for one in self._networks))

    def add_epoch(self, decay: float | None, batches: Iterable[Batch], precision: str) -> None:
        """Add the weights once, and measure the statistics of batch norm anew, each batch counting alike. Other buffers
        are copied. Dropout draws from torch's global generator.

        Args:
            decay: of an exponential average; None: all that was added has the same weight.
            batches: input float32 [n, 3, s, s] and labels int64 [n] to measure the statistics on.
            precision: `float32` or `bf16`.
        """
        averaged, current = map(_parameters, self._networks)
        self._add(averaged, current, decay)
        _copy(*(list(one.buffers()) for one in self._networks))
        with autocast(precision, averaged[0].device):
            update_bn(batches, self.network)

    @property
    def _networks(self) -> tuple[nn.Module, nn.Module]:
        return self.network, self._source

    def _add(self, averaged: Tensors, current: Tensors, decay: float | None) -> None:
        if not self.count:
            _copy(averaged, current)
        elif decay is None:
            get_swa_multi_avg_fn()(averaged, current, self.count)
        else:
            get_ema_multi_avg_fn(decay)(averaged, current, self.count)
        self.count += 1


def _parameters(network: nn.Module) -> Tensors:
    return [parameter.detach() for parameter in network.parameters()]


def _buffers(network: nn.Module, *, floating: bool) -> Tensors:
    return [buffer for buffer in network.buffers() if buffer.is_floating_point() is floating]


@torch.no_grad()
def _copy(targets: Tensors, sources: Tensors) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
