"""Data sets by name, their splits, the store of decoded pixels, and batches of augmented images."""

from quorum.data import sources
from quorum.data.catalogue import SPLITS, Catalogue, build_catalogue
from quorum.data.datasets import DATASETS, Dataset, dataset, load_catalogue, register_dataset

__all__ = [
    "DATASETS",
    "SPLITS",
    "Catalogue",
    "Dataset",
    "build_catalogue",
    "dataset",
    "load_catalogue",
    "register_dataset",
    "sources",
]
