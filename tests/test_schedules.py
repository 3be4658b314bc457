"""Contracts that every schedule keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from quorum.config import TrialConfig
from quorum.errors import ConfigError
from quorum.recipe import rates_of, recipe_of
from quorum.schedules import SCHEDULES, check_schedule, lr_factors, register_schedule
from quorum.study.prefix import TrainingPath

CONFIG = TrialConfig(lr=0.05, step_size=3, gamma=0.1, epochs=20)
BATCHES = 7  # of an epoch

Scheduler = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


def after(warm_up: int, then: Scheduler, start: float = 0.1) -> Scheduler:
    """A linear warm-up of so many steps, and what comes after it."""
    return lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer, start, total_iters=warm_up), then(optimizer)], [warm_up]
    )


def one_cycle(steps: int, **settings: Any) -> Scheduler:
    return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.05, steps, cycle_momentum=False, **settings)


# The same in torch, stepped once an epoch.
REFERENCES: dict[str, Scheduler] = {
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 3, 0.1),
    "multistep(milestones=(4, 5, 15))": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [4, 5, 15], 0.1),
    "multistep(milestones=(19,), gamma=0.5)": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [19], 0.5),
    "constant": lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 20),
    "cosine(final=0.1)": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.005),
    "polynomial": lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 20),
    "polynomial(power=2)": lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 20, 2.0),
    "one_cycle(per_batch=False)": one_cycle(20),
    "warmup": lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.1, total_iters=5),
    "warmup(epochs=4, start=0.2)": lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.2, total_iters=4),
    "warmup(epochs=5) | cosine": after(5, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 15)),
    "warmup(epochs=2, start=0.3) | step": after(2, lambda optimizer: lr_scheduler.StepLR(optimizer, 3, 0.1), 0.3),
    "warmup(epochs=2) | constant": after(2, lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)),
    "warmup(epochs=5) | multistep(milestones=(3, 14))": after(
        5, lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [3, 14], 0.1)
    ),
}
# The same in torch, stepped once a batch.
BY_BATCH: dict[str, Scheduler] = {
    "cosine(per_batch=True)": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 140),
    "polynomial(power=0.9, per_batch=True)": lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 140, 0.9),
    "one_cycle": one_cycle(140),
    "one_cycle(pct_start=0.1, div_factor=10, final_div_factor=100, anneal_strategy='linear')": one_cycle(
        140, pct_start=0.1, div_factor=10, final_div_factor=100, anneal_strategy="linear"
    ),
    "warmup(epochs=3, per_batch=True)": lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.1, total_iters=21),
    "warmup(epochs=3, start=0.01, per_batch=True) | cosine(final=0.1, per_batch=True)": after(
        21, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 119, eta_min=0.005), 0.01
    ),
}
EVERY = (*REFERENCES, *BY_BATCH)


def test_every_schedule_has_a_reference() -> None:
    named = {text.partition("(")[0] for text in EVERY}
    assert named == set(SCHEDULES), "a new schedule needs a row in this test"


def torchs(scheduler: Scheduler, steps: int) -> list[float]:
    """The rates of torch's schedule."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), CONFIG.lr)
    stepped, rates = scheduler(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        stepped.step()
    return rates


@pytest.mark.filterwarnings("ignore:.*The epoch parameter in `scheduler.step")  # SequentialLR's own
@pytest.mark.parametrize("schedule", REFERENCES)
def test_it_is_torchs_stepped_once_an_epoch(schedule: str) -> None:
    config = CONFIG.replace(schedule=schedule)
    expected = torchs(REFERENCES[schedule], 20)
    for epoch in range(1, 21):
        rates = rates_of(config, epoch, BATCHES)
        assert rates == [recipe_of(config, epoch).lr] * BATCHES
        assert rates[0] == pytest.approx(expected[epoch - 1], rel=1e-9, abs=1e-15)


@pytest.mark.filterwarnings("ignore:.*The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("schedule", BY_BATCH)
def test_it_is_torchs_stepped_once_a_batch(schedule: str) -> None:
    config = CONFIG.replace(schedule=schedule)
    rates = [rate for epoch in range(1, 21) for rate in rates_of(config, epoch, BATCHES)]
    assert rates == pytest.approx(torchs(BY_BATCH[schedule], 20 * BATCHES), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("schedule", ["multistep(milestones=(10,))", *(s for s in EVERY if "milestones" not in s)])
@pytest.mark.parametrize("changes", [{"epochs": 11}, {"epochs": 300, "gamma": 0.5}, {"step_size": 0}, {"step_size": 1}])
def test_it_is_finite_and_not_negative_in_every_epoch(schedule: str, changes: dict[str, Any]) -> None:
    config = CONFIG.replace(schedule=schedule, **changes)
    check_schedule(config)
    factors = [lr_factors(config, epoch, 2) for epoch in range(1, config.epochs + 1)]
    assert all(math.isfinite(factor) and factor > 0 for both in factors for factor in both)
    assert factors == [lr_factors(config, epoch, 2) for epoch in range(1, config.epochs + 1)]


@pytest.mark.parametrize("epochs", [1, 2, 10])
@pytest.mark.parametrize("batches", [1, 2, 10])
def test_a_cycle_of_few_steps_is_one(epochs: int, batches: int) -> None:
    """torch divides by zero where the peak is the first step."""
    config = CONFIG.replace(schedule="one_cycle(pct_start=0.5)", epochs=epochs)
    check_schedule(config)
    factors = [factor for epoch in range(1, epochs + 1) for factor in lr_factors(config, epoch, batches)]
    assert max(factors) <= 1
    assert factors[-1] == pytest.approx(1 / 25e4)


RATES = st.builds(
    CONFIG.replace,
    schedule=st.sampled_from([*EVERY, "warmup(epochs=3, per_batch=True) | step", "warmup(epochs=5) | one_cycle"]),
    lr=st.sampled_from([0.05, 0.01]),
    gamma=st.sampled_from([0.1, 0.5]),
    step_size=st.sampled_from([3, 4]),
    epochs=st.sampled_from([20, 21]),
    phases=st.sampled_from(["all", "1:classifier,9:all"]),
)


@pytest.mark.slow
@settings(max_examples=500)
@given(RATES, RATES, st.integers(1, 20))
def test_recipes_with_one_rate_are_of_equal_rates(one: TrialConfig, other: TrialConfig, epoch: int) -> None:
    rates = [[rates_of(config, epoch, batches) for batches in (1, 2, BATCHES)] for config in (one, other)]
    if recipe_of(one, epoch).lr == recipe_of(other, epoch).lr:
        assert rates[0] == rates[1]
    if rates[0] != rates[1]:
        assert recipe_of(one, epoch).lr != recipe_of(other, epoch).lr


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({"epochs": 30}, 20),
        ({"step_size": 8}, 9),
        ({"gamma": 0.5}, 9),
        ({"phases": "1:all,5:classifier"}, 4),
        ({"schedule": "warmup(epochs=3, per_batch=True) | cosine"}, 4),  # the first epoch after it has the same rate
        ({"schedule": "warmup(epochs=4, per_batch=True) | step"}, 0),
    ],
)
def test_a_warm_up_by_batch_is_shared_by_what_comes_after_it(change: dict[str, Any], shared: int) -> None:
    config = CONFIG.replace(schedule="warmup(epochs=3, per_batch=True) | step", step_size=6)
    assert TrainingPath(config).shared(TrainingPath(config.replace(**change))) == shared


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", "no schedule 'cosin' (did you mean 'cosine'?)"),
        ("cosine(end=0.1)", "schedule: 'cosine(end=0.1)': no setting of cosine 'end'; choose from final"),
        ("step(2)", "the settings of step are given by name: it has none"),
        ("multistep", "schedule: 'multistep': milestones have to be numbers of epochs that rise, such as (10, 20)"),
        ("multistep(milestones=(5, 5))", "milestones have to be numbers of epochs that rise"),
        ("multistep(milestones=(0, 5))", "milestones have to be numbers of epochs that rise"),
        ("multistep(milestones=(5, 20))", "the milestone 20 is not before the end: there are 20 epochs"),
        ("multistep(milestones=5)", "milestones=5 must be a valid tuple"),
        ("multistep(milestones=(5,), gamma=0)", "gamma=0 must be greater than 0"),
        ("warmup(epochs=20)", "schedule: 'warmup(epochs=20)': warmup ends after epoch 20, and the training has 20"),
        ("warmup(epochs=20) | cosine", "warmup ends after epoch 20, and the training has 20"),
        ("warmup(epochs=9) | warmup(epochs=11)", "warmup ends after epoch 20, and the training has 20"),
        (
            "warmup(epochs=9) | multistep(milestones=(11,))",
            "the milestone 11 is not before the end: there are 11 epochs",
        ),
        ("warmup(epochs=0) | cosine", "epochs=0 must be greater than or equal to 1"),
        ("warmup(epochs=2.5) | cosine", "epochs=2.5 must be a valid integer"),
        ("warmup(start=2)", "start=2 must be less than or equal to 1"),
        ("cosine | warmup", "schedule: 'cosine | warmup': cosine cannot come before another: it has no setting epochs"),
        ("warmup | cosin", "no schedule 'cosin' (did you mean 'cosine'?)"),
        ("one_cycle(pct_start=1)", "pct_start=1 must be less than 1"),
        ("one_cycle(anneal_strategy='cosine')", "anneal_strategy='cosine' must be 'cos' or 'linear'"),
        ("one_cycle(batches=3)", "no setting of one_cycle 'batches'"),
        ("step(per_batch=True)", "no setting of step 'per_batch'; choose from nothing: there is none yet"),
        ("cosine(per_batch=1)", "per_batch=1 must be a valid boolean"),
        ("polynomial(power=-1)", "power=-1 must be greater than or equal to 0"),
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
        assert lr_factors(CONFIG.replace(schedule="mine(scale=2)"), 10, 2) == [0.2, 0.2]
        assert lr_factors(CONFIG.replace(schedule="warmup(epochs=3) | mine(scale=2)"), 13, 1) == [0.2]
        with pytest.raises(ConfigError, match=r"schedule: 'mine': .*division by zero"):
            check_schedule(CONFIG.replace(schedule="mine"))
    finally:
        SCHEDULES.remove("mine")


def test_a_schedule_of_ones_own_is_asked_before_every_batch_and_may_come_first() -> None:
    @register_schedule("mine")
    def mine(epoch: float, config: TrialConfig, *, epochs: int = 2, per_batch: bool = True) -> float:
        assert config.epochs == epochs
        return epoch / 4

    try:
        config = CONFIG.replace(schedule="mine | step")
        check_schedule(config)
        assert [lr_factors(config, epoch, 2) for epoch in (1, 2, 3)] == [[0.25, 0.375], [0.5, 0.625], [1.0, 1.0]]
    finally:
        SCHEDULES.remove("mine")


def test_an_argument_of_a_call_is_a_setting() -> None:
    config = CONFIG.replace(schedule="warmup(epochs=2) | cosine", **{"schedule.warmup.epochs": 3})
    assert config.schedule == "warmup(epochs=3) | cosine"
    assert config.replace(**{"schedule.cosine.per_batch": True}).schedule == "warmup(epochs=3) | cosine(per_batch=True)"
