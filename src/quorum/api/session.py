"""What every function of the interface begins with: its options checked, its store, its data and its device opened."""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from quorum import console
from quorum.api.options import ComputeOptions, DataOptions, TrainingOptions
from quorum.api.own_folders import check_classes
from quorum.api.run_options import Options, RunOptions
from quorum.config import TrialConfig, describe
from quorum.data.opened import OpenDataset, open_dataset
from quorum.engine.activations import ActivationStore
from quorum.engine.device import Machine, use_device
from quorum.errors import ConfigError, DataError, unknown
from quorum.plugins import load_plugins
from quorum.storage import GIGABYTE, Storage
from quorum.tracking.recovery import end_runs_of_dead_processes
from quorum.tracking.store import TrackingStore, close, connect
from quorum.training.folders import WorkFolders
from quorum.training.prepare import Preparer

OptionsT = TypeVar("OptionsT", bound=Options)
F = TypeVar("F", bound=Callable[..., Any])

HIDDEN = ("json_", "weights_digest")  # what Python callers have no use for


def divide(kind: type[OptionsT], values: Mapping[str, Any], *, trial: bool) -> tuple[OptionsT, dict[str, Any]]:
    """A function's own options, checked, and the settings of a trial, as they were given.

    Args:
        kind: the class of options.
        values: both, by name.
        trial: whether it takes settings of a trial.

    Raises:
        ConfigError: for a name that is unknown or an option that is wrong.
    """
    own = {field.alias or name for name, field in kind.model_fields.items()}
    known = own | (set(TrialConfig.model_fields) - {"weights_digest"} if trial else set())
    for name in values:
        if name not in known:
            raise ConfigError(unknown("setting", name, known))
    try:
        options = kind.model_validate({name: value for name, value in values.items() if name in own})
    except ValidationError as error:
        raise ConfigError(describe(error)) from error
    console.use(options.verbosity)
    load_plugins(options.plugins)
    return options, {name: value for name, value in values.items() if name not in own}


def named(dataset: str | None, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings with the data set that a function was given, if it was given one."""
    return settings if dataset is None else {"dataset": dataset, **settings}


@contextlib.contextmanager
def tracking(options: RunOptions | None = None) -> Iterator[TrackingStore]:
    """The tracking store that MLflow's own settings name, tidied up at the end.

    Args:
        options: the user's own tags and note for new runs.
    """
    store = connect() if options is None else connect(None, options.own_tags, options.note)
    try:
        end_runs_of_dead_processes(store)
        yield store
    finally:
        close(store)


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


def end_of(max_hours: float | None) -> float:
    """The time, in seconds since 1970, at which a command has run for `max_hours`; infinity where it may run on."""
    return math.inf if max_hours is None else time.time() + 3600 * max_hours


def make_output_folder(folder: Path) -> None:
    """Make the folder of an output, unless it is there. Raises DataError where its place takes no folders."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as in /proc
        raise DataError(f"output: {folder} cannot be made ({error.strerror})") from error


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


def documented(kind: type[Options], *positional: str, trial: bool = False) -> Callable[[F], F]:
    """Give a function that takes `**settings` the signature of its options, so that help and completion show them.

    Args:
        kind: the class of its options.
        positional: names of its own parameters, which stand first.
        trial: whether it takes the settings of a trial too.
    """
    fields: dict[str, FieldInfo] = {**(TrialConfig.model_fields if trial else {}), **kind.model_fields}
    shown = {name: field for name, field in fields.items() if name not in (*HIDDEN, *positional)}

    def decorate(function: F) -> F:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation)
            for name, field in shown.items()
        ]
        hints = inspect.signature(function, eval_str=True)
        function.__signature__ = hints.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
        listed = "\n".join(f"        {name}: {field.description}" for name, field in shown.items())
        function.__doc__ = f"{inspect.getdoc(function)}\n\n    Settings:\n{listed}\n"
        return function

    return decorate
