"""`cifar100`: the official 50,000 / 10,000 with the 100 fine classes; validation is drawn from the former.

Read from the official Python files (`cifar-100-python/`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorum.data.catalogue import Catalogue, build_catalogue
from quorum.data.datasets import Download, register_dataset
from quorum.data.sources.cifar_files import read_class_names, read_images
from quorum.data.sources.trees import find_tree
from quorum.errors import DataError

KIND = "CIFAR-100"
OFFICIAL = "cifar-100-python"
COUNTS = {"train": 50_000, "test": 10_000}
CLASSES = 100


@register_dataset(
    "cifar100",
    input_size=32,
    one_size=True,
    download=Download(
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", md5="eb9058c3a382ffc7106e4002c42a8d85"
    ),
)
def catalogue(folder: Path, split_seed: int) -> Catalogue:
    """The data set below `folder`, wherever `cifar-100-python/` is in it.

    Raises:
        DataError: where it is missing or not complete.
    """
    official = find_tree(folder, OFFICIAL)
    classes = read_class_names(official / "meta", KIND, "fine_label_names", CLASSES)
    parts = {part: read_images(official / part, KIND, "fine_labels", CLASSES) for part in COUNTS}
    for part, count in COUNTS.items():
        if len(parts[part]) != count:
            raise DataError(f"{official}: {len(parts[part]):,} {part} images where {KIND} has {count:,}")
    both = parts["train"] + parts["test"]
    train = len(parts["train"])
    return build_catalogue(
        "cifar100",
        [image for image, _ in both],
        [classes[label] for _, label in both],
        classes=classes,
        splits={"train": np.arange(train), "test": np.arange(train, len(both))},
        split_seed=split_seed,
    )
