"""What `export` takes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from quorum.api.option_types import Boolean
from quorum.api.run_options import RunOptions


class ExportOptions(RunOptions):
    """Options of `export`."""

    dataset: str = Field("digits", description="data set whose vote is exported, the one that was taken last")
    model: str | None = Field(
        None, description="URI of another model: models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/model"
    )
    output: Path = Field(Path("model.onnx"), description="file for the model")
    onnx: Boolean = Field(True, description="as ONNX, the only format so far; needs pip install 'quorum[onnx]'")

    @field_validator("onnx")
    @classmethod
    def _only_format(cls, onnx: bool) -> bool:
        if not onnx:
            raise ValueError("is not possible: ONNX is the only format so far")
        return onnx
