"""`cifar10`: the official 50,000 / 10,000, with 10,000 of the former, class-stratified, held out for validation.

Read from either an image-folder tree (`train/CLASS/*.jpg`, `test/CLASS/*.jpg`) or the official Python files that
torchvision downloads (`cifar-10-batches-py/`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorum.data.catalogue import Catalogue, build_catalogue, stratified
from quorum.data.datasets import Download, register_dataset
from quorum.data.images import FileImage, is_image
from quorum.data.sources.cifar_files import Labeled, read_images
from quorum.errors import DataError

SPLIT_SEED = 0
VAL = 10_000
COUNTS = {"train": 50_000, "test": 10_000}
OFFICIAL = "cifar-10-batches-py"
OFFICIAL_FILES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@register_dataset(
    "cifar10",
    input_size=224,
    resize=lambda size: 0 if size == 32 else size,
    one_size=True,
    download=Download(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", md5="c58f30108f718f92721af3b95e74349a"
    ),
)
def catalogue(folder: Path, _split_seed: int) -> Catalogue:
    """The data set below `folder` in either layout.

    Raises:
        DataError: where neither layout is there, or it is not complete.
    """
    for base in (folder, *sorted(path for path in folder.glob("*") if path.is_dir())):
        if base.name == OFFICIAL or (base / OFFICIAL).is_dir():
            return _assemble(base, _official(base if base.name == OFFICIAL else base / OFFICIAL))
        if (base / "train").is_dir() and (base / "test").is_dir():
            return _assemble(base, _image_folders(base))
    raise DataError(f"{folder}: neither train/ and test/ with the ten classes nor {OFFICIAL}/ in it")


def _assemble(base: Path, parts: dict[str, Labeled]) -> Catalogue:
    for part, count in COUNTS.items():
        if len(parts[part]) != count:
            raise DataError(f"{base}: {len(parts[part]):,} {part} images where CIFAR-10 has {count:,}")
    both = parts["train"] + parts["test"]
    labels = np.array([label for _, label in both], dtype=np.int64)
    train, val = stratified(np.arange(COUNTS["train"]), labels, VAL, SPLIT_SEED)
    return build_catalogue(
        "cifar10",
        [image for image, _ in both],
        [CLASSES[label] for label in labels],
        classes=CLASSES,
        splits={"train": train, "val": val, "test": np.arange(COUNTS["train"], len(both))},
    )


def _image_folders(base: Path) -> dict[str, Labeled]:
    parts: dict[str, Labeled] = {}
    for part in COUNTS:
        folders = {path.name: path for path in (base / part).iterdir() if path.is_dir()}
        if set(folders) != set(CLASSES):
            wrong = ", ".join(sorted(set(folders) ^ set(CLASSES)))
            raise DataError(
                f"{base / part}: its folders are not the ten classes of CIFAR-10 (missing or extra: {wrong})"
            )
        parts[part] = [
            (FileImage(path.relative_to(base).as_posix(), path), label)
            for label, name in enumerate(CLASSES)
            for path in sorted(folders[name].iterdir())
            if is_image(path)
        ]
    return parts


def _official(batches: Path) -> dict[str, Labeled]:
    return {
        part: [pair for file in files for pair in read_images(batches / file, "CIFAR-10", "labels", len(CLASSES))]
        for part, files in OFFICIAL_FILES.items()
    }
