"""Unbalanced classes: which training images an epoch draws, and what a class weighs in the loss."""

from __future__ import annotations

import numpy as np
import torch

from quorum.config import Balance
from quorum.data.catalogue import Indices
from quorum.randomness import generator


def images_of_each_class(counts: Indices, balance: Balance) -> Indices:
    """How many images an epoch draws from each class.

    Args:
        counts: int64 [classes], images that there are.
        balance: `under`: as many as the smallest class has; `over`: as many as the largest; else all of them.
    """
    if balance == "under":
        return np.full_like(counts, counts.min())
    return np.full_like(counts, counts.max()) if balance == "over" else counts


def epoch_order(labels: Indices, balance: Balance, *, seed: int, epoch: int) -> Indices:
    """The places of an epoch's images in the training split, int64, in the order of (seed, epoch).

    A class that gives more images than it has gives each of them equally often, and once more those that a draw of
    (seed, epoch) chooses; one that gives fewer gives those. So all images of a class are seen over the epochs.

    Args:
        labels: int64 [n] of the training split; no class is empty.
        balance: how many images each class gives, see `images_of_each_class`.
        seed, epoch: of the order and the draws.
    """
    drawn = np.arange(len(labels))
    if balance in ("under", "over"):
        draws, parts = generator(seed, epoch, "balance"), []
        for label, wanted in enumerate(images_of_each_class(np.bincount(labels), balance).tolist()):
            places = np.flatnonzero(labels == label)
            passes, rest = divmod(wanted, len(places))
            chosen = torch.randperm(len(places), generator=draws).numpy()[:rest]
            parts += [np.tile(places, passes), places[chosen]]
        drawn = np.concatenate(parts)
    return drawn[torch.randperm(len(drawn), generator=generator(seed, epoch, "order")).numpy()]


def class_weights(counts: Indices) -> torch.Tensor:
    """Weights of classes, float32 [classes]: images / (classes * images of the class), as scikit-learn's
    `compute_class_weight("balanced")`. Their mean over the images is 1.

    Args:
        counts: int64 [classes], none of them 0.
    """
    return torch.from_numpy(counts.sum() / (len(counts) * counts)).float()
