"""Settings with no `auto` left."""

from __future__ import annotations

import json

import numpy as np

from quorum.averages import check_average
from quorum.config import AUTO, Balance, TrialConfig
from quorum.data import Catalogue, dataset
from quorum.data.augment.mixing import mixing
from quorum.data.augment.policies import policy
from quorum.data.balance import images_of_each_class
from quorum.data.preprocess import normalization_named
from quorum.engine.losses import check_loss, check_mixed, check_weighted
from quorum.engine.optimizers import check_optimizer
from quorum.models import Architecture, architecture, check_input, is_imagenet, usual_input
from quorum.schedules import check_schedule

LARGEST_BATCH = 256  # that batch_size=auto stands for
OURS = ("models:/", "runs:/")  # beginnings of URIs of models of ours
# What does not make another protocol of a training: seeds are repetitions, and the machine decides the others.
_FREE = {"seed", "precision", "activations", "weights_digest"}


def resolve_static(config: TrialConfig) -> TrialConfig:
    """Put a value in the place of every `auto` that follows from the model and the data set.

    What depends on the images (the batch size), the machine (the precision) or a trained model (its normalization)
    stays open.

    Raises:
        QuorumError: for an unknown data set, model, policy, mixing, optimizer, schedule or loss, or an input that does
            not fit.
    """
    kind, data = architecture(config.model), dataset(config.dataset)
    policy(config.augment)
    mixing(config.mix)
    _check_choices(config)
    size = config.input_size if isinstance(config.input_size, int) else usual_input(kind, data.input_size)
    check_input(kind, size, 1 if config.batch_size == 1 else 2)
    resize = config.resize if config.resize != AUTO else data.resize(size)
    normalize: str = config.normalize
    if normalize == AUTO and not config.weights.startswith(OURS):
        normalize = _usual_normalization(kind) if is_imagenet(config.weights) else "half"
    return config.replace(
        input_size=size,
        resize=resize,
        eval_resize=config.eval_resize if config.eval_resize != AUTO else resize,
        normalize=normalize,
    )


def with_batch_size(config: TrialConfig, catalogue: Catalogue) -> TrialConfig:
    """Put a number in the place of an `auto` batch size: the largest power of 2 that is at most LARGEST_BATCH and a
    quarter of the images that an epoch draws, so that it has four steps or more."""
    if config.batch_size != AUTO:
        return config
    size = max(min(_images_drawn(catalogue, config.balance, config.folds) // 4, LARGEST_BATCH), 1)
    return config.replace(batch_size=2 ** (size.bit_length() - 1))


def _images_drawn(catalogue: Catalogue, balance: Balance, folds: int) -> int:
    """How many training images an epoch draws; with folds, in the fold that has the fewest."""
    splits = catalogue.splits
    positions = np.concatenate([splits["train"], splits["val"]]) if folds else splits["train"]
    counts = np.bincount(catalogue.labels[positions], minlength=len(catalogue.classes))
    drawn = images_of_each_class(counts, balance)
    if not folds:
        return int(drawn.sum())
    # Folds divide each class as evenly as they divide all images.
    parts = drawn if balance in ("under", "over") else drawn.sum()
    return int(np.sum(parts * (folds - 1) // folds))


def _check_choices(config: TrialConfig) -> None:
    """Raise ConfigError where the optimizer, schedule, loss or average is unknown or does not work as it is set."""
    check_schedule(config)
    check_average(config)
    check_optimizer(config)  # by a recipe, which needs both
    check_loss(config.loss)
    if config.balance == "weights":
        check_weighted(config.loss)
    if config.mix != "none":
        check_mixed(config.loss)


def _usual_normalization(kind: Architecture) -> str:
    """The normalization of the input that a network's ImageNet weights are for."""
    return "imagenet" if kind.mean_std is None else normalization_named(*kind.mean_std)


def protocol(config: TrialConfig) -> str:
    """What two configurations have in common if one repeats the other: all but seed, precision and weights file."""
    return json.dumps(resolve_static(config).model_dump(exclude=_FREE), sort_keys=True)
