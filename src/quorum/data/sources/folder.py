"""`folder`: any tree of `class/image` files, with or without `train/`, `val/` and `test/` above the classes.

Splits that have no folder of their own are drawn, class by class, from `train/` (or from all images where there
is none of the three): 20% of all for test, 20% for validation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorum.data.catalogue import SPLITS, Catalogue, Indices, stratified
from quorum.data.images import FileImage, is_image
from quorum.errors import DataError

HELD_OUT = 0.2


def catalogue(folder: Path, split_seed: int) -> Catalogue:
    """The data set in `folder`.

    Raises:
        DataError: where there is no such tree, or too few images to split.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; path= names a tree of class/image files")
    bases = {split: folder / split for split in SPLITS if (folder / split).is_dir()}
    if bases and "train" not in bases:
        raise DataError(f"{folder}: has {', '.join(f'{split}/' for split in bases)} but no train/")
    found = {split: _class_files(base) for split, base in (bases or {"train": folder}).items()}
    classes = sorted(found["train"])
    for split, by_class in found.items():
        if extra := sorted(set(by_class) - set(classes)):
            raise DataError(f"{folder / split}: classes that train/ lacks: {', '.join(extra)}")
    if len(classes) < 2:
        raise DataError(f"{folder}: {len(classes)} class folders with images; a classifier needs two or more")
    images: list[FileImage] = []
    labels: list[int] = []
    positions: dict[str, Indices] = {}
    for split, by_class in found.items():
        start = len(images)
        for label, name in enumerate(classes):
            for path in by_class.get(name, []):
                images.append(FileImage(path.relative_to(folder).as_posix(), path))
                labels.append(label)
        positions[split] = np.arange(start, len(images), dtype=np.int64)
    label_array = np.array(labels, dtype=np.int64)
    return Catalogue("folder", tuple(classes), images, label_array, _complete(positions, label_array, split_seed))


def _class_files(base: Path) -> dict[str, list[Path]]:
    folders = sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = {path.name: sorted(file for file in path.rglob("*") if is_image(file)) for path in folders}
    return {name: paths for name, paths in files.items() if paths}


def _complete(positions: dict[str, Indices], labels: Indices, seed: int) -> dict[str, Indices]:
    """All three splits, those that are missing drawn from `train`."""
    total = len(positions["train"])
    for split in ("test", "val"):
        if split not in positions:
            held_out = max(round(HELD_OUT * total), 1)
            positions["train"], positions[split] = stratified(positions["train"], labels, held_out, seed)
    return {split: positions[split] for split in SPLITS}
