"""A published study as stages of settings to vary, with what was published beside them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from quorum.config import Closed, TrialConfig, parse_config
from quorum.errors import ConfigError, shown, unknown
from quorum.metric_names import BEST, LAST, LAST_TEST_ACCURACY, TEST_ACCURACY
from quorum.study.values import RangeOrChoices, Scalar, Settings, Value, Values, canonical, canonical_value
from quorum.summary import Summary

MAX_TRIALS = 10_000  # of all stages of a study
STARTUP = 10  # trials of a search that are drawn at random, as Optuna has it
FIXED = ("dataset", "seed", "weights_digest")  # a study file cannot set these
OF_STUDY = ("folds",)  # that the base alone sets: trials of a study are compared, and vote, on the same images
VARIABLE = tuple(name for name in TrialConfig.model_fields if name not in FIXED)


class PublishedRow(Closed):
    """One row of a published table.

    Attributes:
        id: of the system.
        at: the varied settings of the row.
        val_accuracy, test_accuracy: published mean, a fraction; None where only the other (or a figure) was.
        std: published standard deviation of the mean's runs; None for a single run.
        runs: how many runs mean and std are of.
        figure: number of the report's figure, where it shows the row's curves and states no number.
        fails_below: of a row that was published as one that diverges or does not learn: the accuracy below which a
            training counts as one that has not learned.
    """

    id: str
    at: Values = {}
    val_accuracy: float | None = Field(None, ge=0, le=1)
    std: float | None = Field(None, ge=0, le=1)
    test_accuracy: float | None = Field(None, ge=0, le=1)
    runs: int = Field(3, ge=2)
    figure: int | None = Field(None, ge=1)
    fails_below: float | None = Field(None, gt=0, lt=1)

    @property
    def val(self) -> Summary:
        """The published validation accuracy; a single run has no std and n = 1."""
        return Summary(self.val_accuracy, self.std, self.runs if self.std is not None else 1)


class Trajectory(Closed):
    """How a published training went, as a report's text states it.

    Attributes:
        id: of the system.
        stage, at: the trial: its stage, and the varied settings.
        loss: training loss of the first and of the last epoch.
        val_accuracy: validation accuracy of the first and of the last epoch, fractions.
    """

    id: str
    stage: str
    at: Values = {}
    loss: tuple[float, float]
    val_accuracy: tuple[float, float]


class Stage(Closed):
    """One table of a study.

    Attributes:
        name: unique in the study.
        set: settings that this stage fixes, whatever the stage before found to be best.
        vary: values to try, every combination of them.
        search: `grid` for `vary`, `tpe` for `ranges`.
        ranges: what `tpe` searches: a Range, or a list to choose from.
        trials: how many it tries.
        startup: how many of those, at first, are drawn at random; by default 10.
        published: the published rows of this table.
    """

    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    set: Values = {}
    vary: dict[str, list[Value]] = {}
    search: Literal["grid", "tpe"] = "grid"
    ranges: dict[str, RangeOrChoices] = {}
    trials: int | None = Field(None, ge=1, le=MAX_TRIALS)
    # Left out where it is not given: sweeps are found again by what their study says.
    startup: int | None = Field(None, ge=1, le=MAX_TRIALS, exclude_if=lambda given: given is None)
    published: tuple[PublishedRow, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.search == "tpe" and (self.vary or not self.ranges or self.trials is None):
            raise ValueError("search: tpe takes ranges and trials, not vary")
        if self.search == "grid" and (self.ranges or self.trials is not None or self.startup is not None):
            raise ValueError("ranges, trials and startup go with search: tpe")
        varied = set(self.varied)
        # Setting an argument of an expression that is varied as a whole would have no effect.
        if both := [name for name in self.set if name in varied or name.split(".")[0] in varied]:
            raise ValueError(f"both sets and varies {', '.join(sorted(both))}")
        if self.budget > MAX_TRIALS:
            raise ValueError(f"asks for {self.budget:,} trials; at most {MAX_TRIALS:,} can be run")
        return self

    @property
    def random_trials(self) -> int:
        """How many trials of a search are drawn at random before the others follow what was found."""
        return min(self.startup or STARTUP, self.budget)

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the settings that differ between its trials."""
        return tuple(self.vary or self.ranges)

    def grid(self) -> list[Settings]:
        """Every combination of the listed values, in the file's order; one empty combination if none is listed.

        Raises:
            ConfigError: for a value that its setting does not take.
        """
        columns = [[canonical_value(name, value) for value in values] for name, values in self.vary.items()]
        return [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*columns)]

    def published_at(self) -> dict[frozenset[tuple[str, Scalar]], list[PublishedRow]]:
        """The published rows by what they vary: look up `frozenset(settings.items())` of a trial's settings."""
        rows: dict[frozenset[tuple[str, Scalar]], list[PublishedRow]] = {}
        for row in self.published:
            rows.setdefault(frozenset(canonical(row.at).items()), []).append(row)
        return rows

    @property
    def budget(self) -> int:
        """Number of trials."""
        return self.trials if self.trials is not None else math.prod(map(len, self.vary.values()))


