"""Contracts that every schedule keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from quorum.config import TrialConfig
from quorum.errors import ConfigError
from quorum.recipe import recipe_of
from quorum.schedules import SCHEDULES, check_schedule, lr_factor, register_schedule

CONFIG = TrialConfig(lr=0.05, step_size=3, gamma=0.1, epochs=20)

# The same in torch, stepped once an epoch.
REFERENCES: dict[str, Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]] = {
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 3, 0.1),
    "constant": lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 20),
    "cosine(final=0.1)": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.005),
}
every = pytest.mark.parametrize("schedule", REFERENCES)


def test_every_schedule_has_a_reference() -> None:
    assert {text.partition("(")[0] for text in REFERENCES} == set(SCHEDULES), "a new schedule needs a row in this test"


@every
def test_it_is_torchs(schedule: str) -> None:
    config = CONFIG.replace(schedule=schedule)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), config.lr)
    scheduler = REFERENCES[schedule](optimizer)
    for epoch in range(1, 21):
        assert recipe_of(config, epoch).lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


@every
@pytest.mark.parametrize("changes", [{"epochs": 1}, {"epochs": 300, "gamma": 0.5}, {"step_size": 0}, {"step_size": 1}])
def test_it_is_finite_and_positive_in_every_epoch(schedule: str, changes: dict[str, Any]) -> None:
    config = CONFIG.replace(schedule=schedule, **changes)
    check_schedule(config)
    factors = [lr_factor(config, epoch) for epoch in range(1, config.epochs + 1)]
    assert factors[0] == 1
    assert all(math.isfinite(factor) and factor > 0 for factor in factors)
    assert factors == [lr_factor(config, epoch) for epoch in range(1, config.epochs + 1)]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", "no schedule 'cosin' (did you mean 'cosine'?)"),
        ("cosine(end=0.1)", "schedule: 'cosine(end=0.1)': no setting of cosine 'end'; choose from final"),
        ("step(2)", "the settings of step are given by name: it has none"),
        ("cosine(final=-1)", "the factor in epoch 12 is -0.15"),
        ("cosine(final='low')", "schedule: \"cosine(final='low')\": final='low' must be a valid number"),
    ],
)
def test_what_cannot_be_used_is_one_line(schedule: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_schedule(CONFIG.replace(schedule=schedule))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.setting == "schedule"


def test_a_schedule_of_ones_own_is_checked_in_every_epoch() -> None:
    @register_schedule("mine")
    def mine(epoch: int, _config: TrialConfig, *, scale: float = 1.0) -> float:
        return scale / (20 - epoch)

    try:
        check_schedule(CONFIG.replace(schedule="mine(scale=2)", epochs=19))
        assert lr_factor(CONFIG.replace(schedule="mine(scale=2)"), 10) == 0.2
        with pytest.raises(ConfigError, match=r"schedule: 'mine': .*division by zero"):
            check_schedule(CONFIG.replace(schedule="mine"))
    finally:
        SCHEDULES.remove("mine")
