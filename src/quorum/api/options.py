"""What each command takes besides the settings of a trial. None of it can change a result."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from quorum.api.option_types import Boolean, Device, Paths, Reuse, Seeds, SweepsDir
from quorum.api.run_options import Options, RunOptions
from quorum.study.folder import SWEEPS_DIR
from quorum.tracking.schema import MAX_SEEDS

SMALLEST_SHARE = 1e-4  # of a GPU, in which Ray counts


class DataOptions(RunOptions):
    """Where images come from."""

    data_dir: Path = Field(Path("data"), description="folder that holds one folder per data set")
    path: Path | None = Field(
        None, description="folder of this data set, if it is elsewhere; by itself: a tree of class/image files"
    )
    name: str | None = Field(
        None, description="name of such a tree in runs and registry; by default the folder's, and enough once it ran"
    )
    skip_bad: Boolean = Field(False, description="leave unreadable images out instead of refusing the data set")
    verify: Boolean = Field(
        False, description="read every image file, even where path, size, times and inode say that it has not changed"
    )


class ComputeOptions(DataOptions):
    """Where it is computed."""

    device: Device = Field("auto", description="auto, cpu or cuda")
    threads: int = Field(
        0,
        ge=0,
        le=4096,
        description="threads of torch for each training; 0: one per core, divided among jobs, or one with engine=ray",
    )


class TrainingOptions(ComputeOptions):
    """Where trainings leave what others go on from, and whether the machine is watched meanwhile."""

    storage: str | None = Field(
        None,
        description="path or URL (s3://BUCKET/PREFIX) by which machines that share no folder hand on states, weights, "
        "files and pixels; by default they stay in work_dir",
    )
    activation_gb: float = Field(
        20.0,
        ge=0,
        description="gigabytes of this machine's disk for activations of frozen beginnings of networks, which are then "
        "computed once; 0: none",
    )
    cache_gb: float = Field(
        20.0, ge=0, description="gigabytes of this machine's disk for copies of what lies in storage, as far as unused"
    )
    system_metrics: Boolean = Field(
        False,
        description="log this machine's processor, memory, disk, network, GPU and, where it can be read, energy in the "
        "command's run",
    )


class JobOptions(TrainingOptions):
    """How several trainings are done."""

    engine: Literal["local", "ray"] = Field(
        "local", description="what trains: processes of this machine, or the nodes of a Ray cluster"
    )
    jobs: int = Field(1, ge=1, le=256, description="trainings side by side, each in a process of its own")
    state_gb: float = Field(
        20.0,
        ge=0,
        description="gigabytes of disk (of storage, if given) for states that trainings share, at most; 0: none",
    )
    ray_address: str | None = Field(
        None, description="auto, or host:port of the Ray cluster; by default one of this machine, for this command"
    )
    gpus_per_job: float | None = Field(
        None,
        ge=0,
        le=64,
        description="GPUs that a training holds with engine=ray: a number, or a share 1/k such as 0.5; by default 1 "
        "with device=cuda, or with device=auto where a node has one",
    )
    mixed: Boolean = Field(
        False, description="with engine=ray, train on nodes of several numerics classes, and mark rows by them"
    )

    @field_validator("engine")
    @classmethod
    def _device_of_ray(cls, engine: str, given: ValidationInfo) -> str:
        if engine == "ray" and given.data.get("device", "auto") not in ("auto", "cpu", "cuda"):
            raise ValueError("chooses the GPUs of trainings itself; give device=auto, cpu or cuda")
        return engine

    @field_validator("ray_address", "gpus_per_job", "mixed")
    @classmethod
    def _of_ray(cls, value: object, given: ValidationInfo) -> object:
        if given.data.get("engine") == "local":
            raise ValueError("is of no use without engine=ray")
        return value

    @field_validator("ray_address")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is not None and address.startswith("ray://"):
            raise ValueError("is of Ray Client, which is not maintained; give host:port, without ray://")
        if address is not None and not re.fullmatch(r"auto|[\w.-]+:[0-9]{1,5}", address):
            raise ValueError("is neither auto nor host:port")
        return address

    @field_validator("gpus_per_job")
    @classmethod
    def _share(cls, gpus: float | None, given: ValidationInfo) -> float | None:
        if gpus is None:
            return None
        if not gpus.is_integer() and (not SMALLEST_SHARE <= gpus <= 1 or abs(gpus * round(1 / gpus) - 1) > 1e-3):
            raise ValueError("is neither a whole number nor a share 1/k of a GPU, such as 0.5 or 0.25")
        if (device := given.data.get("device")) != "auto" and bool(gpus) != (device == "cuda"):
            raise ValueError(f"does not go with device={device}")
        return gpus


class TrainOptions(TrainingOptions):
    """Options of `train`."""

    reuse: Reuse = Field(
        True,
        description="return the run that already holds this result instead of training again; any: even one of another "
        "numerics class",
    )

    max_hours: float | None = Field(
        None,
        gt=0,
        description="hours after which it stops when its epoch is done, with exit status 75; the same command goes on",
    )


class StudyOptions(Options):
    """Which studies, over which seeds."""

    seeds: Seeds = Field((0, 1, 2), description="seeds of every trial, separated by commas")
    sweeps_dir: SweepsDir = SWEEPS_DIR

    @field_validator("seeds", mode="before")
    @classmethod
    def _digits(cls, value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]+\s*(,\s*[0-9]+\s*)*", value):
            raise ValueError("is not a list of seeds such as 0,1,2")
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError("lists a seed twice, or none")
        if len(seeds) > MAX_SEEDS:
            raise ValueError(f"lists {len(seeds):,} seeds; at most {MAX_SEEDS} are trained")
        return seeds


class SweepOptions(StudyOptions, JobOptions):
    """Options of `sweep`."""

    study: str | None = Field(
        None, description="study file, or its name in sweeps/DATASET/; by default the name of the model"
    )
    optuna_storage: str | None = Field(
        None,
        description="URL of a database for Optuna's studies; by default the tracking store's PostgreSQL, or optuna.db "
        "beside its SQLite file, or in work_dir",
    )
    max_hours: float | None = Field(
        None,
        gt=0,
        description="hours after which trainings stop when their epochs are done, with exit status 75; the same "
        "command goes on",
    )
    keep: int = Field(3, ge=1, description="trials of the sweep whose best seed's weights are kept")
    reuse: Reuse = Field(
        True,
        description="link trainings that the store holds already instead of repeating them; any: even those of another "
        "numerics class",
    )


class SplitOptions(DataOptions):
    """How images are divided."""

    split_seed: int = Field(
        0, ge=0, lt=2**32, description="seed of the split, where the data set has no split of its own"
    )


class ReportOptions(SplitOptions):
    """Options of `report`."""

    dataset: str = Field("digits", description="data set whose studies are compared with what was published")
    study: str | None = Field(None, description="one study by name; by default all of the data set")
    sweeps_dir: SweepsDir = SWEEPS_DIR
    output: Path = Field(Path("reports"), description="folder for the page, as HTML and as Markdown with its figures")


class PrepareOptions(SplitOptions):
    """Options of `data`."""

    dataset: str = Field(
        "digits",
        description="data set: digits, caltech101, cifar10, folder, one of docs/data-sets.md or a plugin's",
    )
    archive: Paths = Field((), description="archives to unpack, separated by commas")
    max_gb: float = Field(50.0, gt=0, description="gigabytes that archives may unpack to, together")
    download: Boolean = Field(False, description="download the official files with torchvision, checksums verified")
