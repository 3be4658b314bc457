"""A published study as stages of settings to vary, with what was published beside them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from quorum.config import Closed, TrialConfig, parse_config
from quorum.errors import ConfigError, unknown

Scalar = str | int | float | bool
Settings = dict[str, Scalar]

FIXED = ("dataset", "seed", "weights_digest")  # a stage cannot vary these
VARIABLE = tuple(name for name in TrialConfig.model_fields if name not in FIXED)


class Range(Closed):
    """An open interval to search: `low` to `high`, on a logarithmic scale or in steps if it says so."""

    low: float
    high: float
    log: bool = False
    step: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and (self.low <= 0 or self.step):
            raise ValueError("a logarithmic range starts above 0 and has no step")
        return self


class PublishedRow(Closed):
    """One row of a published table.

    Attributes:
        id: of the system.
        at: the varied settings of the row.
        val_accuracy, test_accuracy: published mean, a fraction; None where only the other (or a figure) was.
        std: published standard deviation of the mean's runs.
        figure: number of the report's figure, where it shows the row's curves and states no number.
    """

    id: str
    at: dict[str, Scalar] = {}
    val_accuracy: float | None = Field(None, ge=0, le=1)
    std: float | None = Field(None, ge=0, le=1)
    test_accuracy: float | None = Field(None, ge=0, le=1)
    figure: int | None = Field(None, ge=1)


class Stage(Closed):
    """One table of a study.

    Attributes:
        name: unique in the study.
        set: settings that this stage fixes, whatever the stage before found.
        vary: values to try, every combination of them.
        search: `grid` for `vary`, `tpe` for `ranges`.
        ranges: what `tpe` searches: a Range, or a list to choose from.
        trials: how many it tries.
        published: the published rows of this table.
    """

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    set: dict[str, Scalar] = {}
    vary: dict[str, list[Scalar]] = {}
    search: Literal["grid", "tpe"] = "grid"
    ranges: dict[str, Range | list[Scalar]] = {}
    trials: int | None = Field(None, ge=1)
    published: tuple[PublishedRow, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.search == "tpe" and (self.vary or not self.ranges or self.trials is None):
            raise ValueError("search: tpe takes ranges and trials, not vary")
        if self.search == "grid" and (self.ranges or self.trials is not None):
            raise ValueError("ranges and trials go with search: tpe")
        if both := set(self.set) & (set(self.vary) | set(self.ranges)):
            raise ValueError(f"both sets and varies {', '.join(sorted(both))}")
        return self

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the settings that differ between its trials."""
        return tuple(self.vary or self.ranges)

    def grid(self) -> list[Settings]:
        """Every combination of the listed values, in the file's order; one empty combination if none is listed."""
        return [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]

    @property
    def budget(self) -> int:
        """Number of trials."""
        return self.trials if self.trials is not None else len(self.grid())


class Vote(Closed):
    """A vote of the best trials of some stages, seed by seed.

    Attributes:
        members: names of the stages.
        published: what was published for the vote.
    """

    members: tuple[str, ...] = Field(min_length=2)
    published: tuple[PublishedRow, ...] = ()


class Study(Closed):
    """A study file.

    Attributes:
        description: what it repeats, for the page of its sweep.
        dataset: the data set of all its trials.
        base: settings that all stages start from.
        stages: run in order, each around the best trial of the one before.
        vote: which of the stages' best trials vote in the end, if any.
    """

    description: str = ""
    dataset: str
    base: dict[str, Scalar] = {}
    stages: tuple[Stage, ...] = Field(min_length=1)
    vote: Vote | None = None

    @field_validator("stages")
    @classmethod
    def _names_differ(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        names = [stage.name for stage in stages]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"has two stages named {', '.join(sorted(repeated))}")
        return stages

    @field_validator("vote")
    @classmethod
    def _members_are_stages(cls, vote: Vote | None, info: ValidationInfo) -> Vote | None:
        names = [stage.name for stage in info.data.get("stages", ())]
        members = vote.members if vote else ()
        if names and (strangers := [member for member in members if member not in names]):
            raise ValueError(unknown("stage", strangers[0], names))
        if len(set(members)) < len(members):
            raise ValueError("lists a member twice")
        return vote

    @property
    def published(self) -> tuple[PublishedRow, ...]:
        """Every published row, in the file's order."""
        rows = itertools.chain.from_iterable(stage.published for stage in self.stages)
        return (*rows, *(self.vote.published if self.vote else ()))

    def changed_by(self, overrides: Mapping[str, Any]) -> Self:
        """The study as it is run with other settings: without the published rows, which it does not repeat then."""
        if not self.published:
            return self
        listed = ", ".join(f"{name}={value}" for name, value in overrides.items())
        return self.model_copy(
            update={
                "description": f"{self.description}\n\nRun with {listed}: not compared with what was published.",
                "stages": tuple(stage.model_copy(update={"published": ()}) for stage in self.stages),
                "vote": self.vote and self.vote.model_copy(update={"published": ()}),
            }
        )

    def first_config(self, overrides: Mapping[str, Any]) -> TrialConfig:
        """The settings that the first stage starts from.

        Raises:
            ConfigError: for an override that a stage varies or fixes, or that is no setting.
        """
        for stage in self.stages:
            for name in overrides:
                if name in stage.varied or name in stage.set:
                    verb = "varied" if name in stage.varied else "fixed"
                    raise ConfigError(f"{name}: is {verb} by stage {stage.name!r}, so it cannot be given for the sweep")
        values = {**self.base, "dataset": self.dataset, **overrides}
        return parse_config(TrialConfig, values, "the study's base")


def canonical(settings: Mapping[str, Scalar]) -> Settings:
    """Settings as the typed configuration holds them: YAML reads 1e-3 as text, the configuration as 0.001."""
    config = parse_config(TrialConfig, settings, "settings")
    return {name: getattr(config, name) for name in settings}
