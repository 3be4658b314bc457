"""Every command: its name, what it can be told, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quorum.api.options import (
    EnsembleOptions,
    Options,
    PrepareOptions,
    PromoteOptions,
    ReportOptions,
    StudiesOptions,
    SweepOptions,
    TrainOptions,
)
from quorum.config import TrialConfig, parse_config

if TYPE_CHECKING:
    from quorum.commands.result import Result
    from quorum.tracking.store import Store


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        summary: one line for `--help`.
        options: its own options.
        trial: whether it takes the settings of a trial as well.
        run: does it, given the options, the trial settings as they were given, and the store.
        example: shown under `--help`.
        tracked: whether it needs the tracking store. Without, `run` is given None.
    """

    summary: str
    options: type[Options]
    trial: bool
    run: Callable[[Any, dict[str, str], Any], Result]
    example: str
    tracked: bool = True


WORK = ("quorum.training.job",)  # what workers have to import

# The modules that do the work import torch and MLflow, which takes seconds: only the one that is called is imported.


def _train(options: TrainOptions, given: dict[str, str], store: Store) -> Result:
    from quorum.commands.train import train

    return train(options, parse_config(TrialConfig, given, "the command line"), store)


def _sweep(options: SweepOptions, given: dict[str, str], store: Store) -> Result:
    if options.jobs > 1:
        from quorum.sweep.executors.pool import start_server

        start_server(WORK)
    from quorum.commands.sweep import sweep

    return sweep(options, given, store)


def _studies(options: StudiesOptions, _given: dict[str, str], _store: Store | None) -> Result:
    from quorum.commands.studies import studies

    return studies(options)


def _report(options: ReportOptions, _given: dict[str, str], store: Store) -> Result:
    from quorum.commands.report import report

    return report(options, store)


def _promote(options: PromoteOptions, _given: dict[str, str], store: Store) -> Result:
    from quorum.commands.promote import promote

    return promote(options, store)


def _ensemble(options: EnsembleOptions, _given: dict[str, str], store: Store) -> Result:
    from quorum.commands.ensemble import ensemble

    return ensemble(options, store)


def _data(options: PrepareOptions, _given: dict[str, str], store: Store) -> Result:
    from quorum.commands.data import data

    return data(options, store)


COMMANDS = {
    "data": Command(
        "unpack, download or verify a data set, and picture it",
        PrepareOptions,
        False,
        _data,
        "quorum data -P dataset=caltech101 -P archive=part-1.tar,part-2.tar,part-3.tar",
    ),
    "train": Command(
        "train one configuration with one seed",
        TrainOptions,
        True,
        _train,
        "quorum train -P model=alexnet -P dataset=caltech101 -P lr=0.05 -P epochs=2",
    ),
    "sweep": Command(
        "run a study file: every configuration over its seeds",
        SweepOptions,
        True,
        _sweep,
        "quorum sweep -P model=alexnet          (the study sweeps/digits/alexnet.yaml)",
    ),
    "studies": Command(
        "list the study files, what they cost and what was published",
        StudiesOptions,
        False,
        _studies,
        "quorum studies -P dataset=caltech101",
        tracked=False,
    ),
    "report": Command(
        "compare the results of a data set's studies with what was published, as one page",
        ReportOptions,
        False,
        _report,
        "quorum report -P dataset=caltech101",
    ),
    "promote": Command(
        "put the best trials of a data set into the model registry",
        PromoteOptions,
        False,
        _promote,
        "quorum promote -P dataset=digits       (and quorum promote --rollback)",
    ),
    "ensemble": Command(
        "final predictions by the vote of the promoted models",
        EnsembleOptions,
        False,
        _ensemble,
        "quorum ensemble -P images=path/to/folder",
    ),
}
