"""Settings with no `auto` left, and the first weights that they ask for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from quorum.config import AUTO, TrialConfig
from quorum.data import dataset
from quorum.data.batches import policy
from quorum.engine.device import resolve_precision
from quorum.engine.training import check_choices
from quorum.ensemble.classifier import DESCRIPTION, WEIGHTS
from quorum.errors import ModelError
from quorum.models import architecture, check_input, fetch_imagenet, file_digest, usual_input
from quorum.tracking.logged_models import Fetched, fetch_bundles
from quorum.tracking.store import Store

OURS = ("models:/", "runs:/")  # beginnings of URIs of models of ours


@dataclass(frozen=True)
class Resolved:
    """Settings with nothing left open.

    Attributes:
        config: the settings.
        weights: file of the first weights, or None.
        origin: the model of ours that they come from, if it is one.
    """

    config: TrialConfig
    weights: Path | None
    origin: Fetched | None = None


def settle(config: TrialConfig) -> TrialConfig:
    """Put a value in the place of every `auto` that follows from the model and the data set.

    What depends on the machine (the precision) or on a trained model (its normalisation) stays open.

    Raises:
        QuorumError: for an unknown data set, model, policy, optimizer, schedule or loss, or an input that does not fit.
    """
    kind, data = architecture(config.model), dataset(config.dataset)
    policy(config.augment)
    check_choices(config)
    size = config.input_size if isinstance(config.input_size, int) else usual_input(kind, data.input_size)
    check_input(kind, size, min(config.batch_size, 2))
    resize = config.resize if config.resize != AUTO else data.resize(size)
    normalize = config.normalize
    if normalize == AUTO and not config.weights.startswith(OURS):
        normalize = "imagenet" if config.weights == "imagenet" else "half"
    return config.replace(
        input_size=size,
        resize=resize,
        eval_resize=config.eval_resize if config.eval_resize != AUTO else resize,
        normalize=normalize,
    )


def resolve(config: TrialConfig, device: torch.device, store: Store) -> Resolved:
    """Put a value in the place of every `auto` and find the first weights.

    Raises:
        QuorumError: as `settle`, and for weights that are not there.
    """
    settled = settle(config)
    origin = fetch_bundles(store, config.weights) if config.weights.startswith(OURS) else None
    weights = _find_weights(config, origin)
    normalize = settled.normalize
    if origin is not None and normalize == AUTO:
        # A network goes on with the scale of input that it was trained on.
        normalize = json.loads((origin.bundles[0] / DESCRIPTION).read_text())["config"]["normalize"]
    resolved = settled.replace(
        normalize=normalize,
        precision=resolve_precision(config.precision, device),
        weights_digest=file_digest(weights) if weights else "",
    )
    return Resolved(resolved, weights, origin)


def _find_weights(config: TrialConfig, origin: Fetched | None) -> Path | None:
    if origin is not None:
        if len(origin.bundles) > 1:
            raise ModelError(
                f"weights: {config.weights} is a vote of {len(origin.bundles)} networks, not one network",
                setting="weights",
            )
        return origin.bundles[0] / WEIGHTS
    if config.weights == "none":
        return None
    if config.weights == "imagenet":
        return fetch_imagenet(architecture(config.model))
    file = Path(config.weights)
    if not file.is_file():
        raise ModelError(
            f"weights: no file {file}; none, imagenet, a state file, models:/NAME/VERSION or runs:/RUN/model",
            setting="weights",
        )
    return file
