"""What one epoch of a trial does. Two trials whose first k recipes and seed agree share those k epochs."""

from __future__ import annotations

from dataclasses import dataclass

from quorum.averages import Averaging, averaging
from quorum.config import Auto, TrialConfig, parse_phases
from quorum.schedules import factors_follow, lr_factors


@dataclass(frozen=True)
class Recipe:
    """Settings of one epoch.

    Attributes:
        lr: learning rate; all that a schedule gives, so that it is the same path where it is the same rate. Where it
            differs from batch to batch, a text that is equal where all rates are.
        batch_size: images in a batch; `auto` only where nothing is trained by it.
        augment: name of the augmentation policy.
        groups: names of the parameter groups that are trained.
        activations: whether those of a frozen beginning of the network are stored or computed batch by batch, which may
            differ in the last bits.
        averaging: how its weights enter the average; None where they do not, so that it is the same path until then.
    """

    lr: float | str
    batch_size: int | Auto
    augment: str
    groups: tuple[str, ...]
    averaging: Averaging | None = None
    activations: str = "computed"


def recipe_of(config: TrialConfig, epoch: int) -> Recipe:
    """The recipe of an epoch, counted from 1.

    Raises:
        ConfigError: for a schedule, an average or a setting of one that is unknown.
    """
    phase = [phase for phase in parse_phases(config.phases) if phase.first_epoch <= epoch][-1]
    # Where all groups train there is no frozen beginning, and what is augmented or mixed differs in every epoch.
    same = phase.groups != ("all",) and config.augment == config.mix == "none"
    [lr] = rates_of(config, epoch, 1)
    follows = factors_follow(config, epoch)
    return Recipe(
        lr=f"{config.lr!r} in {follows}" if follows else lr,
        batch_size=config.batch_size,
        augment=config.augment,
        groups=phase.groups,
        averaging=averaging(config, epoch),
        activations=config.activations if same else "computed",
    )


def rates_of(config: TrialConfig, epoch: int, batches: int) -> list[float]:
    """The learning rate of each batch of an epoch.

    Args:
        config: the trial.
        epoch: counted from 1.
        batches: of the epoch.

    Raises:
        ConfigError: for a schedule or a setting of it that is unknown.
    """
    return [config.lr * factor for factor in lr_factors(config, epoch, batches)]
