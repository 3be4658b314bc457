"""What a data set consists of, before any image is decoded: images, classes and splits."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quorum.data.images import ArrayImage, FileImage, ImageSource, Pixels, refuse_names
from quorum.errors import DataError, unknown

SPLITS = ("train", "val", "test")
HELD_OUT = 0.2  # of all images, for each split that is drawn
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


def build_catalogue(
    name: str,
    images: Iterable[Path | Pixels | ImageSource],
    labels: Sequence[str],
    *,
    root: Path | None = None,
    classes: Sequence[str] = (),
    splits: Mapping[str, Indices] | None = None,
    split_seed: int = 0,
) -> Catalogue:
    """A data set of files or arrays.

    Args:
        name: of the data set.
        images: [n] image files, arrays uint8 [height, width, 3], or image sources.
        labels: [n] class names.
        root: folder that the files are named relative to.
        classes: class names in the order of their labels; sorted unless given.
        splits: positions in `images` of `train`, `val` and `test`. Those that are missing are drawn from `train` class
            by class, or from all images where none is given: 20% for test, 20% for validation.
        split_seed: of that draw.

    Raises:
        DataError: for images that are none of these or share a name, names that are not UTF-8, labels that do not fit,
            splits that overlap, and too few images to split.
    """
    listed = list(images)
    if not listed:
        raise DataError(f"{name}: no images")
    digits = len(str(len(listed) - 1))
    sources = [_source(image, f"{place:0{digits}d}", root) for place, image in enumerate(listed)]
    refuse_names(itertools.chain(labels, (source.name for source in sources)))
    if len(labels) != len(sources):
        raise DataError(f"{name}: {len(labels):,} labels for {len(sources):,} images")
    if twice := [image for image, count in Counter(source.name for source in sources).items() if count > 1]:
        raise DataError(f"{name}: two images are named {twice[0]}")
    numbers = {class_name: number for number, class_name in enumerate(classes or sorted(set(labels)))}
    if strangers := sorted(set(labels) - numbers.keys()):
        raise DataError(f"{name}: labels that are not among its classes: {', '.join(strangers):.80}")
    label_array = np.array([numbers[label] for label in labels], dtype=np.int64)
    given = splits or {"train": np.arange(len(sources), dtype=np.int64)}
    _check_splits(name, given, len(sources))
    return Catalogue(name, tuple(numbers), sources, label_array, _complete(given, label_array, split_seed))


def _check_splits(name: str, splits: Mapping[str, Indices], images: int) -> None:
    if strangers := [split for split in splits if split not in SPLITS]:
        raise DataError(f"{name}: splits: {unknown('split', strangers[0], SPLITS)}")
    if "train" not in splits:
        raise DataError(f"{name}: splits: 'train' is missing")
    positions = np.concatenate(list(splits.values()))
    if len(np.unique(positions)) != len(positions) or not np.isin(positions, np.arange(images)).all():
        raise DataError(f"{name}: splits are disjoint positions from 0 to {images - 1}; these are not")


def _source(image: Path | Pixels | ImageSource, name: str, root: Path | None) -> ImageSource:
    if isinstance(image, Path):
        return FileImage((image.relative_to(root) if root else image).as_posix(), image)
    if not isinstance(image, np.ndarray):
        return image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"image {name}: is {image.dtype} {image.shape}; an image is uint8 (height, width, 3)")
    return ArrayImage(name, image)


def _complete(given: Mapping[str, Indices], labels: Indices, seed: int) -> dict[str, Indices]:
    """All three splits, those that are missing drawn from `train`."""
    splits = {split: np.asarray(positions, dtype=np.int64) for split, positions in given.items()}
    total = len(splits["train"])
    for split in ("test", "val"):
        if split not in splits:
            held_out = max(round(HELD_OUT * total), 1)
            splits["train"], splits[split] = stratified(splits["train"], labels, held_out, seed)
    return {split: splits[split] for split in SPLITS}


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
        DataError: where a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split  # a second to import, for commands that do without

    try:
        first, second = train_test_split(positions, test_size=held_out, random_state=seed, stratify=labels[positions])
    except ValueError as error:
        smallest = np.unique(labels[positions], return_counts=True)[1].min()
        raise DataError(
            f"cannot split {len(positions)} images class by class: the smallest class has {smallest}; "
            "add images, or make train/, val/ and test/ folders"
        ) from error
    return np.sort(first), np.sort(second)
