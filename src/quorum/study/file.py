"""Study files: a published study as stages of settings to vary, with what was published beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from quorum.config import Closed, TrialConfig, describe, parse_config
from quorum.errors import ConfigError, StudyError, unknown

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
    """

    id: str
    at: dict[str, Scalar] = {}
    val_accuracy: float | None = Field(None, ge=0, le=1)
    std: float | None = Field(None, ge=0, le=1)
    test_accuracy: float | None = Field(None, ge=0, le=1)


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


class Study(Closed):
    """A study file.

    Attributes:
        description: what it repeats, for the page of its sweep.
        dataset: the data set of all its trials.
        base: settings that all stages start from.
        stages: run in order, each around the best trial of the one before.
    """

    description: str = ""
    dataset: str
    base: dict[str, Scalar] = {}
    stages: tuple[Stage, ...] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _names_differ(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        names = [stage.name for stage in stages]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"has two stages named {', '.join(sorted(repeated))}")
        return stages

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


def load_study(file: Path) -> Study:
    """A study from its YAML file, every value of it checked.

    Raises:
        StudyError: one line with the file, the line and what is wrong.
    """
    try:
        root = yaml.compose(file.read_text(), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{file}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise StudyError(f"{file}{where}: not YAML ({getattr(error, 'problem', None) or error})") from error
    if not isinstance(root, yaml.MappingNode):
        raise StudyError(f"{file}:1: a study is a mapping with dataset, base and stages")
    lines = dict(_lines(root, (), file))
    try:
        study = Study.model_validate(yaml.safe_load(file.read_text()))
    except ValidationError as error:
        raise StudyError(f"{_at(file, lines, error.errors()[0]['loc'])}: {_complaint(error)}") from error
    _check_settings(study, file, lines)
    return study


Path_ = tuple[str | int, ...]
Lines = dict[Path_, int]


def _lines(node: yaml.Node, path: Path_, file: Path) -> Iterator[tuple[Path_, int]]:
    """Every path in the document with its line. Raises StudyError for a key that is given twice."""
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise StudyError(f"{file}:{key.start_mark.line + 1}: {key.value!r} is given twice")
            seen.add(key.value)
            yield (*path, key.value), key.start_mark.line + 1
            yield from ((p, n) for p, n in _lines(value, (*path, key.value), file) if p != (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield from _lines(value, (*path, i), file)


def _at(file: Path, lines: Lines, path: Path_) -> str:
    while path and path not in lines:
        path = path[:-1]
    return f"{file}:{lines.get(path, 1)}"


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    names = [str(part) for part in first["loc"] if isinstance(part, str)]
    if first["type"] == "extra_forbidden":
        kind: dict[str, type[Closed]] = {"stages": Stage, "published": PublishedRow, "ranges": Range}
        owner = next((kind[name] for name in reversed(names[:-1]) if name in kind), Study)
        return unknown("entry", names[-1], owner.model_fields)
    if first["type"] == "missing":
        return f"{names[-1]!r} is missing"
    return describe(error) if len(names) <= 1 else f"{names[-1]}: {str(first['msg']).removeprefix('Value error, ')}"


def _check_settings(study: Study, file: Path, lines: Lines) -> None:
    """Check that every setting exists and takes its values, and that published rows are among the trials."""
    _check_values(study, study.base, ("base",), file, lines)
    for i, stage in enumerate(study.stages):
        path: Path_ = ("stages", i)
        _check_values(study, stage.set, (*path, "set"), file, lines)
        for name, values in stage.vary.items():
            if not values:
                raise StudyError(f"{_at(file, lines, (*path, 'vary', name))}: {name} has no values")
            for j, value in enumerate(values):
                where: Path_ = (*path, "vary", name, j)
                _check_value(study, name, value, where, file, lines)
                if value in values[:j]:
                    raise StudyError(f"{_at(file, lines, where)}: {name} {value!r} is listed twice")
        for name, interval in stage.ranges.items():
            ends = interval if isinstance(interval, list) else [_end(name, e) for e in (interval.low, interval.high)]
            for value in ends:
                _check_value(study, name, value, (*path, "ranges", name), file, lines)
        _check_published(study, stage, path, file, lines)


def _end(name: str, value: float) -> Scalar:
    return int(value) if TrialConfig.model_fields[name].annotation is int and value == int(value) else value


def _check_values(study: Study, values: Settings, path: Path_, file: Path, lines: Lines) -> None:
    for name, value in values.items():
        _check_value(study, name, value, (*path, name), file, lines)


def _check_value(study: Study, name: str, value: Scalar, path: Path_, file: Path, lines: Lines) -> None:
    where = _at(file, lines, path)
    if name not in VARIABLE:
        raise StudyError(f"{where}: {unknown('setting', name, VARIABLE)}")
    try:
        parse_config(TrialConfig, {"dataset": study.dataset, name: value}, where)
    except ConfigError as error:
        raise StudyError(str(error)) from error


def _check_published(study: Study, stage: Stage, path: Path_, file: Path, lines: Lines) -> None:
    grid = [canonical(settings) for settings in stage.grid()]
    seen = []
    for j, row in enumerate(stage.published):
        where = _at(file, lines, (*path, "published", j))
        for name in row.at:
            if name not in stage.varied:
                raise StudyError(f"{where}: published row at {name}, which stage {stage.name!r} does not vary")
        at = canonical(row.at)
        if stage.search == "grid" and at not in grid:
            raise StudyError(f"{where}: published row at {at}, which is not among the stage's trials")
        if (row.id, at) in seen:
            raise StudyError(f"{where}: published row at {at} is given twice")
        seen.append((row.id, at))


def canonical(settings: Mapping[str, Scalar]) -> Settings:
    """Settings as the typed configuration holds them: YAML reads 1e-3 as text, the configuration as 0.001."""
    config = parse_config(TrialConfig, settings, "settings")
    return {name: getattr(config, name) for name in settings}
