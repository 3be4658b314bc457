"""Single images: where they come from, how they are decoded, and finding them in a folder."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quorum.errors import DataError, shown

warnings.filterwarnings("ignore", module=r"PIL\.")  # `decode` says what is wrong with an image
MAX_PIXELS, MAX_ASPECT = 50_000_000, 100  # of an image, and its longer side in shorter ones

Pixels = NDArray[np.uint8]  # [height, width, 3], RGB

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
# Of those names. Pillow knows others by their content, and has Ghostscript run what is PostScript.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# What Pillow raises for damaged files. It checks little of a header: a TIFF may have text in the place of a number.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)


class ImageSource(Protocol):
    """One image of a data set that has not been decoded yet."""

    @property
    def name(self) -> str:
        """Unique in its data set, with forward slashes."""

    def content(self) -> bytes:
        """The encoded bytes, which the data digest is taken of."""

    def decode(self, content: bytes) -> Pixels:
        """Pixels of those bytes. Raises DataError where they are no complete image."""


@dataclass(frozen=True)
class FileImage:
    """An image file."""

    name: str
    path: Path

    def content(self) -> bytes:
        if not self.path.is_file():  # reading a pipe would wait for a writer
            raise OSError(f"{self.name}: not a file")
        return self.path.read_bytes()

    def decode(self, content: bytes) -> Pixels:
        return decode(content, self.name)


@dataclass(frozen=True)
class ArrayImage:
    """An image that is already in memory, as [height, width, 3] bytes."""

    name: str
    pixels: Pixels

    def content(self) -> bytes:
        return self.pixels.tobytes()

    def decode(self, content: bytes) -> Pixels:
        return np.frombuffer(content, np.uint8).reshape(self.pixels.shape)


def decode(content: bytes, name: str) -> Pixels:
    """RGB pixels of an encoded image, as torchvision's ImageFolder would load it (EXIF rotation not applied).

    Raises:
        DataError: where the bytes are not an image, are cut short, or their header says that they unpack to more than
            MAX_PIXELS, or to a strip of which resizing would make as many.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            refuse_size(*image.size, name)
            return np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        raise DataError(f"{name}: not a readable image ({one_line(error)})") from error


def refuse_size(width: int, height: int, name: str) -> None:
    """Raise DataError for an image of too many pixels, or one far longer than wide: a small file can hold it."""
    short, long = sorted((width, height))
    if width * height > MAX_PIXELS:
        raise DataError(f"{name}: {width} x {height} pixels are more than {MAX_PIXELS // 10**6} million")
    if long > MAX_ASPECT * short:
        raise DataError(f"{name}: {width} x {height} pixels; one side is more than {MAX_ASPECT} times the other")


def in_parts(images: Iterable[Pixels]) -> Iterator[list[Pixels]]:
    """Images in lists of MAX_PIXELS at most, so that large ones do not lie in memory together."""
    part: list[Pixels] = []
    size = 0
    for image in images:
        pixels = image.shape[0] * image.shape[1]
        if part and size + pixels > MAX_PIXELS:
            yield part
            part, size = [], 0
        part.append(image)
        size += pixels
    if part:
        yield part


def one_line(error: BaseException) -> str:
    """The message of an error with its line breaks and object addresses taken out."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "unknown format" if "cannot identify image file" in text else text


def is_image(path: Path) -> bool:
    """Whether the name is that of an image; hidden files are not."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def image_paths(folder: Path) -> list[Path]:
    """All paths below a folder that have the name of an image, sorted, without hidden ones and what lies in hidden
    folders, such as a file manager's thumbnails."""
    paths = (path for path in folder.rglob("*") if is_image(path))
    return sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def find_images(folder: Path) -> list[FileImage]:
    """All images below a folder, sorted by name, without hidden ones.

    Raises:
        DataError: where there is no such folder or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    found = [path for path in image_paths(folder) if path.is_file()]
    if not found:
        raise DataError(f"{folder}: no image in this folder ({', '.join(sorted(EXTENSIONS))})")
    images = [FileImage(path.relative_to(folder).as_posix(), path) for path in found]
    refuse_names(image.name for image in images)
    return images


def refuse_names(names: Iterable[str]) -> None:
    """Raise DataError for a name that is not UTF-8: no table and no file could hold it."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{shown(name)}: a name that is not UTF-8; rename it") from error


def refuse_bad(problems: Iterable[str], total: int) -> None:
    """Raise DataError naming the first few of the problems, if there are any."""
    bad = list(problems)
    if bad:
        shown = "; ".join(bad[:3]) + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")
        raise DataError(f"{len(bad)} of {total} images cannot be used: {shown}. skip_bad=true leaves them out")
