"""`folder`: any tree of `class/image` files, with or without `train/`, `val/` and `test/` above the classes.

Splits that have no folder of their own are drawn, class by class, from `train/` (or from all images where there
is none of the three): 20% of all for test, 20% for validation. Hidden files and folders are left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorum.data.catalogue import SPLITS, Catalogue, Indices, build_catalogue
from quorum.data.datasets import FOLDER, imagenet_resize, register_dataset
from quorum.data.images import image_paths
from quorum.errors import DataError


@register_dataset(FOLDER, input_size=224, resize=imagenet_resize)
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
    files: list[Path] = []
    labels: list[str] = []
    splits: dict[str, Indices] = {}
    for split, by_class in found.items():
        start = len(files)
        for name in classes:
            files += by_class.get(name, [])
            labels += [name] * len(by_class.get(name, []))
        splits[split] = np.arange(start, len(files))
    return build_catalogue(FOLDER, files, labels, root=folder, classes=classes, splits=splits, split_seed=split_seed)


def _class_files(base: Path) -> dict[str, list[Path]]:
    folders = sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = {path.name: image_paths(path) for path in folders}
    return {name: paths for name, paths in files.items() if paths}
