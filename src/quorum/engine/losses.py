"""Losses by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F

from quorum.choices import arguments, choose, refused
from quorum.errors import ConfigError, shown
from quorum.registry import Registry

Loss = Callable[..., torch.Tensor]

LOSSES: Registry[Loss] = Registry("loss", setting="loss")
CLASS_WEIGHTS = "class_weights"  # the argument that a training fills in where classes are weighted


def register_loss(name: str) -> Callable[[Loss], Loss]:
    """A decorator that adds a loss, which is trained on and measured in validation and test.

    It decorates a function of logits float32 [n, classes] and labels int64 [n] that returns their mean loss, a tensor
    of no dimensions. Further arguments, with defaults, are set in an expression: `loss: mine(margin=0.5)`.

    One that takes `class_weights=None` goes with `balance=weights`: it is then trained on with float32 [classes]. One
    that takes shares of the classes too, float32 [n, classes], goes with `mix`.

    Raises:
        ConfigError: where the name is taken.
    """
    return LOSSES.register(name)


def make_loss(text: str) -> Loss:
    """The loss that an expression names.

    Raises:
        ConfigError: for a loss or a setting of it that is unknown.
    """
    return choose(LOSSES, text, filled=(CLASS_WEIGHTS,))


@functools.lru_cache(maxsize=256)
def check_loss(text: str) -> None:
    """Raise ConfigError for a loss that is unknown, or with its settings is not a number that can be differentiated."""
    loss = make_loss(text)
    with refused("loss", text):
        _check_value(loss(*_example()))


@functools.lru_cache(maxsize=256)
def check_weighted(text: str) -> None:
    """Raise ConfigError for a loss that cannot weigh classes."""
    loss = make_loss(text)
    if CLASS_WEIGHTS not in arguments(loss):
        reason = f"balance=weights needs a loss with an argument {CLASS_WEIGHTS}, which this one lacks"
        raise ConfigError(f"loss: {shown(text)}: {reason}", setting="loss")
    with refused("loss", text):
        _check_value(loss(*_example(), class_weights=torch.ones(3)))


@functools.lru_cache(maxsize=256)
def check_mixed(text: str) -> None:
    """Raise ConfigError for a loss that takes no shares of the classes in the place of labels, or is another one for
    them."""
    loss, (logits, labels) = make_loss(text), _example()
    expected = loss(logits, labels)
    shares = F.one_hot(labels, 3).float()
    try:
        found = loss(logits, shares)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        found = None
    if found is None or found.shape != () or not torch.allclose(found, expected):
        reason = "mix needs a loss that takes shares of the classes, float32 [n, classes]; this one takes labels alone"
        raise ConfigError(f"loss: {shown(text)}: {reason}", setting="loss")


def _example() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [2, 3], which need a gradient, and labels [2]."""
    return torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.0, 0.5]], requires_grad=True), torch.tensor([0, 2])


def _check_value(value: torch.Tensor) -> None:
    if value.shape != () or not value.requires_grad:
        raise ValueError(f"is a tensor of shape {tuple(value.shape)} and not one number that has a gradient")


@register_loss("cross_entropy")
def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    class_weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Mean cross-entropy, nats. Smoothed labels are those of Szegedy et al. 2016, section 7.

    Args:
        logits: float32 [n, classes].
        labels: int64 [n], or float32 [n, classes], shares of the classes.
        class_weights: float32 [classes]. With labels the mean is the weighted one, over the weights of the batch's
            labels; with shares it is over the images (both are torch's).
        label_smoothing: share of each label that is given to all classes alike.
    """
    return F.cross_entropy(logits, labels, class_weights, label_smoothing=label_smoothing)
