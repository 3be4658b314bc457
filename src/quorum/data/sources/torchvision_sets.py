"""Data sets that `torchvision.datasets` reads: what is known of each is one row of ROWS.

The folder of a data set is what torchvision calls its root. No image file is opened here: a class that takes a `loader`
is given one that hands the path on. CIFAR-100, whose files torchvision unpickles, and Caltech-256 have modules of their
own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quorum.data.catalogue import HELD_OUT, Catalogue, Indices, build_catalogue, stratified
from quorum.data.datasets import Download, Lister, imagenet_resize, register_dataset
from quorum.data.images import ArrayImage, FileImage, ImageSource, Pixels, one_line
from quorum.errors import DataError, cut

ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz"})  # what torchvision downloads, unpacks and does not read again
Arguments = Mapping[str, Any]
Part = Any  # an instance of one of torchvision's classes
Labeled = Iterable[tuple[Path | Pixels, int]]


def _paths(part: Part) -> Labeled:
    """Of a class whose argument `loader` is Path: an item is a path and its label."""
    return sorted(part[i] for i in range(len(part)))  # SUN397 lists its files as the disk does


def _pet_paths(part: Part) -> Labeled:
    return zip(part._images, part._labels, strict=True)


def _traffic_sign_paths(part: Part) -> Labeled:
    return ((Path(path), label) for path, label in part._samples)


def _track(name: str) -> str:
    """Of a frame TRACK_FRAME.ppm, by its path."""
    return name.rpartition("_")[0] or name


def _arrays(part: Part) -> Labeled:
    """Of a class with its images in memory, gray [n, h, w] or RGB [n, 3, h, w]: each as [h, w, 3]."""
    data = np.asarray(part.data)
    images = data.transpose(0, 2, 3, 1) if data.ndim == 4 else np.broadcast_to(data[..., None], (*data.shape, 3))
    labels = np.asarray(part.targets if hasattr(part, "targets") else part.labels)
    first = labels[:, 0] if labels.ndim == 2 else labels  # QMNIST tells writer and place of a digit beside its class
    return zip(images, first.tolist(), strict=True)


@dataclass(frozen=True)
class Row:
    """How a data set is read.

    Attributes:
        reader: a class of `torchvision.datasets`.
        parts: its arguments, by split. Splits that are not here are drawn from `train`.
        labeled: images, or the paths of their files, with labels, of an instance.
        input_size, resize, one_size: see `register_dataset`.
        download: an archive; or whether torchvision can download it.
        group: by an image's name, what it belongs to, where images of one group are nearly the same. `val` is drawn
            from `train` group by group then.
    """

    reader: str
    parts: Mapping[str, Arguments]
    labeled: Callable[[Part], Labeled]
    input_size: int = 224
    resize: Callable[[int], int] = imagenet_resize
    one_size: bool = False
    download: Download | bool = True
    group: Callable[[str], str] | None = None


def _whole(size: int) -> int:
    """Resize to the input, so that the crop keeps all of a square image."""
    return size


def _files(**splits: str) -> dict[str, Arguments]:
    return {split: {"split": name, "loader": Path} for split, name in splits.items()}


def _split(**splits: str) -> dict[str, Arguments]:
    return {split: {"split": name} for split, name in splits.items()}


def _small(reader: str, parts: Mapping[str, Arguments], input_size: int = 32) -> Row:
    """A data set of arrays of one size."""
    return Row(reader, parts, _arrays, input_size, _whole, one_size=True)


TRAIN_TEST: Mapping[str, Arguments] = {"train": {"train": True}, "test": {"train": False}}
BALANCED = {split: {"split": "balanced", **arguments} for split, arguments in TRAIN_TEST.items()}

ROWS: dict[str, Row] = {
    "mnist": _small("MNIST", TRAIN_TEST),
    "fashion_mnist": _small("FashionMNIST", TRAIN_TEST),
    "kmnist": _small("KMNIST", TRAIN_TEST),
    "qmnist": _small("QMNIST", TRAIN_TEST),
    "emnist": _small("EMNIST", BALANCED),
    "usps": _small("USPS", TRAIN_TEST),
    "semeion": _small("SEMEION", {"train": {}}),
    "svhn": _small("SVHN", _split(train="train", test="test")),
    "stl10": _small("STL10", _split(train="train", test="test"), 96),
    "eurosat": Row("EuroSAT", {"train": {"loader": Path}}, _paths, 64, _whole, one_size=True),
    "gtsrb": Row("GTSRB", _split(train="train", test="test"), _traffic_sign_paths, 64, _whole, group=_track),
    "flowers102": Row("Flowers102", _files(train="train", val="val", test="test"), _paths),
    "oxford_iiit_pet": Row("OxfordIIITPet", _split(train="trainval", test="test"), _pet_paths),
    "food101": Row("Food101", _files(train="train", test="test"), _paths),
    "dtd": Row("DTD", _files(train="train", val="val", test="test"), _paths),
    "fgvc_aircraft": Row(
        "FGVCAircraft",
        _files(train="train", val="val", test="test"),
        _paths,
        # torchvision checks no sum of this one, and unpacks whatever comes
        download=Download(
            "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
            md5="d4acdd33327262359767eeaa97a4f732",
        ),
    ),
    "stanford_cars": Row("StanfordCars", _files(train="train", test="test"), _paths, download=False),
    # what is published on Imagenette is measured on the part that it calls val
    "imagenette": Row("Imagenette", _files(train="train", test="val"), _paths),
    "country211": Row("Country211", _files(train="train", val="valid", test="test"), _paths),
    "sun397": Row("SUN397", {"train": {"loader": Path}}, _paths),
    "rendered_sst2": Row("RenderedSST2", _files(train="train", val="val", test="test"), _paths, resize=_whole),
}


def _open(row: Row, split: str, root: Path, *, download: bool = False) -> Part:
    from torchvision import datasets  # not before somebody wants one of them

    with warnings.catch_warnings(action="ignore"):  # what is wrong with a file is said as an error
        return getattr(datasets, row.reader)(root, **row.parts[split], download=download)


def _read(row: Row, split: str, root: Path) -> tuple[list[ImageSource], list[str], tuple[str, ...]]:
    """The images of one part, the name of each one's class, and the names of all classes."""
    part = _open(row, split, root)
    images, labels = [], []
    for place, (image, label) in enumerate(row.labeled(part)):
        images.append(_source(image, f"{split}/{place:06d}", root))
        labels.append(int(label))
    if not images:
        raise ValueError(f"no {split} images")
    classes = _class_names(part, max(labels) + 1)
    if not 0 <= min(labels) <= max(labels) < len(classes):
        raise ValueError(f"labels from {min(labels)} to {max(labels)} where there are {len(classes)} classes")
    return images, [classes[label] for label in labels], classes


