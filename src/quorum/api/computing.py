"""What a function of the interface that computes begins with: its data, its device and its folders opened."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch

from quorum.api.options import ComputeOptions, DataOptions, TrainingOptions
from quorum.api.own_folders import check_classes
from quorum.config import TrialConfig
from quorum.data.opened import OpenDataset, open_dataset
from quorum.engine.activations import ActivationStore
from quorum.engine.device import Machine, use_device
from quorum.errors import ConfigError
from quorum.storage import GIGABYTE, Storage
from quorum.tracking.store import TrackingStore
from quorum.training.folders import WorkFolders
from quorum.training.prepare import Preparer


def open_data(options: DataOptions, name: str, split_seed: int, storage: Storage | None = None) -> OpenDataset:
    """The data set that the options name, whose pixels other machines find in a storage if there is one. Raises
    DataError where it is missing."""
    return open_dataset(
        name,
        data_dir=options.data_dir,
        path=options.path,
        split_seed=split_seed,
        work_dir=options.work_dir,
        skip_bad=options.skip_bad,
        verify=options.verify,
        storage=storage,
    )


def device_of(options: ComputeOptions) -> torch.device:
    """The device to compute on, with torch's threads set. Raises ConfigError for one that is not there."""
    return use_device(options.device, options.threads)


def preparer_of(
    options: TrainingOptions,
    config: TrialConfig,
    store: TrackingStore,
    folders: WorkFolders,
    machine: Machine,
    *,
    elsewhere: bool = False,
) -> Preparer:
    """What prepares trainings on the data set and split of a configuration.

    Args:
        options: where data is, and how much may be kept.
        config: the configuration.
        store: the tracking store.
        folders: where trainings keep what is not tracked yet.
        machine: that computes.
        elsewhere: whether that may be another machine than this one.

    Raises:
        QuorumError: for a data set that is missing, or a folder whose registered models have other classes.
    """
    data = open_data(options, config.dataset, config.split_seed, folders.storage)
    check_classes(store, config.dataset, data.catalogue.classes)
    room = options.activation_gb * GIGABYTE
    activations = ActivationStore(folders.activations(), room) if room else None
    return Preparer(data, machine, store, folders if elsewhere or folders.storage else None, activations)


def folders_of(options: TrainingOptions) -> WorkFolders:
    """Where trainings keep what is not tracked yet.

    Raises:
        StorageError: for a storage that does not take, give and remove files.
    """
    if options.storage is None:
        return WorkFolders(options.work_dir)
    storage = Storage.at(options.storage, options.cache_gb)
    if Path(storage.url) == options.work_dir.resolve():
        raise ConfigError("storage: is work_dir, which holds this machine's copies; give another folder")
    return WorkFolders(options.work_dir, storage)


def end_of(max_hours: float | None) -> float:
    """The time, in seconds since 1970, at which a command has run for `max_hours`; infinity where it may run on."""
    return math.inf if max_hours is None else time.time() + 3600 * max_hours
