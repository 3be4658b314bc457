"""The official files of CIFAR-10 and CIFAR-100, which are pickles, read without running what they name.

torchvision's reader checks an md5 and then unpickles whatever the file names.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from quorum.data.images import ArrayImage, ImageSource
from quorum.errors import DataError

T = TypeVar("T")
Labeled = list[tuple[ImageSource, int]]
MAX_MEMO = 10**6  # places in the table of a pickle's objects; an official file has some ten thousand


class _ArraysOnly(pickle.Unpickler):
    """Lets a pickle name nothing but NumPy arrays."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def __init__(self, content: bytes, kind: str) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.kind = kind

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no {self.kind} file does")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_images(file: Path, kind: str, labels: str, classes: int) -> Labeled:
    """The images of an official file, 32 x 32, with their labels.

    Args:
        file: a pickle of a mapping with `data`, uint8 [n, 3072], channels first.
        kind: the data set, for messages.
        labels: key of the n labels.
        classes: labels are integers from 0 to one less.

    Raises:
        DataError: where the file is missing, is not such a file, or names anything but arrays.
    """

    def listed(batch: Any) -> Labeled:
        data, numbers = batch["data"], batch[labels]
        if data.shape != (len(numbers), 3072) or data.dtype != np.uint8:
            raise ValueError(f"its data is {data.dtype} {data.shape}")
        if not all(isinstance(label, int) and 0 <= label < classes for label in numbers):
            raise ValueError(f"its labels are not all numbers from 0 to {classes - 1}")
        pixels = np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        return [
            (ArrayImage(f"{file.name}/{i:05d}", image), label)
            for i, (image, label) in enumerate(zip(pixels, numbers, strict=True))
        ]

    return _read(file, kind, listed)


def read_class_names(file: Path, kind: str, key: str, classes: int) -> tuple[str, ...]:
    """Class names in the order of their labels, from the official file that lists them.

    Args:
        file: a pickle of a mapping.
        kind: the data set, for messages.
        key: of the names.
        classes: how many there have to be.

    Raises:
        DataError: where the file is missing, is not such a file, or names anything but arrays.
    """

    def named(meta: Any) -> tuple[str, ...]:
        names = tuple(meta[key])
        if len(set(names)) != classes or not all(isinstance(name, str) for name in names):
            raise ValueError(f"it does not name {classes} classes")
        return names

    return _read(file, kind, named)


def _read(file: Path, kind: str, take: Callable[[Any], T]) -> T:
    """What is taken of an official file's content."""
    try:
        if not file.is_file():  # reading a pipe would wait for a writer
            raise OSError("no such file")
        content = file.read_bytes()
        _refuse_large_memo(content)
        return take(_ArraysOnly(content, kind).load())
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
        raise DataError(f"{file}: not an official {kind} file ({' '.join(str(error).split())})") from error


def _refuse_large_memo(content: bytes) -> None:
    """Raise UnpicklingError for a pickle of a few bytes that has a table of billions of places made."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and argument is not None and int(argument) > MAX_MEMO:
            raise pickle.UnpicklingError(f"it asks for a table of {argument} places")
