"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from quorum.choices import arguments, choose, refused
from quorum.config import TrialConfig
from quorum.recipe import recipe_of
from quorum.registry import Registry

Parameters = Iterable[nn.Parameter]
OptimizerFactory = Callable[..., torch.optim.Optimizer]

FROM_TRIAL = ("lr", "momentum", "weight_decay")  # arguments that are settings of the trial

OPTIMIZERS: Registry[OptimizerFactory] = Registry("optimizer", setting="optimizer")


def register_optimizer(name: str) -> Callable[[OptimizerFactory], OptimizerFactory]:
    """A decorator that adds an optimizer.

    It decorates a function of parameters and `lr` that returns a torch optimizer, or the class of one. Where it has
    arguments `momentum` or `weight_decay`, they are the trial's. Others, with defaults, are set in an expression:
    `optimizer: mine(betas=(0.9, 0.99))`. The optimizer's `lr` is set anew before every epoch.

    Its state has to be tensors and numbers, and everything that a step depends on has to be in its `state_dict`.

    Raises:
        ConfigError: where the name is taken.
    """
    return OPTIMIZERS.register(name)


def make_optimizer(config: TrialConfig, parameters: Parameters) -> torch.optim.Optimizer:
    """The optimizer of a trial over all parameters. Those that an epoch does not train have no gradient and are passed
    over: they keep their weights, are not decayed, and a momentum starts at zero when they are first trained.

    Raises:
        ConfigError: for an optimizer or a setting of it that is unknown.
    """
    make = choose(OPTIMIZERS, config.optimizer, filled=FROM_TRIAL)
    # Trainings that share their first epochs may differ in `lr`, but not in the learning rate of the first epoch.
    filled = {"lr": recipe_of(config, 1).lr, "momentum": config.momentum, "weight_decay": config.weight_decay}
    taken = arguments(make)
    return make(parameters, **{name: value for name, value in filled.items() if name in taken})


def check_optimizer(config: TrialConfig) -> None:
    """Raise ConfigError for an optimizer that is unknown, or cannot make a step with its settings."""
    choose(OPTIMIZERS, config.optimizer, filled=FROM_TRIAL)
    with refused("optimizer", config.optimizer):
        state_tensors(config)


def state_tensors(config: TrialConfig) -> int:
    """Number of tensors of a parameter's size that the optimizer holds for it after a step."""
    parameter = nn.Parameter(torch.zeros(2, 3))
    optimizer = make_optimizer(config, [parameter])
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    held = optimizer.state[parameter].values()
    return sum(isinstance(value, torch.Tensor) and value.shape == parameter.shape for value in held)


@register_optimizer("sgd")
def sgd(
    parameters: Parameters, lr: float, momentum: float, weight_decay: float, *, nesterov: bool = False
) -> torch.optim.Optimizer:
    """torch.optim.SGD."""
    made = torch.optim.SGD(parameters, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)
    if momentum:
        # The fused step takes momenta for all of its parameters or for none. From zero, the first step is the same.
        for group in made.param_groups:
            for parameter in group["params"]:
                made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return made


def _fused(kind: Callable[..., torch.optim.Optimizer]) -> OptimizerFactory:
    """Adam or one of its kind, in its fused form."""

    def make(
        parameters: Parameters,
        lr: float,
        weight_decay: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        amsgrad: bool = False,
    ) -> torch.optim.Optimizer:
        return kind(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, fused=True)

    return make


OPTIMIZERS.add("adam", _fused(torch.optim.Adam))  # weight decay is added to the gradient
OPTIMIZERS.add("adamw", _fused(torch.optim.AdamW))  # the weights themselves decay, by lr times weight decay a step
