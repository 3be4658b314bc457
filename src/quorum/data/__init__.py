"""Data sets by name, their splits, the store of decoded pixels, and batches of augmented images."""

from quorum.data import sources
from quorum.data.catalogue import SPLITS, Catalogue, build_catalogue
from quorum.data.datasets import (
    DATASETS,
    FOLDER,
    Dataset,
    dataset,
    is_folder,
    is_name,
    load_catalogue,
    name_folder,
    register_dataset,
)

__all__ = [
    "DATASETS",
    "FOLDER",
    "SPLITS",
    "Catalogue",
    "Dataset",
    "build_catalogue",
    "dataset",
    "is_folder",
    "is_name",
    "load_catalogue",
    "name_folder",
    "register_dataset",
    "sources",
]
