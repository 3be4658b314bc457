"""Real images for the benchmarks: a part of Caltech-101 or CIFAR-10 as a tree that ImageFolder and quorum both read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from common import UnavailableError
from quorum.data import load_catalogue
from quorum.data.images import FileImage
from quorum.data.sources.archives import unpack
from quorum.errors import DataError

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".quorum" / "benchmarks"
ARCHIVES = {
    "caltech101": ("caltech101/part-1.tar", "caltech101/part-2.tar", "caltech101/part-3.tar"),
    "cifar10": ("cifar10.tar.xz",),
}


def folder_of(dataset: str, data_dir: Path) -> Path:
    """The folder of a data set: below `data_dir`, or unpacked once from the archives beside the checkout.

    Raises:
        UnavailableError: where it is in neither.
    """
    if (data_dir / dataset).is_dir():
        return data_dir / dataset
    archives = [ROOT.parent / "shared" / "data" / name for name in ARCHIVES[dataset]]
    if not all(archive.is_file() for archive in archives):
        raise UnavailableError(f"{dataset} is not in {data_dir / dataset}; --data names the folder that holds it")
    folder = WORK / "data" / dataset
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        unpack(archives, part)
        part.rename(folder)
    return folder


def image_tree(dataset: str, data_dir: Path, counts: dict[str, int], name: str) -> Path:
    """Link the first images of each split, taken in turn from all classes, into a tree `split/class/image`.

    Args:
        dataset: caltech101 or cifar10.
        data_dir: see `folder_of`.
        counts: images of `train` and `val`; `test` gets one of each class, since a data set has to have them.
        name: of the tree.
    """
    try:
        catalogue = load_catalogue(dataset, data_dir, folder_of(dataset, data_dir))
    except DataError as error:
        raise UnavailableError(str(error)) from error
    tree = WORK / name
    shutil.rmtree(tree, ignore_errors=True)
    for split in ("train", "val", "test"):
        by_class: dict[int, list[int]] = {}
        for position in catalogue.splits[split].tolist():
            by_class.setdefault(int(catalogue.labels[position]), []).append(position)
        chosen = _in_turn(list(by_class.values()), counts.get(split, len(by_class)))
        for number, position in enumerate(chosen):
            image = catalogue.images[position]
            assert isinstance(image, FileImage)
            folder = tree / split / catalogue.classes[int(catalogue.labels[position])]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:05d}{image.path.suffix}").symlink_to(image.path.resolve())
    return tree


def _in_turn(lists: Sequence[Sequence[int]], count: int) -> list[int]:
    longest = max(map(len, lists))
    return [one[place] for place in range(longest) for one in lists if place < len(one)][:count]
