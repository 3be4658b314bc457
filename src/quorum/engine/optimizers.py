"""Optimizers by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from quorum.choices import arguments, choose, refused
from quorum.config import TrialConfig
from quorum.errors import ConfigError
from quorum.expressions import parse_call
from quorum.recipe import rates_of
from quorum.registry import Registry

Parameters = Iterable[nn.Parameter]
OptimizerFactory = Callable[..., torch.optim.Optimizer]

FROM_TRIAL = ("lr", "momentum", "weight_decay")  # arguments that are settings of the trial
OF_COMPUTING = ("foreach", "fused", "capturable", "differentiable", "maximize")  # arguments of torch's that are not set
UNUSABLE = {  # classes of torch.optim that cannot train the networks here, and why
    "lbfgs": "needs the loss of a batch several times a step",
    "muon": "takes matrices alone, and networks have biases and kernels of convolutions",
    "sparseadam": "takes sparse gradients alone, and those of networks are dense",
}

OPTIMIZERS: Registry[OptimizerFactory] = Registry("optimizer", setting="optimizer")


def register_optimizer(name: str) -> Callable[[OptimizerFactory], OptimizerFactory]:
    """A decorator that adds an optimizer.

    It decorates a function of parameters and `lr` that returns a torch optimizer, or the class of one. Where it has
    arguments `momentum` or `weight_decay`, they are the trial's. Others, with defaults, are set in an expression:
    `optimizer: mine(betas=(0.9, 0.99))`. The optimizer's `lr` is set anew before every epoch, or before every batch
    where the schedule says so.

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
    make = _chosen(config)
    # Trainings that share their first epochs may differ in `lr`, but not in the learning rates of the first epoch.
    filled = {"lr": rates_of(config, 1, 1)[0], "momentum": config.momentum, "weight_decay": config.weight_decay}
    taken = arguments(make)
    return make(parameters, **{name: value for name, value in filled.items() if name in taken})


def check_optimizer(config: TrialConfig) -> None:
    """Raise ConfigError for an optimizer that is unknown, or cannot make a step with its settings."""
    _chosen(config)
    with refused("optimizer", config.optimizer):
        for shape in ((2,), (2, 3), (2, 3, 1, 1)):
            _stepped(config, shape)


def state_tensors(config: TrialConfig) -> int:
    """Number of tensors of a matrix's size that the optimizer holds for it after a step."""
    optimizer, parameter = _stepped(config, (2, 3))
    held = optimizer.state[parameter].values()
    return sum(isinstance(value, torch.Tensor) and value.shape == parameter.shape for value in held)


def _chosen(config: TrialConfig) -> OptimizerFactory:
    name = parse_call(config.optimizer, "optimizer").name
    if name in UNUSABLE and name not in OPTIMIZERS:
        raise ConfigError(f"optimizer: {name} {UNUSABLE[name]}", setting="optimizer")
    return choose(OPTIMIZERS, config.optimizer, filled=FROM_TRIAL)


def _stepped(config: TrialConfig, shape: tuple[int, ...]) -> tuple[torch.optim.Optimizer, nn.Parameter]:
    """A trial's optimizer over one parameter of zeros, after a step."""
    parameter = nn.Parameter(torch.zeros(shape))
    optimizer = make_optimizer(config, [parameter])
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer, parameter


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


def _torchs(kind: Callable[..., torch.optim.Optimizer], **fixed: bool) -> OptimizerFactory:
    """A class of torch.optim, without those of its arguments that change how a step is computed, or in which direction.

    Args:
        kind: the class.
        fixed: arguments of that kind that are not torch's default.
    """

    def make(parameters: Parameters, **settings: Any) -> torch.optim.Optimizer:
        return kind(parameters, **settings, **fixed)

    signature = inspect.signature(kind)
    taken = [parameter for name, parameter in signature.parameters.items() if name not in OF_COMPUTING]
    make.__signature__ = signature.replace(parameters=taken)  # type: ignore[attr-defined]
    return make


OPTIMIZERS.add("adam", _torchs(torch.optim.Adam, fused=True))  # weight decay is added to the gradient
OPTIMIZERS.add("adamw", _torchs(torch.optim.AdamW, fused=True))  # the weights decay, by lr times weight decay a step
OPTIMIZERS.add("adadelta", _torchs(torch.optim.Adadelta))
OPTIMIZERS.add("adafactor", _torchs(torch.optim.Adafactor))
OPTIMIZERS.add("adagrad", _torchs(torch.optim.Adagrad))
OPTIMIZERS.add("adamax", _torchs(torch.optim.Adamax))
OPTIMIZERS.add("asgd", _torchs(torch.optim.ASGD))
OPTIMIZERS.add("nadam", _torchs(torch.optim.NAdam))
OPTIMIZERS.add("radam", _torchs(torch.optim.RAdam))
OPTIMIZERS.add("rmsprop", _torchs(torch.optim.RMSprop))
OPTIMIZERS.add("rprop", _torchs(torch.optim.Rprop))
