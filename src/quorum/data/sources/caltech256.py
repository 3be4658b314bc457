"""`caltech256`: the official tree `256_ObjectCategories/`; validation and test are drawn from it.

Its 257 classes are those that torchvision lists: `257.clutter` is one of them. torchvision's own class is not used: it
makes folders where it finds none, and opens an image to say what its label is.
"""

from __future__ import annotations

from pathlib import Path

from quorum.data.catalogue import Catalogue, build_catalogue
from quorum.data.datasets import Download, imagenet_resize, register_dataset
from quorum.data.sources.trees import find_tree

TREE = "256_ObjectCategories"


@register_dataset(
    "caltech256",
    resize=imagenet_resize,
    download=Download(
        "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",
        md5="67b4f42ca05d46448c6bb8ecd2220f6d",
    ),
)
def catalogue(folder: Path, split_seed: int) -> Catalogue:
    """The data set below `folder`, wherever `256_ObjectCategories/` is in it.

    Raises:
        DataError: where the tree is missing or too small to split.
    """
    tree = find_tree(folder, TREE)
    paths = sorted(tree.glob("*/*.jpg"))
    return build_catalogue("caltech256", paths, [path.parent.name for path in paths], root=tree, split_seed=split_seed)
