"""Data sets by name, their splits, the store of decoded pixels, and batches of augmented images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quorum.data.catalogue import SPLITS, Catalogue
from quorum.data.sources import caltech101, cifar10, digits, folder
from quorum.errors import DataError, unknown

__all__ = ["DATASETS", "SPLITS", "Catalogue", "Dataset", "dataset", "load_catalogue"]


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is there.

    Attributes:
        catalogue: lists the data set in a folder, split by a seed where it has no split of its own.
        input_size: side of the input, in pixels, that models take here unless told otherwise.
        resize: shorter side before the crop for an input size; 0 for no resize.
        one_size: whether all its images have the same size.
        needs_folder: whether it has to be downloaded, unpacked or pointed at.
    """

    catalogue: Callable[[Path, int], Catalogue]
    input_size: int
    resize: Callable[[int], int]
    one_size: bool = False
    needs_folder: bool = True


DATASETS = {
    "digits": Dataset(
        lambda _root, _seed: digits.catalogue(), 64, lambda size: size, one_size=True, needs_folder=False
    ),
    # The report crops the center without a resize; smaller images are padded with zeros.
    "caltech101": Dataset(lambda root, _seed: caltech101.catalogue(root), 224, lambda _size: 0),
    "cifar10": Dataset(
        lambda root, _seed: cifar10.catalogue(root),
        224,
        lambda size: 0 if size == 32 else size,
        one_size=True,
    ),
    # The usual ImageNet evaluation: the shorter side to 256 for a crop of 224.
    "folder": Dataset(folder.catalogue, 224, lambda size: round(size * 256 / 224)),
}


def dataset(name: str) -> Dataset:
    """A data set by name. Raises DataError for a name that is none."""
    if name not in DATASETS:
        raise DataError(unknown("dataset", name, DATASETS), setting="dataset")
    return DATASETS[name]


def load_catalogue(name: str, data_dir: Path, path: Path | None = None, split_seed: int = 0) -> Catalogue:
    """List a data set.

    Args:
        name: of the data set.
        data_dir: folder that holds one folder per data set.
        path: the data set's own folder, if it stands elsewhere (always, for `folder`).
        split_seed: of the split, where the data set has none of its own.

    Raises:
        DataError: where it is missing; the message says how to get it.
    """
    kind = dataset(name)
    if name == "folder" and path is None:
        raise DataError("dataset=folder needs path=, a tree of class/image files")
    root = path or data_dir / name
    if kind.needs_folder and not root.is_dir():
        raise DataError(
            f"{name} is not in {root}: `quorum data -P dataset={name} -P archive=FILE[,FILE...]` unpacks it, "
            "download=true fetches it, path= points at it"
            if name != "folder"
            else f"{root}: no such folder; path= names a tree of class/image files"
        )
    return kind.catalogue(root, split_seed)
