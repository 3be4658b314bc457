"""What a data set consists of, before any image is decoded: images, classes and splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from quorum.data.images import ArrayImage, FileImage, ImageSource
from quorum.errors import DataError

SPLITS = ("train", "val", "test")
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """Images with labels and disjoint splits.

    Attributes:
        name: name of the data set.
        classes: class names; label `i` is `classes[i]`.
        images: [n] images, not decoded.
        labels: [n] int64.
        splits: `train`, `val` and `test`, each an int64 array of positions in `images`.
    """

    name: str
    classes: tuple[str, ...]
    images: Sequence[ImageSource]
    labels: Indices
    splits: dict[str, Indices]

    def stamp(self) -> str:
        """Hash that changes when an image file, a label or a split does; reads sizes and times, not pixels."""
        hasher = hashlib.sha256(json.dumps([self.name, self.classes]).encode())
        for image in self.images:
            hasher.update(image.name.encode() + _stamp_of(image))
        hasher.update(self.labels.tobytes())
        for split in SPLITS:
            hasher.update(self.splits[split].tobytes())
        return hasher.hexdigest()[:16]


def _stamp_of(image: ImageSource) -> bytes:
    if isinstance(image, FileImage):
        status = image.path.stat()
        return f"\0{status.st_size}\0{status.st_mtime_ns}\0".encode()
    if isinstance(image, ArrayImage):
        return image.pixels.tobytes()
    return image.content()


def stratified(positions: Indices, labels: Indices, held_out: int | float, seed: int) -> tuple[Indices, Indices]:
    """Split positions in two with the classes in equal proportion.

    Args:
        positions: [n] positions to divide.
        labels: labels of all images, indexed by position.
        held_out: size of the second part, as a count or a fraction.
        seed: of the draw.

    Returns:
        The two parts, each sorted.

    Raises:
        DataError: where a class is too small to stand in both parts.
    """
    try:
        first, second = train_test_split(positions, test_size=held_out, random_state=seed, stratify=labels[positions])
    except ValueError as error:
        smallest = np.unique(labels[positions], return_counts=True)[1].min()
        raise DataError(
            f"cannot split {len(positions)} images class by class: the smallest class has {smallest}; "
            "add images, or make train/, val/ and test/ folders"
        ) from error
    return np.sort(first), np.sort(second)
