"""The data sets of this package, one a file. Importing them fills `quorum.data.DATASETS`."""

from quorum.data.sources import caltech101, cifar10, digits, folder

__all__ = ["caltech101", "cifar10", "digits", "folder"]