class Vote(Closed):
    """A vote of the best trials of some stages, seed by seed.

    Attributes:
        members: names of the stages.
        tie: the member whose answer counts where several classes have the most votes; by default the one among those
            who voted for one of them that is best here.
        published: what was published for the vote.
    """

    members: tuple[str, ...] = Field(min_length=2)
    tie: str | None = None
    published: tuple[PublishedRow, ...] = ()


class Study(Closed):
    """A study file.

    Attributes:
        description: what it repeats, for the page of its sweep.
        dataset: the data set of all its trials.
        base: settings that all stages start from.
        stages: run in order, each around the best trial of the one before.
        vote: which of the stages' best trials vote in the end, if any.
        accuracy: which epoch the published accuracies are of, and by which trials are ranked: the best or the last.
        margin: differences of accuracies below it do not matter; set before anything is run.
        deviations: what is known to be done otherwise than published, and what is assumed where that is silent.
        trajectories: how published trainings went.
        curves: CSV file, beside the study's, with the recorded epochs of published systems.
    """

    description: str = ""
    dataset: str
    accuracy: Literal["best", "last"] = "best"
    margin: float = Field(0.02, gt=0, lt=1)
    deviations: tuple[str, ...] = ()
    curves: str | None = None
    base: Values = {}
    stages: tuple[Stage, ...] = Field(min_length=1)
    vote: Vote | None = None
    trajectories: tuple[Trajectory, ...] = ()

    @field_validator("stages")
    @classmethod
    def _names_differ_and_trials_are_few(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        seen: set[str] = set()
        for stage in stages:
            if stage.name in seen:
                raise ValueError(f"has two stages named {stage.name}")
            seen.add(stage.name)
        if (total := sum(stage.budget for stage in stages)) > MAX_TRIALS:
            raise ValueError(f"ask for {total:,} trials; at most {MAX_TRIALS:,} can be run")
        return stages

    @field_validator("vote")
    @classmethod
    def _members_are_stages(cls, vote: Vote | None, info: ValidationInfo) -> Vote | None:
        names = [stage.name for stage in info.data.get("stages", ())]
        members = vote.members if vote else ()
        if names and (missing := [member for member in members if member not in names]):
            raise ValueError(unknown("stage", missing[0], names))
        if len(set(members)) < len(members):
            raise ValueError("lists a member twice")
        if vote and vote.tie is not None and vote.tie not in members:
            raise ValueError(f"tie: {unknown('member', vote.tie, members)}")
        return vote

    @field_validator("trajectories")
    @classmethod
    def _trajectories_are_of_trials(
        cls, trajectories: tuple[Trajectory, ...], info: ValidationInfo
    ) -> tuple[Trajectory, ...]:
        stages = {stage.name: stage for stage in info.data.get("stages", ())}
        for one in trajectories if stages else ():
            if one.stage not in stages:
                raise ValueError(unknown("stage", one.stage, list(stages)))
            try:
                known = canonical(one.at) in stages[one.stage].grid()
            except ConfigError as error:
                raise ValueError(f"{one.id}: {error}") from error
            if not known:
                raise ValueError(f"{one.id} at {shown(one.at)} is not among the trials of stage {one.stage!r}")
        return trajectories

    @property
    def metric(self) -> str:
        """The metric that the published validation accuracies are compared with, and by which trials are ranked."""
        return self.metric_of("accuracy")

    def metric_of(self, name: str) -> str:
        """A metric of the validation split, of the epoch that the study is about."""
        return (BEST if self.accuracy == "best" else LAST) + name

    @property
    def test_metric(self) -> str:
        """The same of the test split."""
        return TEST_ACCURACY if self.accuracy == "best" else LAST_TEST_ACCURACY

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
                "trajectories": (),
                "curves": None,
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
