"""Every command: its name, what it takes, and where the function is that does it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic.fields import FieldInfo

from quorum.api.export_options import ExportOptions
from quorum.api.options import PrepareOptions, ReportOptions, TrainOptions
from quorum.api.reading_options import CompareOptions, ResultsOptions, ShowOptions, SweepCommandOptions
from quorum.api.registry_options import EnsembleOptions, PromoteOptions
from quorum.api.run_options import Options
from quorum.api.study_options import InitStudyOptions, StudiesOptions
from quorum.config import TrialConfig

if TYPE_CHECKING:
    from quorum.commands.result import Result
    from quorum.tracking.store import TrackingStore

INTERNAL = ("weights_digest",)  # settings of a trial that nobody gives


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        summary: one line for `--help`.
        options: its own options.
        function: "module:function", imported only when the command runs: the modules that do the work import torch
            and MLflow, which takes seconds. It is called with the options, the settings of the trial as they were
            given, and the store, and returns a `Result`.
        example: shown under `--help`.
        most_used: settings that `--help` shows first.
        trial: whether it takes the settings of a trial as well.
        not_taken: settings of a trial that it does not take.
        words: settings that may be given without their names, in this order.
        reads: what it reads first, said before torch and MLflow are imported; "" says nothing.
        tracked: whether it needs the tracking store. Without, the function is given None.
    """

    summary: str
    options: type[Options]
    function: str
    example: str
    most_used: tuple[str, ...]
    trial: bool = False
    not_taken: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    reads: str = ""
    tracked: bool = True

    def run(self, options: Options, given: Mapping[str, str], store: TrackingStore | None) -> Result:
        """Do it.

        Raises:
            QuorumError: for a mistake of the user's.
        """
        module, _, name = self.function.partition(":")
        result: Result = getattr(importlib.import_module(module), name)(options, given, store)
        return result

    @property
    def opening(self) -> str:
        """The first line of a command that has something to read."""
        return f"reading {self.reads}..."

    def own_fields(self) -> dict[str, FieldInfo]:
        """Its own options, by the names that a user gives them."""
        return {field.alias or name: field for name, field in self.options.model_fields.items()}

    def trial_fields(self) -> dict[str, FieldInfo]:
        """The settings of a trial that it takes."""
        left_out = (*INTERNAL, *self.not_taken)
        return {name: f for name, f in TrialConfig.model_fields.items() if self.trial and name not in left_out}

    def fields(self) -> dict[str, FieldInfo]:
        """Everything that it takes; an option comes before a trial's setting of the same name."""
        return {**self.trial_fields(), **self.own_fields()}


COMMANDS: Mapping[str, Command] = {
    "data": Command(
        "unpack, download or verify a data set, and picture it",
        PrepareOptions,
        "quorum.commands.data:data",
        "quorum data -P dataset=caltech101 -P archive=part-1.tar,part-2.tar,part-3.tar",
        ("dataset", "archive", "download", "path"),
        reads="data",
    ),
    "train": Command(
        "train one configuration with one seed",
        TrainOptions,
        "quorum.commands.train:train",
        "quorum train -P model=alexnet -P dataset=caltech101 -P lr=0.05 -P epochs=2",
        ("model", "dataset", "lr", "batch_size", "epochs", "weights", "augment", "seed"),
        reads="data",
        trial=True,
    ),
    "sweep": Command(
        "run a study file: every configuration over its seeds",
        SweepCommandOptions,
        "quorum.commands.sweep:sweep",
        "quorum sweep -P model=alexnet          (the study sweeps/digits/alexnet.yaml)",
        ("study", "dataset", "model", "seeds", "epochs", "jobs", "dry_run"),
        reads="data",
        trial=True,
        not_taken=("seed",),
    ),
    "studies": Command(
        "list the study files, what they cost and what was published",
        StudiesOptions,
        "quorum.commands.studies:studies",
        "quorum studies -P dataset=caltech101",
        ("dataset", "seeds"),
        reads="studies",
        tracked=False,
    ),
    "results": Command(
        "list the trials or trainings of a data set",
        ResultsOptions,
        "quorum.commands.results:results",
        "quorum results -P dataset=caltech101 -P level=seed",
        ("dataset", "level", "csv"),
        reads="results",
    ),
    "show": Command(
        "show what a run holds: settings, metrics, epochs, the runs below it",
        ShowOptions,
        "quorum.commands.show:show",
        "quorum show 3f2a9c1d                   (as quorum results lists it)",
        ("run",),
        words=("run",),
        reads="results",
    ),
    "compare": Command(
        "two trials or trainings side by side: settings that differ, curves, difference paired by seed",
        CompareOptions,
        "quorum.commands.compare:compare",
        "quorum compare 3f2a9c1d 77b01e52 -P output=curves.png",
        ("run", "other", "output"),
        words=("run", "other"),
        reads="results",
    ),
    "init-study": Command(
        "write a commented study file to begin with",
        InitStudyOptions,
        "quorum.commands.init_study:init_study",
        "quorum init-study -P name=pets         (then quorum sweep -P name=pets -P study=mine)",
        ("name", "study", "dataset"),
        reads="studies",
        tracked=False,
    ),
    "report": Command(
        "compare the results of a data set's studies with what was published, as one page",
        ReportOptions,
        "quorum.commands.report:report",
        "quorum report -P dataset=caltech101",
        ("dataset", "study", "output"),
        reads="results",
    ),
    "promote": Command(
        "put the best trials of a data set into the model registry",
        PromoteOptions,
        "quorum.commands.promote:promote",
        "quorum promote -P dataset=digits       (and quorum promote --rollback)",
        ("dataset", "top", "rollback"),
        reads="results",
    ),
    "ensemble": Command(
        "final predictions by the vote of the promoted models",
        EnsembleOptions,
        "quorum.commands.ensemble:ensemble",
        "quorum ensemble -P images=path/to/folder",
        ("dataset", "images", "models", "output"),
        reads="models and images",
    ),
    "export": Command(
        "write the vote, or another registered model, as a file that runs without quorum",
        ExportOptions,
        "quorum.commands.export:export",
        "quorum export --onnx -P output=vote.onnx",
        ("dataset", "model", "output", "onnx"),
    ),
}
