"""What every function of the interface begins with: its options checked and its store opened. Imports no torch."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from quorum import console
from quorum.api.run_options import Options, RunOptions
from quorum.config import TrialConfig, describe
from quorum.errors import ConfigError, DataError, unknown
from quorum.plugins import load_plugins
from quorum.tracking.recovery import end_runs_of_dead_processes
from quorum.tracking.store import TrackingStore, close, connect

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


def make_output_folder(folder: Path) -> None:
    """Make the folder of an output, unless it is there. Raises DataError where its place takes no folders."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as in /proc
        raise DataError(f"output: {folder} cannot be made ({error.strerror})") from error


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
