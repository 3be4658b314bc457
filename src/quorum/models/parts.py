"""The parts of a network: its head, and the groups in which its parameters are trained or frozen."""

from __future__ import annotations

from torch import nn

from quorum.errors import ModelError, shown

HEADS = ("classifier", "fc", "head", "heads")  # what torchvision's classifiers call their last part
_HEAD = "quorum_head"  # attribute of a network whose head was named


def name_head(model: nn.Module, head: str) -> nn.Module:
    """Name the last part of a network.

    Args:
        model: the network.
        head: path of the part: `out`, `net.out`.

    Raises:
        ModelError: where the network has no such part.
    """
    paths = [path for path, _ in model.named_modules() if path]
    if head not in paths:
        raise ModelError(f"model: {type(model).__name__} has no part {shown(head)}; {_parts(model)}", setting="model")
    setattr(model, _HEAD, head)
    return model


def head_name(model: nn.Module) -> str:
    """Path of the network's last part, the classifier.

    Raises:
        ModelError: where it was not named and none of the parts has a usual name.
    """
    named: str | None = getattr(model, _HEAD, None)
    if named is not None:
        return named
    for name, _ in reversed(list(model.named_children())):
        if name in HEADS:
            return name
    raise ModelError(
        f"model: no part of {type(model).__name__} has a usual name of the last one ({', '.join(HEADS)}); "
        f"name it: register_model(NAME, head=PART); {_parts(model)}",
        setting="model",
    )


def last_layer(model: nn.Module) -> str:
    """Path of the layer whose outputs are the classes. (SqueezeNet's is a convolution.) Without a linear layer or a
    convolution in the head, it is the head."""
    head = head_name(model)
    layers = [
        name
        for name, layer in model.named_modules()
        if f"{name}.".startswith(f"{head}.") and isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    return layers[-1] if layers else head


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters by group.

    The groups are `all`, `classifier` (the last part, whatever the network calls it), `features` (the rest), every
    part of the network by its own name (`layer4`, `fc`) and every part of those (`layer4.1`, `features.7`).

    Raises:
        ModelError: as `head_name`.
    """
    head = head_name(model)
    groups: dict[str, list[nn.Parameter]] = {"all": [], "features": [], "classifier": []}
    for name, parameter in model.named_parameters():
        path = name.split(".")
        side = "classifier" if name.startswith(f"{head}.") else "features"
        parts = {"all", side, *(".".join(path[:depth]) for depth in (1, 2) if depth < len(path))}
        for part in parts:
            groups.setdefault(part, []).append(parameter)
    return groups


def _parts(model: nn.Module) -> str:
    """The parts of a network in words, the last ones where there are many."""
    names = [name for name, _ in model.named_children()]
    return f"its last parts are {', '.join(names[-8:])}" if names else "it has no parts"
