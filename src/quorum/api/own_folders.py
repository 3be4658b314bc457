"""Which data set a command means. A folder of the user's own has a name, by which runs and the registry know it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from quorum.api.options import DataOptions, PrepareOptions, ReportOptions
from quorum.api.registry_options import EnsembleOptions, PromoteOptions
from quorum.config import TrialConfig
from quorum.console import say
from quorum.data import DATASETS, FOLDER, dataset, is_folder, is_name, load_catalogue, name_folder
from quorum.errors import ConfigError, DataError, unknown
from quorum.tracking.class_names import check_registered_classes, classes_of_training, difference
from quorum.tracking.queries import data_source, newest_training
from quorum.tracking.registry import model_name
from quorum.tracking.store import TrackingStore

D = TypeVar("D", bound=DataOptions)
DIGITS = str(TrialConfig.model_fields["dataset"].default)


def find_dataset(options: D, given: str | None, store: TrackingStore) -> tuple[D, str]:
    """The data set that is meant, and the options with its folder.

    `path` by itself is a folder of the user's own. Its name is `name`, or that of the folder. Once a run has read it,
    the name is enough, as `name` or as `dataset`. Two folders never have one name.

    Args:
        options: with `path` and `name`.
        given: the `dataset` that was given; None where none was.
        store: the tracking store, whose runs say where a folder is.

    Returns:
        The options, and the name of the data set.

    Raises:
        ConfigError: for a name that cannot be one, or does not go with the data set.
        DataError: for a data set that is unknown, a path that it would not read, and a folder whose name another has.
    """
    name = options.name
    if given not in (None, FOLDER):
        assert given is not None
        if given in DATASETS and not is_folder(given):
            return _ready_made(options, given), given
        if name is None:
            check_name(store, given)
        if name not in (None, given):
            raise ConfigError(f"name: {name} and dataset={given} are two data sets; give one of them")
        name = given
    if name is None and options.path is None:
        if given == FOLDER:
            raise DataError("dataset=folder needs path=, a tree of class/image files, or name=, once it ran")
        return options, DIGITS
    if name is None:
        assert options.path is not None
        name = options.path.resolve().name
    name_folder(name)
    return options.model_copy(update={"path": _place(options, name, store), "name": name}), name


N = TypeVar("N", ReportOptions, PromoteOptions, EnsembleOptions, PrepareOptions)


def with_dataset(options: N, store: TrackingStore) -> N:
    """Options with the name of the data set that they mean, and its folder; see `find_dataset`."""
    given = options.dataset if "dataset" in options.model_fields_set else None
    found, name = find_dataset(options, given, store)
    return found.model_copy(update={"dataset": name})


def check_classes(store: TrackingStore, name: str, classes: tuple[str, ...]) -> None:
    """Raise RegistryError where the registered models of a folder of the user's own have other classes than these."""
    if is_folder(name):
        check_registered_classes(store, model_name(name), classes)


def _ready_made(options: D, given: str) -> D:
    """The options for a data set that has a name already."""
    kind = dataset(given)
    if options.name is not None:
        raise ConfigError(f"name: is that of a folder of your own; {given} has its name")
    if options.path is not None and not kind.needs_folder:
        raise DataError(f"path: {given} reads no folder: its images come from {kind.source}")
    return options


def check_name(store: TrackingStore, name: str) -> None:
    """Raise DataError for a name that neither a data set has nor a folder that a run has read."""
    if name not in _registered() and not (is_name(name) and data_source(store, name) is not None):
        raise DataError(unknown("dataset", name, _registered()), setting="dataset")


def check_text(name: str) -> None:
    """Raise DataError for text that is no data set's name, registered in this process or not: MLflow takes no quote."""
    if not re.fullmatch(r"[\w./-]+", name):
        raise DataError(unknown("dataset", name, _registered()), setting="dataset")


def _registered() -> list[str]:
    return [one for one in DATASETS if not is_folder(one)]


def _place(options: DataOptions, name: str, store: TrackingStore) -> Path:
    """The folder of a name: where `path` says, or where the newest run has found it."""
    source = data_source(store, name)
    known = None if source is None else Path(source)
    if options.path is None:
        beside = options.data_dir / name
        if known is None and not beside.is_dir():
            raise DataError(f"name: no run knows the folder {name}; give path= too")
        return known or beside
    if known is not None and options.path.resolve() != known and options.path.is_dir():
        _check_moved(options.path, name, known, store)
    return options.path


def _check_moved(path: Path, name: str, known: Path, store: TrackingStore) -> None:
    """Check that a folder in another place is the one that the runs of a name have read."""
    if known.is_dir():
        raise DataError(f"name: {name} is the folder {known} already; give {path} another name=")
    training = newest_training(store, name)
    before = None if training is None else classes_of_training(store, training.run_id)
    after = load_catalogue(name, path, path).classes
    if before is not None and before != after:
        raise DataError(
            f"name: {name} was the folder {known}, which had other classes than {path} "
            f"({difference(before, after)}); give it another name="
        )
    say(f"{name}: the folder was {known} and is {path} now")
