"""`cifar10`: the official 50,000 / 10,000, with 10,000 of the former, class-stratified, held out for validation.

Read from either an image-folder tree (`train/CLASS/*.jpg`, `test/CLASS/*.jpg`) or the official Python files that
torchvision downloads (`cifar-10-batches-py/`).
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from quorum.data.catalogue import Catalogue, build_catalogue, stratified
from quorum.data.datasets import Download, register_dataset
from quorum.data.images import ArrayImage, FileImage, ImageSource, is_image
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


Labeled = list[tuple[ImageSource, int]]


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
    parts: dict[str, Labeled] = {}
    for part, files in OFFICIAL_FILES.items():
        parts[part] = []
        for file in files:
            batch = _read_batch(batches / file)
            pixels = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            parts[part] += [
                (ArrayImage(f"{file}/{i:05d}", np.ascontiguousarray(image)), int(label))
                for i, (image, label) in enumerate(zip(pixels, batch["labels"], strict=True))
            ]
    return parts


MAX_MEMO = 10**6  # places in the table of a pickle's objects; an official file has some ten thousand


class _ArraysOnly(pickle.Unpickler):
    """Reads the official files, which are pickles, without letting them name anything but NumPy arrays.

    torchvision's reader checks an md5 and then unpickles whatever the file names.
    """

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR-10 file does")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _refuse_large_memo(content: bytes) -> None:
    """Raise UnpicklingError for a pickle of a few bytes that has a table of billions of places made."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and argument is not None and int(argument) > MAX_MEMO:
            raise pickle.UnpicklingError(f"it asks for a table of {argument} places")


def _read_batch(path: Path) -> dict[str, Any]:
    """One official file: `data` uint8 [n, 3072] (channels first), `labels` n integers from 0 to 9."""
    try:
        if not path.is_file():  # reading a pipe would wait for a writer
            raise OSError("no such file")
        content = path.read_bytes()
        _refuse_large_memo(content)
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        if batch["data"].shape != (len(batch["labels"]), 3072) or batch["data"].dtype != np.uint8:
            raise ValueError(f"its data is {batch['data'].dtype} {batch['data'].shape}")
        if not all(isinstance(label, int) and 0 <= label < len(CLASSES) for label in batch["labels"]):
            raise ValueError(f"its labels are not all numbers from 0 to {len(CLASSES) - 1}")
    except (
        OSError,
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        IndexError,
        MemoryError,  # it asks for terabytes
        OverflowError,
    ) as error:
        raise DataError(f"{path}: not an official CIFAR-10 file ({' '.join(str(error).split())})") from error
    return dict(batch)
