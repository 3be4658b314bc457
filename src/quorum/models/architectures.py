"""Architectures by name: the reports' own, and every classifier that torchvision or timm has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torchvision.models
from torch import nn
from torchvision.models import WeightsEnum

from quorum.errors import ConfigError, ModelError, unknown
from quorum.models.depthwise import with_fast_depthwise
from quorum.models.parts import head_names, name_heads
from quorum.models.weights_files import UrlFile, WeightsFile
from quorum.registry import Registry

# Sides of inputs that networks are usually made for, the most usual first.
USUAL_INPUTS = (224, 32, 64, 96, 128, 160, 192, 256, 288, 299, 320, 384, 480, 512)
SMALLEST_INPUT, LARGEST_INPUT = 8, 1024


Build = Callable[[int], nn.Module]
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Architecture:
    """One network.

    Attributes:
        name: as given in settings.
        build: a network with random weights for a number of classes.
        imagenet: pretrained weights by what settings call them: `imagenet` for the default, and each version of
            torchvision's by its name in small letters, such as `imagenet1k_v1`. Each is a list of files that hold
            them, of which the first that is on this machine is taken, or else the last is downloaded. Empty where
            there are none.
        own_head: whether its classifier is not the one that those weights have, so that it is always drawn anew.
        ignored: beginnings of the names that those weights hold and the network does not.
        input_size: side in pixels of the input that those weights are for; 0 where the data set decides.
        mean_std: channel means and standard deviations of that input; None for ImageNet's.
        convert: makes a state that does not fit one for the network, which it is given; None where it cannot.
        speed_up: puts layers in the network, in place, that compute the same faster.
    """

    name: str
    build: Build
    imagenet: Mapping[str, Sequence[WeightsFile]] = field(default_factory=dict)
    own_head: bool = False
    ignored: tuple[str, ...] = ()
    input_size: int = 0
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    convert: Callable[[State, nn.Module], State | None] | None = None
    speed_up: Callable[[nn.Module], nn.Module] = with_fast_depthwise


# Both have classifiers beside the trunk that only serve a loss of their own; their ImageNet weights are for inputs
# of mean and std 0.5, which `transform_input` makes of the others' normalization.
_WITHOUT_AUXILIARIES: Mapping[str, Any] = {"aux_logits": False, "transform_input": True, "init_weights": True}
_OPTIONS: dict[str, Mapping[str, Any]] = {"googlenet": _WITHOUT_AUXILIARIES, "inception_v3": _WITHOUT_AUXILIARIES}


IMAGENET = "imagenet"
TIMM = "timm/"  # beginning of the names of timm's networks


def is_imagenet(weights: str) -> bool:
    """Whether a setting names ImageNet weights: the default, or one version of torchvision's."""
    return weights == IMAGENET or weights.startswith("imagenet1k_")


def _versions(weights: type[WeightsEnum]) -> dict[str, Sequence[WeightsFile]]:
    named = {IMAGENET: weights["DEFAULT"], **{member.name.lower(): member for member in weights}}
    return {name: [UrlFile(member.url)] for name, member in named.items()}


@functools.cache
def _torchvision(name: str) -> Architecture:
    options = _OPTIONS.get(name, {})
    return Architecture(
        name=name,
        build=lambda classes: torchvision.models.get_model(name, weights=None, num_classes=classes, **options),
        imagenet=_versions(torchvision.models.get_model_weights(name)),
        ignored=("aux1.", "aux2.", "AuxLogits.") if options else (),
    )


TORCHVISION: tuple[str, ...] = tuple(torchvision.models.list_models(module=torchvision.models))

# What the reports train, and what users have added.
ARCHITECTURES: Registry[Architecture] = Registry("model", setting="model", error=ModelError)


