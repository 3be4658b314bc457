"""What each command can be told besides the settings of a trial. None of it can change a result."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from quorum.config import Closed


class Options(Closed):
    """Options that all commands have."""

    json_: bool = Field(False, alias="json", description="print one JSON object on standard output and nothing else")
    work_dir: Path = Field(Path(".quorum"), description="folder for pixel stores and the states of unfinished runs")


class DataOptions(Options):
    """Where images come from."""

    data_dir: Path = Field(Path("data"), description="folder that holds one folder per data set")
    path: Path | None = Field(None, description="folder of this data set, if it stands elsewhere (always for folder)")
    skip_bad: bool = Field(False, description="leave unreadable images out instead of refusing the data set")


class ComputeOptions(DataOptions):
    """Where it is computed."""

    device: str = Field("auto", description="auto, cpu or cuda")
    threads: int = Field(0, ge=0, description="threads of torch for each training; 0: one per core, divided among jobs")


class TrainOptions(ComputeOptions):
    """Options of `train`."""

    reuse: bool = Field(True, description="return the run that already holds this result instead of training again")


class StudyOptions(Options):
    """Which studies, over which seeds."""

    seeds: tuple[int, ...] = Field((0, 1, 2), description="seeds of every trial, separated by commas")
    sweeps_dir: Path = Field(Path("sweeps"), description="folder of the study files")

    @field_validator("seeds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if isinstance(parts, list) and not all(part.isdigit() for part in parts):
            raise ValueError("is not a list of seeds such as 0,1,2")
        return parts

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError("lists a seed twice, or none")
        return seeds


class SweepOptions(StudyOptions, ComputeOptions):
    """Options of `sweep`."""

    study: str | None = Field(
        None, description="study file, or its name in sweeps/DATASET/; by default the name of the model"
    )
    jobs: int = Field(1, ge=1, le=256, description="trainings side by side, each in a process of its own")
    state_gb: float = Field(
        20.0, ge=0, description="gigabytes of disk for states that trainings share, at most; 0: share none"
    )
    keep: int = Field(3, ge=1, description="trials of the sweep whose best seed's weights are kept")
    reuse: bool = Field(True, description="link trainings that already stand in the store instead of repeating them")


class StudiesOptions(StudyOptions):
    """Options of `studies`."""

    dataset: str | None = Field(None, description="data set whose studies are listed; by default all")


class ReportOptions(DataOptions):
    """Options of `report`."""

    dataset: str = Field("digits", description="data set whose studies are compared with what was published")
    split_seed: int = Field(0, ge=0, description="seed of the split, where the data set has no split of its own")
    study: str | None = Field(None, description="one study by name; by default all of the data set")
    sweeps_dir: Path = Field(Path("sweeps"), description="folder of the study files")
    output: Path = Field(Path("reports"), description="folder for the page, as HTML and as Markdown with its figures")


class PromoteOptions(Options):
    """Options of `promote`."""

    dataset: str = Field("digits", description="data set whose trials are considered")
    top: int = Field(3, ge=1, le=99, description="how many trials to promote")
    metric: str = Field("val_accuracy/mean", description="what trials are ranked by; losses: the lower the better")
    rollback: bool = Field(False, description="restore the aliases that the last promotion replaced")

    @field_validator("metric")
    @classmethod
    def _never_test(cls, metric: str) -> str:
        if metric.startswith("test"):
            raise ValueError("is a test figure; the test split is never chosen on")
        if metric not in ("val_accuracy/mean", "val_loss/mean"):
            raise ValueError("is not val_accuracy/mean or val_loss/mean")
        return metric


class EnsembleOptions(ComputeOptions):
    """Options of `ensemble`."""

    dataset: str = Field("digits", description="data set whose test split is predicted and whose promoted models vote")
    split_seed: int = Field(0, ge=0, description="seed of the split, where the data set has no split of its own")
    models: tuple[str, ...] = Field((), description="members as model URIs, best first; by default all best-N aliases")
    images: Path | None = Field(None, description="folder of unlabeled images to predict instead of the test split")
    output: Path = Field(Path("predictions.csv"), description="file for the predictions")

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class PrepareOptions(DataOptions):
    """Options of `data`."""

    dataset: str = Field("digits", description="digits, caltech101, cifar10 or folder")
    split_seed: int = Field(0, ge=0, description="seed of the split, where the data set has no split of its own")
    archive: tuple[Path, ...] = Field((), description="archives to unpack, separated by commas")
    download: bool = Field(False, description="download the official files with torchvision, checksums verified")

    @field_validator("archive", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
