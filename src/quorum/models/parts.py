"""The parts of a network: its classifier, and the groups in which its parameters are trained or frozen."""

from __future__ import annotations

from torch import nn

HEADS = ("classifier", "fc", "head", "heads")  # what torchvision's classifiers call their last part


def head_name(model: nn.Module) -> str:
    """Name of the network's last part, the classifier."""
    children = [name for name, _ in model.named_children()]
    return next(name for name in reversed(children) if name in HEADS)


def last_layer(model: nn.Module) -> str:
    """Path of the layer whose outputs are the classes. (SqueezeNet's is a convolution.)"""
    head = head_name(model)
    return [
        name
        for name, layer in model.named_modules()
        if (name == head or name.startswith(f"{head}.")) and isinstance(layer, nn.Linear | nn.Conv2d)
    ][-1]


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters by group.

    The groups are `all`, `classifier` (the last part, whatever the network calls it), `features` (the rest), every
    part of the network by its own name (`layer4`, `fc`) and every part of those (`layer4.1`, `features.7`).
    """
    head = head_name(model)
    groups: dict[str, list[nn.Parameter]] = {"all": [], "features": [], "classifier": []}
    for name, parameter in model.named_parameters():
        path = name.split(".")
        side = "classifier" if path[0] == head else "features"
        parts = {"all", side, *(".".join(path[:depth]) for depth in (1, 2) if depth < len(path))}
        for part in parts:
            groups.setdefault(part, []).append(parameter)
    return groups
