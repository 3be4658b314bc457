"""Architectures by name: how each is built, what input it takes, and its parameter groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torchvision.models
from torch import nn
from torchvision.models import WeightsEnum

from quorum.errors import ModelError, unknown
from quorum.models.scratch import ScratchSimple

HEADS = ("classifier", "fc", "head", "heads")  # what torchvision's classifiers call their last part


@dataclass(frozen=True)
class Architecture:
    """One network.

    Attributes:
        name: as given in settings.
        build: a network with random weights for a number of classes.
        imagenet: torchvision's weights, where there are any.
        input_size: the one input side in pixels that it takes; None: any from `smallest_input` on.
        smallest_input: smallest side that leaves at least one pixel after its strides.
    """

    name: str
    build: Callable[[int], nn.Module]
    imagenet: WeightsEnum | None = None
    input_size: int | None = None
    smallest_input: int = 8


def _torchvision(name: str, smallest_input: int, weights: str = "IMAGENET1K_V1") -> Architecture:
    return Architecture(
        name=name,
        build=lambda classes: torchvision.models.get_model(name, weights=None, num_classes=classes),
        imagenet=torchvision.models.get_model_weights(name)[weights],
        smallest_input=smallest_input,
    )


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        _torchvision("alexnet", 63),
        _torchvision("resnet18", 32),
        _torchvision("mobilenet_v2", 32),
        Architecture("scratch-simple", ScratchSimple, input_size=32),
    )
}


def architecture(name: str) -> Architecture:
    """An architecture by name. Raises ModelError for a name that is none."""
    if name not in ARCHITECTURES:
        raise ModelError(unknown("model", name, ARCHITECTURES))
    return ARCHITECTURES[name]


def check_input(kind: Architecture, size: int) -> None:
    """Raise ModelError where the network cannot take a square input of that side."""
    if kind.input_size is not None and size != kind.input_size:
        raise ModelError(f"input_size: {size} does not fit {kind.name}, which takes {kind.input_size} pixels only")
    if size < kind.smallest_input:
        raise ModelError(f"input_size: {size} is too small for {kind.name}, which takes {kind.smallest_input} or more")


def head_name(model: nn.Module) -> str:
    """Name of the network's last part, the classifier."""
    children = [name for name, _ in model.named_children()]
    return next(name for name in reversed(children) if name in HEADS)


def last_linear(model: nn.Module) -> str:
    """Path of the layer whose outputs are the classes."""
    head = head_name(model)
    return [name for name, layer in model.named_modules() if name.startswith(head) and isinstance(layer, nn.Linear)][-1]


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters by group: `all`, `classifier` (the last part), `features` (the rest), and each top-level part."""
    head = head_name(model)
    groups: dict[str, list[nn.Parameter]] = {"all": [], "features": [], "classifier": []}
    for name, parameter in model.named_parameters():
        part = name.partition(".")[0]
        groups["all"].append(parameter)
        groups["classifier" if part == head else "features"].append(parameter)
        if part not in ("features", "classifier"):
            groups.setdefault(part, []).append(parameter)
    return groups
