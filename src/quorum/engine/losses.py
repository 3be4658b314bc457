"""Losses by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F

from quorum.choices import choose, refused
from quorum.registry import Registry

Loss = Callable[..., torch.Tensor]

LOSSES: Registry[Loss] = Registry("loss", setting="loss")


def register_loss(name: str) -> Callable[[Loss], Loss]:
    """A decorator that adds a loss, which is trained on and measured in validation and test.

    It decorates a function of logits float32 [n, classes] and labels int64 [n] that returns their mean loss, a tensor
    of no dimensions. Further arguments, with defaults, are set in an expression: `loss: mine(margin=0.5)`.

    Raises:
        ConfigError: where the name is taken.
    """
    return LOSSES.register(name)


def make_loss(text: str) -> Loss:
    """The loss that an expression names.

    Raises:
        ConfigError: for a loss or a setting of it that is unknown.
    """
    return choose(LOSSES, text)


@functools.lru_cache(maxsize=256)
def check_loss(text: str) -> None:
    """Raise ConfigError for a loss that is unknown, or with its settings is not a number that can be differentiated."""
    loss = make_loss(text)
    with refused("loss", text):
        value = loss(torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 2]))
        if value.shape != () or not value.requires_grad:
            raise ValueError(f"is a tensor of shape {tuple(value.shape)} and not one number that has a gradient")


@register_loss("cross_entropy")
def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """Mean cross-entropy, nats. Smoothed labels are those of Szegedy et al. 2016, section 7."""
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
