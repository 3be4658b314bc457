"""The parts of a network: its head, and the groups in which its parameters are trained or frozen."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from quorum.errors import ModelError, shown

HEADS = ("classifier", "fc", "head", "heads")  # what torchvision's classifiers call their last part
_HEADS = "quorum_heads"  # attribute of a network whose head was named


def name_heads(model: nn.Module, *heads: str) -> nn.Module:
    """Name the last part of a network, or the last parts where their outputs are added up.

    Args:
        model: the network.
        heads: paths of the parts: `out`, `net.out`.

    Raises:
        ModelError: where the network has no such part.
    """
    paths = {path for path, _ in model.named_modules() if path}
    for head in heads:
        if head not in paths:
            name = type(model).__name__
            raise ModelError(f"model: {name} has no part {shown(head)}; {_parts(model)}", setting="model")
    setattr(model, _HEADS, heads)
    return model


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Paths of the network's last part, the classifier, or of several that are the classifier together.

    Raises:
        ModelError: where it was not named and none of the parts has a usual name.
    """
    named: tuple[str, ...] | None = getattr(model, _HEADS, None)
    if named is not None:
        return named
    for name, _ in reversed(list(model.named_children())):
        if name in HEADS:
            return (name,)
    raise ModelError(
        f"model: no part of {type(model).__name__} has a usual name of the last one ({', '.join(HEADS)}); "
        f"name it: register_model(NAME, head=PART); {_parts(model)}",
        setting="model",
    )


def last_layers(model: nn.Module) -> tuple[str, ...]:
    """Paths of the layers whose outputs are the classes, one in each head. (SqueezeNet's is a convolution.) Without a
    linear layer or a convolution in a head, it is the head."""
    return tuple(_last_layer(model, head) for head in head_names(model))


def is_within(name: str, parts: Iterable[str]) -> bool:
    """Whether a path is that of one of some parts of a network or of something inside it."""
    return any(f"{name}.".startswith(f"{part}.") for part in parts)


def _last_layer(model: nn.Module, head: str) -> str:
    layers = [
        name
        for name, layer in model.named_modules()
        if is_within(name, [head]) and isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    return layers[-1] if layers else head


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters by group.

    The groups are `all`, `classifier` (the last part, whatever the network calls it), `features` (the rest), every
    part of the network by its own name (`layer4`, `fc`) and every part of those (`layer4.1`, `features.7`).

    Raises:
        ModelError: as `head_names`.
    """
    heads = head_names(model)
    groups: dict[str, list[nn.Parameter]] = {"all": [], "features": [], "classifier": []}
    for name, parameter in model.named_parameters():
        path = name.split(".")
        side = "classifier" if is_within(name, heads) else "features"
        parts = {"all", side, *(".".join(path[:depth]) for depth in (1, 2) if depth < len(path))}
        for part in parts:
            groups.setdefault(part, []).append(parameter)
    return groups


def _parts(model: nn.Module) -> str:
    """The parts of a network in words, the last ones where there are many."""
    names = [name for name, _ in model.named_children()]
    return f"its last parts are {', '.join(names[-8:])}" if names else "it has no parts"
