"""Contracts that every optimizer keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from quorum.config import TrialConfig
from quorum.engine.optimizers import (
    OPTIMIZERS,
    UNUSABLE,
    check_optimizer,
    make_optimizer,
    register_optimizer,
    state_tensors,
)
from quorum.errors import ConfigError

CONFIG = TrialConfig(lr=0.01, momentum=0.8, weight_decay=0.02)
SGD: dict[str, Any] = {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.02}
DECAY: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.02}

# Settings, the same in torch, and the tensors of a parameter's size that its state holds.
Reference = tuple[dict[str, Any], Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], int]
REFERENCES: list[Reference] = [
    ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, **SGD), 1),
    ({"optimizer": "sgd", "momentum": 0.0}, lambda p: torch.optim.SGD(p, **DECAY), 0),
    ({"optimizer": "sgd(nesterov=True)"}, lambda p: torch.optim.SGD(p, **SGD, nesterov=True), 1),
    ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, **DECAY), 2),
    ({"optimizer": "adam(amsgrad=True)"}, lambda p: torch.optim.Adam(p, **DECAY, amsgrad=True), 3),
    ({"optimizer": "adamw"}, lambda p: torch.optim.AdamW(p, **DECAY), 2),
    ({"optimizer": "adamw(betas=(0.5, 0.9))"}, lambda p: torch.optim.AdamW(p, **DECAY, betas=(0.5, 0.9)), 2),
    ({"optimizer": "adadelta(rho=0.8)"}, lambda p: torch.optim.Adadelta(p, **DECAY, rho=0.8), 2),
    ({"optimizer": "adafactor(d=2)"}, lambda p: torch.optim.Adafactor(p, **DECAY, d=2.0), 0),
    ({"optimizer": "adagrad(lr_decay=0.1)"}, lambda p: torch.optim.Adagrad(p, **DECAY, lr_decay=0.1), 1),
    ({"optimizer": "adamax(eps=1e-3)"}, lambda p: torch.optim.Adamax(p, **DECAY, eps=1e-3), 2),
    ({"optimizer": "asgd(t0=3)"}, lambda p: torch.optim.ASGD(p, **DECAY, t0=3), 1),
    ({"optimizer": "nadam(momentum_decay=0.1)"}, lambda p: torch.optim.NAdam(p, **DECAY, momentum_decay=0.1), 2),
    ({"optimizer": "radam(betas=(0.5, 0.9))"}, lambda p: torch.optim.RAdam(p, **DECAY, betas=(0.5, 0.9)), 2),
    ({"optimizer": "rmsprop(alpha=0.9)"}, lambda p: torch.optim.RMSprop(p, **SGD, alpha=0.9), 2),
    ({"optimizer": "rmsprop(centered=True)"}, lambda p: torch.optim.RMSprop(p, **SGD, centered=True), 3),
    ({"optimizer": "rprop(etas=(0.3, 1.5))"}, lambda p: torch.optim.Rprop(p, lr=0.01, etas=(0.3, 1.5)), 2),
]
every = pytest.mark.parametrize(
    ("changes", "reference", "tensors"), REFERENCES, ids=[str(settings) for settings, *_ in REFERENCES]
)


def made_up() -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((5, 4), (5,), (2, 3, 1, 1))]


def step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], number: int) -> None:
    """One step along random gradients, at a learning rate of its own, as a schedule sets it."""
    draw = torch.Generator().manual_seed(number)
    for group in optimizer.param_groups:
        group["lr"] = 0.01 / number
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()


def test_every_optimizer_has_a_reference() -> None:
    named = {settings["optimizer"].partition("(")[0] for settings, *_ in REFERENCES}
    assert named == set(OPTIMIZERS), "a new optimizer needs a row in this test"


def test_every_one_of_torchs_is_there_or_refused_with_its_reason() -> None:
    kinds = vars(torch.optim).values()
    torchs = {kind.__name__.lower() for kind in kinds if isinstance(kind, type) and issubclass(kind, Optimizer)}
    assert torchs - {"optimizer"} <= set(OPTIMIZERS) | set(UNUSABLE)


@every
def test_it_steps_as_torchs_does(changes: dict[str, Any], reference: Any, tensors: int) -> None:
    ours, plain = made_up(), made_up()
    optimizer, expected = make_optimizer(CONFIG.replace(**changes), ours), reference(plain)
    assert type(optimizer) is type(expected)
    for number in range(1, 8):
        step(optimizer, ours, number)
        step(expected, plain, number)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)


@every
def test_it_goes_on_from_a_saved_state_bit_for_bit(
    tmp_path: Path, changes: dict[str, Any], reference: Any, tensors: int
) -> None:
    config = CONFIG.replace(**changes)
    whole = made_up()
    optimizer = make_optimizer(config, whole)
    for number in range(1, 4):
        step(optimizer, whole, number)
    torch.save({"weights": [p.detach() for p in whole], "state": optimizer.state_dict()}, tmp_path / "state.pt")
    for number in range(4, 8):
        step(optimizer, whole, number)
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = [nn.Parameter(tensor) for tensor in loaded["weights"]]
    second = make_optimizer(config, resumed)
    second.load_state_dict(loaded["state"])
    for number in range(4, 8):
        step(second, resumed, number)
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


@every
def test_its_state_is_as_large_as_it_says(changes: dict[str, Any], reference: Any, tensors: int) -> None:
    config, parameters = CONFIG.replace(**changes), made_up()
    assert state_tensors(config) == tensors
    optimizer = make_optimizer(config, parameters)
    step(optimizer, parameters, 1)
    for parameter in parameters[:1] if "adafactor" in config.optimizer else parameters:  # it holds rows and columns
        held = [value for value in optimizer.state[parameter].values() if torch.is_tensor(value)]
        assert sum(value.numel() for value in held if value.shape == parameter.shape) == tensors * parameter.numel()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizer": "adamm"},
            "no optimizer 'adamm' (did you mean 'adam'?); choose from adadelta, adafactor, adagrad, ",
        ),
        (
            {"optimizer": "adamw(beta=3)"},
            "optimizer: 'adamw(beta=3)': no setting of adamw 'beta' (did you mean 'betas'?)",
        ),
        ({"optimizer": "adamw(lr=3)"}, "no setting of adamw 'lr'; choose from amsgrad, betas, eps"),
        ({"optimizer": "adamw(0.9)"}, "the settings of adamw are given by name: betas, eps, amsgrad"),
        ({"optimizer": "adamw(betas=3)"}, "optimizer: 'adamw(betas=3)': betas=3 must be a valid tuple"),
        ({"optimizer": "adamw(betas=(0.9,))"}, "betas=(0.9,) does not fit"),
        ({"optimizer": "adamw(amsgrad=1)"}, "amsgrad=1 must be a valid boolean"),
        ({"optimizer": "rmsprop(alpha='high')"}, "alpha='high' must be a valid number"),
        ({"optimizer": "rmsprop(weight_decay=0.1)"}, "no setting of rmsprop 'weight_decay'"),
        ({"optimizer": "nadam(foreach=True)"}, "no setting of nadam 'foreach'"),
        ({"optimizer": "rprop(etas=(2, 1))"}, "Invalid eta values"),
        ({"optimizer": "lbfgs(history_size=3)"}, "optimizer: lbfgs needs the loss of a batch several times a step"),
        ({"optimizer": "muon"}, "optimizer: muon takes matrices alone"),
        ({"optimizer": "sparseadam"}, "optimizer: sparseadam takes sparse gradients alone"),
        ({"optimizer": "adam(betas=(2, 3))"}, "optimizer: 'adam(betas=(2, 3))': Invalid beta parameter"),
        ({"optimizer": "sgd(nesterov=True)", "momentum": 0.0}, "Nesterov momentum requires a momentum"),
    ],
)
def test_what_cannot_be_used_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_optimizer(CONFIG.replace(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.setting == "optimizer"


def test_a_class_of_torchs_can_be_registered_and_takes_the_trials_settings_by_name() -> None:
    register_optimizer("mine")(torch.optim.RMSprop)
    try:
        config = CONFIG.replace(optimizer="mine(alpha=0.9)")
        check_optimizer(config)
        (group,) = make_optimizer(config, made_up()).param_groups
        assert (group["lr"], group["momentum"], group["weight_decay"], group["alpha"]) == (0.01, 0.8, 0.02, 0.9)
    finally:
        OPTIMIZERS.remove("mine")


def test_one_of_ones_own_that_cannot_train_every_parameter_is_refused() -> None:
    register_optimizer("muon")(torch.optim.Muon)
    try:
        with pytest.raises(ConfigError, match="optimizer: 'muon': Muon only supports 2D parameters"):
            check_optimizer(CONFIG.replace(optimizer="muon"))
    finally:
        OPTIMIZERS.remove("muon")
