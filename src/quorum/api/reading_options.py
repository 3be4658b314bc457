"""What commands take that read the store and train nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from quorum.api.option_types import Boolean, RunId
from quorum.api.options import SweepOptions
from quorum.api.run_options import Options


class SweepCommandOptions(SweepOptions):
    """Options of `sweep` on the command line."""

    dry_run: Boolean = Field(
        False, description="say what would be trained, what reused, its disk and time; train nothing, make no run"
    )


class ResultsOptions(Options):
    """Options of `results`."""

    dataset: str = Field("digits", description="data set whose results are listed")
    level: Literal["trial", "seed", "epoch"] = Field(
        "trial", description="a row for each trial (mean and std over its seeds), training, or epoch"
    )
    csv: Boolean = Field(False, description="print all settings and metrics as CSV")

    @field_validator("csv")
    @classmethod
    def _one_format(cls, csv: bool, given: ValidationInfo) -> bool:
        if csv and given.data.get("json_"):
            raise ValueError("does not go with json")
        return csv


class ShowOptions(Options):
    """Options of `show`."""

    run: RunId = Field("", validate_default=True, description="run: its id, or the first of its digits")


class CompareOptions(Options):
    """Options of `compare`."""

    run: RunId = Field("", validate_default=True, description="a trial or training: its id, or the first of its digits")
    other: RunId = Field("", validate_default=True, description="the one that it is compared with")
    output: Path | None = Field(None, description="file for a figure of both curves, such as curves.png")

    @field_validator("other")
    @classmethod
    def _another(cls, other: str, given: ValidationInfo) -> str:
        if other == given.data.get("run"):
            raise ValueError("is the same run; give two")
        return other

    @field_validator("output")
    @classmethod
    def _picture(cls, output: Path | None) -> Path | None:
        if output is not None and output.suffix not in (".png", ".svg", ".pdf"):
            raise ValueError("is not a file that ends with .png, .svg or .pdf")
        return output