def register_model(
    name: str, *, head: str = "", imagenet: type[WeightsEnum] | None = None, own_head: bool = False
) -> Callable[[Build], Build]:
    """A decorator that adds a network.

    It decorates a function (or a class) of a number of classes that returns a torch module: float32 [n, 3, s, s] to
    logits [n, classes]. The module has to be possible to build on torch's `meta` device or to be moved there.

    Args:
        name: what settings call it.
        head: path of its last part, the classifier; not needed where it is called classifier, fc, head or heads.
        imagenet: torchvision's weights that fit it, such as `torchvision.models.ResNet18_Weights`.
        own_head: whether its classifier is not the one that those weights have.

    Raises:
        ConfigError: where the name is taken.
    """

    def register(build: Build) -> Build:
        if name in TORCHVISION or name.startswith(TIMM):
            owner = "timm" if name.startswith(TIMM) else "torchvision"
            raise ConfigError(f"model {name!r}: is the name of a network of {owner}'s")
        with_head = (lambda classes: name_heads(build(classes), head)) if head else build
        ARCHITECTURES.add(name, Architecture(name, with_head, _versions(imagenet) if imagenet else {}, own_head))
        return build

    return register


for _name in ("alexnet", "resnet18", "resnet50", "mobilenet_v2", "efficientnet_v2_s"):
    ARCHITECTURES.add(_name, _torchvision(_name))


@register_model("mobilenet_v2-two-layer-head", imagenet=torchvision.models.MobileNet_V2_Weights, own_head=True)
def _mobilenet_v2_two_layer_head(num_classes: int) -> nn.Module:
    model = torchvision.models.mobilenet_v2(weights=None)
    model.classifier = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(1280, 512), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(512, num_classes)
    )
    return model


def architecture(name: str) -> Architecture:
    """An architecture by name. Raises ModelError for an unknown name."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if name in TORCHVISION:
        return _torchvision(name)
    if name.startswith(TIMM):
        from quorum.models.timm_networks import timm_network  # which imports this module

        return timm_network(name)
    others = f"any other of torchvision's {len(TORCHVISION)} classifiers, or timm/NAME for one of timm's"
    message = unknown("model", name, {*ARCHITECTURES, *TORCHVISION}, shown=[*ARCHITECTURES, others])
    raise ModelError(message, setting="model")


def usual_input(kind: Architecture, preferred: int) -> int:
    """The side of the input that a network's weights are for, in pixels; else the preferred one, or the most usual one
    that the network can take.

    Raises:
        ModelError: where it takes none of them.
    """
    for size in filter(None, (kind.input_size, preferred, *USUAL_INPUTS)):
        if takes(kind.name, size):
            return size
    raise ModelError(f"model: {kind.name} takes no square input of a usual size", setting="model")


def check_input(kind: Architecture, size: int, images: int = 2) -> None:
    """Raise ModelError where the network cannot train on a batch of `images` square inputs of `size` pixels a side."""
    if takes(kind.name, size, images):
        return
    if takes(kind.name, size):
        raise ModelError(
            f"batch_size: {images} is too small for {kind.name} at input_size {size}: its batch-norm needs 2 or more",
            setting="batch_size",
        )
    raise ModelError(f"input_size: {size} does not fit {kind.name}, which takes {_inputs(kind)}", setting="input_size")


@functools.cache
def takes(name: str, size: int, images: int = 2) -> bool:
    """Whether a network can train on a batch of `images` square inputs of `size` pixels a side.

    It is tried without any arithmetic on torch's `meta` device, which knows shapes alone.
    """
    with torch.device("meta"), torch.no_grad():
        try:
            on_meta(name)(torch.empty(images, 3, size, size))
        except (RuntimeError, ValueError, AssertionError):
            return False
    return True


@functools.lru_cache(maxsize=4)
def on_meta(name: str) -> nn.Module:
    """A network for two classes that has shapes and no weights.

    Raises:
        ModelError: for an unknown name, or a network whose head is not known.
    """
    kind = architecture(name)
    try:
        with torch.device("meta"):
            model = kind.build(2)
    except NotImplementedError:  # RegNets compute their widths with tensors
        with torch.device("cpu"):
            model = kind.build(2).to("meta")
    head_names(model)
    return model


def _inputs(kind: Architecture) -> str:
    """The inputs that a network takes, in words."""
    if not takes(kind.name, LARGEST_INPUT):
        fitting = sorted(size for size in USUAL_INPUTS if takes(kind.name, size))
        return f"{', '.join(map(str, fitting))} pixels only" if fitting else "no square input of a usual size"
    low, high = SMALLEST_INPUT - 1, LARGEST_INPUT  # the one below every input that is taken, the other taken
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(kind.name, middle) else (middle, high)
    return f"{high} pixels or more"
