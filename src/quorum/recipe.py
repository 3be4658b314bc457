"""What one epoch of a trial does. Two trials whose first k recipes and seed agree share those k epochs."""

from __future__ import annotations

from dataclasses import dataclass

from quorum.config import TrialConfig, parse_phases


@dataclass(frozen=True)
class Recipe:
    """Settings of one epoch.

    Attributes:
        lr: learning rate.
        batch_size: images in a batch.
        augment: name of the augmentation policy.
        groups: names of the parameter groups that are trained.
    """

    lr: float
    batch_size: int
    augment: str
    groups: tuple[str, ...]


def recipe_of(config: TrialConfig, epoch: int) -> Recipe:
    """The recipe of an epoch, counted from 1.

    The learning rate follows torch's StepLR stepped once an epoch: lr * gamma ** ((epoch - 1) // step_size).
    """
    drops = (epoch - 1) // config.step_size if config.step_size else 0
    phase = [phase for phase in parse_phases(config.phases) if phase.first_epoch <= epoch][-1]
    return Recipe(config.lr * config.gamma**drops, config.batch_size, config.augment, phase.groups)
