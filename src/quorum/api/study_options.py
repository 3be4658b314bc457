"""What commands take that are about study files."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from quorum.api.options import StudyOptions
from quorum.api.run_options import Options
from quorum.study.folder import SWEEPS_DIR


class StudiesOptions(StudyOptions):
    """Options of `studies`."""

    dataset: str | None = Field(None, description="data set whose studies are listed; by default all")


class InitStudyOptions(Options):
    """Options of `init-study`."""

    dataset: str = Field("folder", description="data set that the study is for; folder: any tree of class/image files")
    name: str | None = Field(None, description="name of a folder, where the study is for that one alone")
    study: str = Field("mine", pattern=r"^\w[\w-]*$", description="name of the study: of its file, without .yaml")
    sweeps_dir: Path = Field(SWEEPS_DIR, description="folder of the study files")
