"""Folds of k-fold cross-validation: a data set's training and validation images, divided anew by the seed.

The pixels stay those of one store; a fold is a view of it with other splits.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quorum.data.catalogue import Indices
from quorum.data.pixel_store import PixelStore
from quorum.errors import DataError

_KEPT = 64  # folds and partitions that are remembered


@dataclass(frozen=True, eq=False, kw_only=True)
class Fold(PixelStore):
    """A pixel store of which `val` is one part of a partition, and `train` its other parts.

    Its digest is the same for all folds of all partitions: it is of the whole store and of the first partition. Which
    of the folds it is follows from the seed.

    Attributes:
        parent: the store that it is a view of.
        folds: number of parts of a partition.
        seed: which fold of which partition it is, see `fold_of`.
    """

    parent: PixelStore
    folds: int
    seed: int

    def __reduce__(self) -> tuple[Callable[..., PixelStore], tuple[Any, ...]]:
        """Pickled, a fold is its store and what chooses it."""
        return fold_of, (self.parent, self.folds, self.seed)

    @property
    def whole(self) -> PixelStore:
        """The store that it is a view of."""
        return self.parent


def fold_of(store: PixelStore, folds: int, seed: int) -> PixelStore:
    """The fold that a seed chooses: part `seed % folds` of the partition that is drawn with `seed // folds`.

    So the seeds from 0 to folds - 1 are the folds of one partition, the next as many those of another: repeated
    stratified k-fold (scikit-learn's RepeatedStratifiedKFold, with partitions that are addressed by number).

    Args:
        store: the data set, or one of its folds. Its test split is left as it is.
        folds: number of parts; 0 for the splits that the data set has.
        seed: of the training.

    Raises:
        DataError: where a class has fewer images than there are parts.
    """
    return _fold(store.whole, folds, seed) if folds else store.whole


@functools.lru_cache(maxsize=_KEPT)
def _fold(store: PixelStore, folds: int, seed: int) -> Fold:
    parts = _partition(store, folds, seed // folds)
    val = parts[seed % folds]
    train = np.setdiff1d(np.concatenate(parts), val)
    held = {field: getattr(store, field) for field in PixelStore.__dataclass_fields__}
    held |= {"splits": {**store.splits, "train": train, "val": val}, "digest": _digest(store, folds)}
    return Fold(**held, parent=store, folds=folds, seed=seed)


@functools.lru_cache(maxsize=_KEPT)
def _partition(store: PixelStore, folds: int, number: int) -> tuple[Indices, ...]:
    """The parts of a partition, each a sorted int64 array of positions, with the classes in equal proportion."""
    pool = np.sort(np.concatenate([store.splits["train"], store.splits["val"]]))
    labels = store.labels[pool]
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < folds:
        smallest = store.classes[classes[counts.argmin()]]
        raise DataError(
            f"folds: {folds} is more than the {counts.min()} training and validation images of {smallest}, the "
            f"smallest class of {store.name}",
            setting="folds",
        )
    from sklearn.model_selection import StratifiedKFold  # a second to import, for commands that do without

    drawn = StratifiedKFold(folds, shuffle=True, random_state=number).split(pool, labels)
    return tuple(pool[part] for _, part in drawn)


def _digest(store: PixelStore, folds: int) -> str:
    """Of the whole store and of how it is divided, as the first partition shows it, 16 hex digits."""
    hasher = hashlib.sha256(f"{store.digest}\n{folds}\n".encode())
    for part in _partition(store, folds, 0):
        hasher.update(("\0".join(store.files[i] for i in part) + "\n").encode())
    return hasher.hexdigest()[:16]
