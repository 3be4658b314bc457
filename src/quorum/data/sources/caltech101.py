"""`caltech101`: the official tree `101_ObjectCategories/` with the report's split, which is a rule.

Sort all 9,145 files (the background's 468 included) by (class in lower case, file name). Every third, from the
first on, is test. What remains is train + val: even positions train, odd ones val. The background is dropped
after each of these lists is made, from the finished list. The rule reproduces the report's lists exactly.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorum.data.catalogue import Catalogue, build_catalogue
from quorum.data.datasets import Download, register_dataset
from quorum.data.sources.trees import find_tree
from quorum.errors import DataError

TREE = "101_ObjectCategories"
BACKGROUND = "BACKGROUND_Google"
FILES = 9145


def official_lists(names: list[str]) -> dict[str, list[str]]:
    """The official lists (background included) from all file names `class/image_0001.jpg`.

    Returns:
        `test`, and `train`, which is train + val in their common order.
    """
    ordered = sorted(names, key=_sort_key)
    return {"test": ordered[::3], "train": [name for i, name in enumerate(ordered) if i % 3]}


def split_names(names: list[str]) -> dict[str, list[str]]:
    """`train`, `val` and `test` without the background, from all file names."""
    lists = {split: _without_background(listed) for split, listed in official_lists(names).items()}
    return {"train": lists["train"][::2], "val": lists["train"][1::2], "test": lists["test"]}


# The report crops the center without a resize; smaller images are padded with zeros.
@register_dataset(
    "caltech101",
    input_size=224,
    resize=lambda _size: 0,
    download=Download(
        "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip", md5="3138e1922a9193bfa496528edbbc45d0"
    ),
)
def catalogue(folder: Path, _split_seed: int) -> Catalogue:
    """The data set below `folder`, wherever `101_ObjectCategories/` is in it.

    Raises:
        DataError: where the tree is missing or not complete.
    """
    tree = find_tree(folder, TREE)
    # The background holds a file named `tmp`, which is no image and counts in the rule all the same.
    paths = {path.relative_to(tree).as_posix(): path for path in tree.glob("*/[!.]*") if path.is_file()}
    names = sorted(paths)
    if len(names) != FILES:
        raise DataError(
            f"{tree}: {len(names):,} files where Caltech-101 has {FILES:,} "
            f"({BACKGROUND} included, which the split rule counts); unpack all of its archives"
        )
    splits = split_names(names)
    ordered = [name for split in splits.values() for name in split]
    labels = [_class_of(name) for name in ordered]
    bounds = np.cumsum([0, *(len(split) for split in splits.values())])
    return build_catalogue(
        "caltech101",
        [paths[name] for name in ordered],
        labels,
        root=tree,
        classes=sorted(set(labels), key=str.lower),
        splits={split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(splits)},
    )


def _class_of(name: str) -> str:
    return name.partition("/")[0]


def _sort_key(name: str) -> tuple[str, str]:
    folder, _, file = name.partition("/")
    return folder.lower(), file


def _without_background(names: list[str]) -> list[str]:
    return [name for name in names if _class_of(name) != BACKGROUND]
