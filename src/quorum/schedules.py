"""Schedules of the learning rate by name. Imports no torch: recipes and the sweep's tree need them, too."""

from __future__ import annotations

import math
from collections.abc import Callable

from quorum.choices import choose, refused
from quorum.config import TrialConfig
from quorum.errors import ConfigError
from quorum.registry import Registry

Schedule = Callable[..., float]

SCHEDULES: Registry[Schedule] = Registry("schedule", setting="schedule")


def register_schedule(name: str) -> Callable[[Schedule], Schedule]:
    """A decorator that adds a schedule.

    It decorates a function of an epoch, counted from 1, and a TrialConfig, that returns the factor on the trial's `lr`
    for that epoch. Further arguments, with defaults, are set in an expression: `schedule: mine(final=0.1)`.

    Raises:
        ConfigError: where the name is taken.
    """
    return SCHEDULES.register(name)


def lr_factor(config: TrialConfig, epoch: int) -> float:
    """The factor on `lr` in an epoch, counted from 1.

    Raises:
        ConfigError: for a schedule or a setting of it that is unknown.
    """
    return choose(SCHEDULES, config.schedule)(epoch, config)


def check_schedule(config: TrialConfig) -> None:
    """Raise ConfigError for a schedule that is unknown, or gives no factor in one of the epochs."""
    choose(SCHEDULES, config.schedule)
    with refused("schedule", config.schedule):
        for epoch in range(1, config.epochs + 1):
            factor = lr_factor(config, epoch)
            if not (math.isfinite(factor) and factor >= 0):
                reason = f"the factor in epoch {epoch} is {factor}; it has to be finite and not negative"
                raise ConfigError(f"schedule: {config.schedule!r:.80}: {reason}", setting="schedule")


@register_schedule("step")
def step(epoch: int, config: TrialConfig) -> float:
    """gamma ** ((epoch - 1) // step_size), as torch's StepLR stepped once an epoch."""
    drops = (epoch - 1) // config.step_size if config.step_size else 0
    return config.gamma**drops


@register_schedule("constant")
def constant(_epoch: int, _config: TrialConfig) -> float:
    """The same learning rate in every epoch."""
    return 1.0


@register_schedule("cosine")
def cosine(epoch: int, config: TrialConfig, *, final: float = 0.0) -> float:
    """From 1 towards `final` along half a cosine, as torch's CosineAnnealingLR stepped once an epoch.

    With t = (epoch - 1) / epochs it is final + (1 - final) (1 + cos(pi t)) / 2 (Loshchilov and Hutter 2017, eq. 5).
    """
    return final + (1 - final) * (1 + math.cos(math.pi * (epoch - 1) / config.epochs)) / 2
