"""The data sets of this package, one a file, and torchvision's. Importing them fills `quorum.data.DATASETS`."""

from quorum.data.sources import caltech101, caltech256, cifar10, cifar100, digits, folder, torchvision_sets

__all__ = ["caltech101", "caltech256", "cifar10", "cifar100", "digits", "folder", "torchvision_sets"]
