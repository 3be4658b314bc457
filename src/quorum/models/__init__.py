"""Networks by name, with their first weights and their parameter groups."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from quorum.models import scratch as scratch  # registers its networks
from quorum.models.architectures import (
    ARCHITECTURES,
    TORCHVISION,
    Architecture,
    architecture,
    check_input,
    is_imagenet,
    on_meta,
    register_model,
    usual_input,
)
from quorum.models.parts import parameter_groups
from quorum.models.weights import (
    check_digest,
    digest_once,
    fetch_imagenet,
    file_digest,
    imagenet_file,
    load_into,
    read_state,
)
from quorum.randomness import seed_everything

__all__ = [
    "ARCHITECTURES",
    "TORCHVISION",
    "Architecture",
    "architecture",
    "build",
    "check_digest",
    "check_input",
    "digest_once",
    "fetch_imagenet",
    "file_digest",
    "imagenet_file",
    "is_imagenet",
    "on_meta",
    "parameter_groups",
    "read_state",
    "register_model",
    "usual_input",
]


def build(name: str, num_classes: int, *, seed: int, weights: Path | None = None) -> nn.Module:
    """A network, channels last, on the CPU.

    Args:
        name: of the architecture.
        num_classes: outputs of its last layer.
        seed: of its random weights (torch's global generator is left as it was).
        weights: state file to start from; a last layer made for other classes keeps its random weights.

    Raises:
        ModelError: for an unknown name, or weights that are unreadable or not for this network.
    """
    kind = architecture(name)
    with torch.random.fork_rng(devices=[]):
        seed_everything(seed, 0, "init")
        model = kind.speed_up(kind.build(num_classes))
    if weights is not None:
        load_into(model, read_state(weights), str(weights), kind)
    return model.to(memory_format=torch.channels_last)
