"""Schedules of the learning rate by name. Imports no torch: recipes and the sweep's tree need them, too.

A schedule has no state: it is a function of the place in a training. The place is an epoch, counted from 1, or, where
a schedule is asked before every batch, a place within one: 2.25 is a quarter through the second epoch.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from quorum.choices import arguments, choose, refused
from quorum.config import TrialConfig
from quorum.errors import ConfigError, shown
from quorum.expressions import Call, parse_calls
from quorum.registry import Registry

Schedule = Callable[..., float]

SCHEDULES: Registry[Schedule] = Registry("schedule", setting="schedule")

_parsed = functools.lru_cache(maxsize=1024)(parse_calls)  # asked for every epoch of every training
_OF_BATCHES = 3  # batches of an epoch that a schedule is tried with


def register_schedule(name: str) -> Callable[[Schedule], Schedule]:
    """A decorator that adds a schedule.

    It decorates a function of an epoch, counted from 1, and a TrialConfig, that returns the factor on the trial's `lr`
    for that epoch. Further arguments, with defaults, are set in an expression: `schedule: mine(final=0.1)`. Three names
    of arguments have a meaning:

    - `per_batch`: where it is true, the function is called for every batch, with epochs such as 2.25.
    - `epochs`: the schedule lasts that many epochs, so another may follow it: `mine(epochs=5) | cosine`.
    - `batches`, without a default: the number of calls in an epoch (1 unless it is called for every batch).

    Raises:
        ConfigError: where the name is taken.
    """
    return SCHEDULES.register(name)


@dataclass(frozen=True)
class Turn:
    """The schedule of an expression whose turn it is in an epoch.

    Attributes:
        call: it, with its settings.
        before: epochs before its first.
        seen: the training as it knows it: its own epochs, and the settings that it may depend on.
    """

    call: Call
    before: int
    seen: TrialConfig

    @property
    def per_batch(self) -> bool:
        """Whether it is asked before every batch."""
        return bool(_setting(self.call, "per_batch"))

    def factors(self, epoch: int, batches: int) -> list[float]:
        """The factor on `lr` for each batch of an epoch of the training, counted from 1."""
        schedule, steps = choose(SCHEDULES, str(self.call)), batches if self.per_batch else 1
        filled = {"batches": steps} if "batches" in arguments(SCHEDULES[self.call.name]) else {}
        found = [schedule(epoch - self.before + step / steps, self.seen, **filled) for step in range(steps)]
        return found if self.per_batch else found * batches


def turn(config: TrialConfig, epoch: int) -> Turn:
    """Whose turn it is in an epoch, counted from 1.

    Raises:
        ConfigError: for a schedule or a setting of it that is unknown.
    """
    *first, last = _parsed(config.schedule, "schedule")
    before = 0
    for call in first:
        length = _setting(call, "epochs") or 0
        if epoch <= before + length:
            # What it cannot see cannot keep trainings from sharing its epochs.
            unseen = {name: type(config).model_fields[name].default for name in ("step_size", "gamma", "phases")}
            own = {"schedule": str(call), "epochs": length, **unseen}
            return Turn(call, before, config.model_copy(update=own))
        before += length
    if not before:
        return Turn(last, 0, config)
    return Turn(last, before, config.model_copy(update={"schedule": str(last), "epochs": config.epochs - before}))


def lr_factors(config: TrialConfig, epoch: int, batches: int) -> list[float]:
    """The factor on `lr` for each batch of an epoch.

    Args:
        config: the trial.
        epoch: counted from 1.
        batches: of the epoch.

    Raises:
        ConfigError: for a schedule or a setting of it that is unknown, or that gives no factor there.
    """
    with refused("schedule", config.schedule):
        return turn(config, epoch).factors(epoch, batches)


def factors_follow(config: TrialConfig, epoch: int) -> str:
    """What the factors of an epoch's batches follow, as text that is equal where, for every number of batches, all of
    them are; "" where they do not differ from batch to batch."""
    now = turn(config, epoch)
    if not now.per_batch:
        return ""
    seen = now.seen.model_dump_json(include={"schedule", "epochs", "step_size", "gamma", "phases"})
    return f"epoch {epoch - now.before} of {seen}"


def check_schedule(config: TrialConfig) -> None:
    """Raise ConfigError for a schedule that is unknown, longer than the training, or without a factor somewhere."""
    calls = _parsed(config.schedule, "schedule")
    before = 0
    for call in calls:
        choose(SCHEDULES, str(call))
        length = _setting(call, "epochs")
        if length is None and call is not calls[-1]:
            raise _wrong(config, f"{call.name} cannot come before another: it has no setting epochs")
        before += length or 0
        if length is not None and before >= config.epochs:
            raise _wrong(config, f"{call.name} ends after epoch {before}, and the training has {config.epochs}")
    for epoch in range(1, config.epochs + 1):
        for factor in set(lr_factors(config, epoch, _OF_BATCHES)):
            if not (math.isfinite(factor) and factor >= 0):
                raise _wrong(config, f"the factor in epoch {epoch} is {factor}; it has to be finite and not negative")


def _wrong(config: TrialConfig, reason: str) -> ConfigError:
    return ConfigError(f"schedule: {shown(config.schedule)}: {reason}", setting="schedule")


def _setting(call: Call, name: str) -> Any:
    """A setting of a call, as it is given or by default; None where its schedule has none of that name."""
    return call.kwargs.get(name, _defaults(SCHEDULES.named(call.name)).get(name))


@functools.cache
def _defaults(schedule: Schedule) -> dict[str, Any]:
    parameters = inspect.signature(schedule).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


@register_schedule("step")
def step(epoch: float, config: TrialConfig) -> float:
    """gamma ** ((epoch - 1) // step_size), as torch's StepLR stepped once an epoch; ExponentialLR at step_size 1."""
    drops = (epoch - 1) // config.step_size if config.step_size else 0
    return config.gamma**drops


@register_schedule("multistep")
def multistep(
    epoch: float,
    config: TrialConfig,
    *,
    milestones: tuple[int, ...] = (),
    gamma: Annotated[float, Field(gt=0)] | None = None,
) -> float:
    """A drop by `gamma` after each of `milestones`, in epochs, as torch's MultiStepLR stepped once an epoch.

    Args:
        epoch: counted from 1.
        config: the trial, whose `gamma` is the default.
        milestones: numbers of epochs.
        gamma: factor of each drop.

    Raises:
        ValueError: for milestones that do not rise, or are not before the end.
    """
    if not milestones or any(a >= b for a, b in itertools.pairwise((0, *milestones))):
        raise ValueError("milestones have to be numbers of epochs that rise, such as (10, 20)")
    if not milestones[-1] < config.epochs:
        raise ValueError(f"the milestone {milestones[-1]} is not before the end: there are {config.epochs} epochs")
    return (config.gamma if gamma is None else gamma) ** sum(epoch > milestone for milestone in milestones)


@register_schedule("constant")
def constant(_epoch: float, _config: TrialConfig) -> float:
    """The same learning rate in every epoch."""
    return 1.0


@register_schedule("cosine")
def cosine(epoch: float, config: TrialConfig, *, final: float = 0.0, per_batch: bool = False) -> float:
    """From 1 towards `final` along half a cosine, as torch's CosineAnnealingLR stepped once an epoch or a batch.

    With t = (epoch - 1) / epochs it is final + (1 - final) (1 + cos(pi t)) / 2 (Loshchilov and Hutter 2017, eq. 5).
    """
    return final + (1 - final) * (1 + math.cos(math.pi * (epoch - 1) / config.epochs)) / 2


@register_schedule("polynomial")
def polynomial(
    epoch: float, config: TrialConfig, *, power: Annotated[float, Field(ge=0)] = 1.0, per_batch: bool = False
) -> float:
    """(1 - t) ** power with t = (epoch - 1) / epochs, as torch's PolynomialLR; linear at power 1."""
    return float((1 - (epoch - 1) / config.epochs) ** power)


@register_schedule("one_cycle")
def one_cycle(
    epoch: float,
    config: TrialConfig,
    batches: int,
    *,
    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3,
    div_factor: Annotated[float, Field(gt=0)] = 25.0,
    final_div_factor: Annotated[float, Field(gt=0)] = 1e4,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    per_batch: bool = True,
) -> float:
    """Up from 1 / div_factor to 1 and down to 1 / (div_factor final_div_factor), as torch's OneCycleLR (Smith and Topin
    2018) whose `max_lr` is the trial's `lr`, stepped once a batch or an epoch; the momentum stays.

    Args:
        epoch: counted from 1.
        config: the trial.
        batches: steps of an epoch.
        pct_start: share of the steps until the peak.
        div_factor: of the first rate.
        final_div_factor: of the last rate, beside the first's.
        anneal_strategy: the form of both ways.
        per_batch: whether it is stepped once a batch.
    """
    done, steps = round((epoch - 1) * batches), config.epochs * batches
    peak = pct_start * steps - 1
    first, last = 1 / div_factor, 1 / (div_factor * final_div_factor)
    start, end, share = (first, 1.0, done / peak) if done < peak else (1.0, last, (done - peak) / (steps - 1 - peak))
    return end + (start - end) * ((1 + math.cos(math.pi * share)) / 2 if anneal_strategy == "cos" else 1 - share)


@register_schedule("warmup")
def warmup(
    epoch: float,
    _config: TrialConfig,
    *,
    epochs: Annotated[int, Field(ge=1)] = 5,
    start: Annotated[float, Field(ge=0, le=1)] = 0.1,
    per_batch: bool = False,
) -> float:
    """From `start` to 1 along a line over `epochs`, as torch's LinearLR stepped once an epoch or a batch.

    `warmup(epochs=5) | cosine` is both in a row, as torch's SequentialLR: what follows counts epochs from its own first
    (Goyal et al. 2017, section 2.2).
    """
    return start + (1 - start) * min(1.0, (epoch - 1) / epochs)
