"""Averages of a network's weights by name. Imports no torch: recipes and the sweep's tree need them, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from quorum.choices import choose, refused
from quorum.config import TrialConfig
from quorum.registry import Registry


@dataclass(frozen=True)
class Averaging:
    """How the weights of an epoch enter the average.

    Attributes:
        every: after which they are added. `step`: after each step of the optimizer; buffers, such as the statistics of
            batch norm, are averaged like weights. `epoch`: after its last step; the statistics of batch norm are then
            those of the average, measured anew on the epoch's images.
        decay: of an exponential average, 0 <= decay < 1: it becomes decay * average + (1 - decay) * weights. None: all
            that was added has the same weight.

    Raises:
        ValueError: for another decay.
    """

    every: Literal["step", "epoch"]
    decay: float | None = None

    def __post_init__(self) -> None:
        if self.decay is not None and not 0 <= self.decay < 1:
            raise ValueError(f"decay is {self.decay}; it has to be at least 0 and less than 1")


Average = Callable[..., Averaging | None]

AVERAGES: Registry[Average] = Registry("average", setting="average")


def register_average(name: str) -> Callable[[Average], Average]:
    """A decorator that adds an average of weights.

    It decorates a function of an epoch, counted from 1, and a TrialConfig, that says how the weights of that epoch
    enter the average: an `Averaging`, or None where they do not. Further arguments, with defaults, are set in an
    expression: `average: mine(decay=0.9)`.

    Raises:
        ConfigError: where the name is taken.
    """
    return AVERAGES.register(name)


def averaging(config: TrialConfig, epoch: int) -> Averaging | None:
    """How the weights of an epoch, counted from 1, enter the average; None where they do not.

    Raises:
        ConfigError: for an average or a setting of it that is unknown.
    """
    return choose(AVERAGES, config.average)(epoch, config)


def check_average(config: TrialConfig) -> None:
    """Raise ConfigError for an average that is unknown, or does not work as it is set."""
    choose(AVERAGES, config.average)
    with refused("average", config.average):
        for epoch in range(1, config.epochs + 1):
            how = averaging(config, epoch)
            if not isinstance(how, Averaging | None):
                raise TypeError(f"gives {how!r} in epoch {epoch}; it has to be an Averaging or None")
            if how is not None and how.every == "epoch" and config.frozen_norm == "fixed" and config.phases != "all":
                raise ValueError("measures the statistics of batch norm anew, and frozen_norm=fixed keeps them")


@register_average("none")
def none(_epoch: int, _config: TrialConfig) -> None:
    """No average: the network is the one that was trained."""


@register_average("ema")
def ema(_epoch: int, _config: TrialConfig, *, decay: float = 0.999) -> Averaging:
    """The exponential moving average of the weights after every step (Polyak and Juditsky 1992; with decay, as in
    Tarvainen and Valpola 2017), begun with those after the first."""
    return Averaging("step", decay)


@register_average("swa")
def swa(epoch: int, config: TrialConfig, *, start: float = 0.75) -> Averaging | None:
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of the weights after every epoch that follows the
    first `start` of all epochs, rounded, and of the last one at least. Until then nothing is averaged."""
    if not 0 <= start < 1:
        raise ValueError(f"start is {start}; it is a fraction of the epochs, at least 0 and less than 1")
    first = min(round(start * config.epochs) + 1, config.epochs)
    return Averaging("epoch") if epoch >= first else None