def _source(image: Path | Pixels, name: str, root: Path) -> ImageSource:
    if isinstance(image, Path):
        return FileImage(image.relative_to(root).as_posix(), image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"images of {image.dtype} {image.shape}")
    return ArrayImage(name, image)


def _class_names(part: Part, count: int) -> tuple[str, ...]:
    """Names by label, the first of several; numbers where torchvision knows no names."""
    names = getattr(part, "classes", None) or map(str, range(count))
    return tuple(name if isinstance(name, str) else name[0] for name in names)


def _by_group(groups: Sequence[str], labels: Sequence[str], seed: int) -> tuple[Indices, Indices]:
    """Positions for `train` and `val`, each group in one of them, class by class.

    Args:
        groups: [n] groups of the images, none with two classes.
        labels: [n] class names.
        seed: of the draw.

    Raises:
        DataError: where a class has too few groups to be in both.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    label = np.unique(labels, return_inverse=True)[1][first]
    _, drawn = stratified(np.arange(len(first)), label, HELD_OUT, seed)
    in_val = np.isin(group, drawn)
    return np.flatnonzero(~in_val), np.flatnonzero(in_val)


def _lister(name: str, row: Row) -> Lister:
    def catalogue(root: Path, split_seed: int) -> Catalogue:
        try:
            parts = {split: _read(row, split, root) for split in row.parts}
        except Exception as error:  # each of torchvision's readers has errors of its own
            reason = cut(one_line(error).partition(" You can ")[0], 140)
            hint = f"; `quorum data -P dataset={name} -P download=true` fetches it" if row.download else ""
            raise DataError(
                f"{root}: not {name} as torchvision.datasets.{row.reader} reads it ({reason}){hint}"
            ) from error
        bounds = np.cumsum([0, *(len(images) for images, _, _ in parts.values())])
        splits = {split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(parts)}
        if row.group:
            images, labels, _ = parts["train"]  # the first part
            splits["train"], splits["val"] = _by_group([row.group(image.name) for image in images], labels, split_seed)
        return build_catalogue(
            name,
            [image for images, _, _ in parts.values() for image in images],
            [label for _, labels, _ in parts.values() for label in labels],
            classes=parts["train"][2],
            splits=splits,
            split_seed=split_seed,
        )

    return catalogue


def _downloader(row: Row) -> Callable[[Path], None]:
    def download(root: Path) -> None:
        for split in row.parts:
            _open(row, split, root, download=True)
        for file in list(root.rglob("*")):
            if file.suffix in ARCHIVES:
                file.unlink()

    return download


for _name, _row in ROWS.items():
    register_dataset(
        _name,
        input_size=_row.input_size,
        resize=_row.resize,
        one_size=_row.one_size,
        source=f"torchvision.datasets.{_row.reader}",
        download=_downloader(_row) if _row.download is True else _row.download or None,
    )(_lister(_name, _row))
