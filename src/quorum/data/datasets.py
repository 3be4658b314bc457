"""Data sets by name: what is known of one before it is there, and how it is listed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quorum.data.catalogue import Catalogue
from quorum.errors import ConfigError, DataError, shown
from quorum.registry import Registry

Lister = Callable[[Path, int], Catalogue]  # the data set in a folder, split by a seed where it has no split of its own
Fetcher = Callable[[Path], None]  # puts a data set's files into a folder


@dataclass(frozen=True)
class Download:
    """Where a data set's archive can be had.

    Attributes:
        url: of a tar or zip archive.
        md5: of the archive, in hex digits.
    """

    url: str
    md5: str


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is there.

    Attributes:
        catalogue: lists the data set.
        input_size: side of the input, in pixels, that models take here by default.
        resize: shorter side before the crop for an input size; 0 for no resize.
        one_size: whether all its images have the same size.
        needs_folder: whether it has to be downloaded, unpacked or pointed at.
        source: where its images come from, where it needs no folder.
        download: its archive, or a function that fetches it into a folder, if it can be had.
    """

    catalogue: Lister
    input_size: int
    resize: Callable[[int], int]
    one_size: bool = False
    needs_folder: bool = True
    source: str = ""
    download: Download | Fetcher | None = None


def imagenet_resize(size: int) -> int:
    """The shorter side before the crop in the usual evaluation on ImageNet: 256 for an input of 224."""
    return round(size * 256 / 224)


FOLDER = "folder"  # the kind of all trees of class/image files, each of which has a name of its own
VOTES = "-vote"  # ends the names of registered votes, so no folder's name may end in it

DATASETS: Registry[Dataset] = Registry("dataset", "dataset", DataError)


def register_dataset(
    name: str,
    *,
    input_size: int = 224,
    resize: Callable[[int], int] = lambda size: size,
    one_size: bool = False,
    needs_folder: bool = True,
    source: str = "",
    download: Download | Fetcher | None = None,
) -> Callable[[Lister], Lister]:
    """A decorator for a function (root, split_seed) that lists a data set.

    Args:
        name: of the data set; `root` is the folder of that name in `data_dir`, or what `path` points at.
        input_size: side of the input, in pixels, that models take here by default.
        resize: shorter side before the crop for an input size; 0 for no resize.
        one_size: whether all its images have the same size; they are then resized batch by batch.
        needs_folder: whether there has to be a folder.
        source: where the images come from, for the record; the function itself unless given.
        download: its archive, or a function that fetches it into the empty folder that it is given, if it can be had.

    Raises:
        ConfigError: where the name is taken.
    """

    def register(catalogue: Lister) -> Lister:
        origin = source or f"{catalogue.__module__}.{catalogue.__qualname__}"
        DATASETS.add(name, Dataset(catalogue, input_size, resize, one_size, needs_folder, origin, download))
        return catalogue

    return register


def dataset(name: str) -> Dataset:
    """A data set by name. Raises DataError for a name that is unknown."""
    return DATASETS.named(name)


def is_name(name: str) -> bool:
    """Whether a folder of the user's own could have this name."""
    return re.fullmatch(r"\w[\w.-]{0,63}", name) is not None and not name.endswith(VOTES)


def name_folder(name: str) -> None:
    """Let a name stand for a folder of the user's own, in this process.

    Raises:
        ConfigError: for a name that is not fit to be one, or is that of another data set.
    """
    if not is_name(name):
        raise ConfigError(
            f"name: {shown(name)} cannot be a folder's name: 1 to 64 letters, digits, _, - and ., not ending in {VOTES}"
        )
    kind = DATASETS.named(FOLDER)
    if DATASETS.get(name, kind) is not kind:
        raise ConfigError(f"name: {name} is another data set's; give the folder another name=, or dataset={name}")
    DATASETS.alias(name, kind)


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder of the user's own."""
    return name != FOLDER and DATASETS.get(name) is DATASETS.named(FOLDER)


def load_catalogue(name: str, data_dir: Path, path: Path | None = None, split_seed: int = 0) -> Catalogue:
    """List a data set.

    Args:
        name: of the data set.
        data_dir: folder that holds one folder per data set.
        path: the data set's own folder, if it is elsewhere.
        split_seed: of the split, where the data set has none of its own.

    Raises:
        DataError: where it is missing; the message says how to get it.
    """
    kind = dataset(name)
    own = kind is DATASETS.named(FOLDER)
    root = path or data_dir / name
    if kind.needs_folder and not root.is_dir():
        if own:
            raise DataError(f"{root}: no such folder; path= names a tree of class/image files")
        fetches = "download=true fetches it, " if kind.download else ""
        raise DataError(
            f"{name} is not in {root}: `quorum data -P dataset={name} -P archive=FILE[,FILE...]` unpacks it, "
            f"{fetches}path= points at it"
        )
    found = kind.catalogue(root, split_seed)
    return dataclasses.replace(found, name=name) if own else found
