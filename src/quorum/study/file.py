"""Study files: read and checked, every error with its line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quorum.config import EXPRESSIONS, Closed, TrialConfig, argument_value, check_name, reason_of
from quorum.errors import ConfigError, StudyError, cut, shown, unknown
from quorum.expressions import parse_calls, with_argument
from quorum.study.model import OF_STUDY, VARIABLE, PublishedRow, Stage, Study, Trajectory, Vote
from quorum.study.values import Range, Scalar, Settings, canonical, canonical_value, takes_integers
from quorum.study.yaml_file import Lines, Location, read_yaml


@dataclass(frozen=True)
class StudyFile:
    """A study and the lines of its file.

    Attributes:
        file: its file.
        study: what it says.
        lines: the line, from 1, of every entry by its location.
    """

    file: Path
    study: Study
    lines: Lines

    def of_dataset(self, name: str) -> StudyFile:
        """The same study of the data set of a name, of those that it is for."""
        return dataclasses.replace(self, study=self.study.model_copy(update={"dataset": name}))

    def at(self, location: Location) -> str:
        """File and line of an entry, or of the nearest one that contains it."""
        return _at(self.file, self.lines, location)

    def at_setting(self, stage: int, settings: Settings, name: str) -> str:
        """File and line that a trial has a setting from.

        Args:
            stage: number of its stage, from 0.
            settings: what it varies.
            name: of the setting. For an expression the line may be that of one of its arguments. The line of the stage
                where no line gives the setting.
        """
        varied = self.study.stages[stage]
        for given in reversed([given for given in settings if given.split(".")[0] == name]):
            values = [canonical_value(given, value) for value in varied.vary.get(given, [])]
            if settings[given] in values:
                return self.at(("stages", stage, "vary", given, values.index(settings[given])))
            return self.at(("stages", stage, "ranges", given))
        for number in range(stage, -1, -1):
            for part in ("set", "vary", "ranges"):
                entries = getattr(self.study.stages[number], part)
                for given in reversed([given for given in entries if given.split(".")[0] == name]):
                    return self.at(("stages", number, part, given))
        return self.at(("base", name) if ("base", name) in self.lines else ("stages", stage))


def load_study(file: Path) -> StudyFile:
    """A study from its YAML file, every value of it checked.

    Raises:
        StudyError: one line with the file, the line and what is wrong.
    """
    content, lines = read_yaml(file)
    if not isinstance(content, dict):
        raise StudyError(f"{file}:1: a study is a mapping with dataset, base and stages")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        problem = _first(error)
        raise StudyError(f"{_at(file, lines, problem['loc'])}: {_message(problem)}") from error
    source = StudyFile(file, study, lines)
    _check_values(source, study.base, ("base",))
    for number, stage in enumerate(study.stages):
        _check_stage(source, stage, ("stages", number))
    _check_arguments(source)
    return source


def _at(file: Path, lines: Lines, location: Location) -> str:
    while location and location not in lines:
        location = location[:-1]
    return f"{file}:{lines.get(location, 1)}"


def _first(error: ValidationError) -> Any:
    """The problem to show: an unknown entry before whatever else is wrong, as it is often the cause."""
    problems = error.errors(include_url=False)
    return next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])


def _message(problem: Any) -> str:
    """A problem that pydantic has found, on one line."""
    kinds: dict[str, type[Closed]] = {"stages": Stage, "published": PublishedRow, "ranges": Range, "vote": Vote}
    kinds["trajectories"] = Trajectory
    tags = ("range", "list")  # by which pydantic tells the two forms of `ranges` apart
    names = [cut(part) for part in problem["loc"] if isinstance(part, str) and part not in tags]
    if problem["type"] == "extra_forbidden":
        owner = next((kinds[name] for name in reversed(names[:-1]) if name in kinds), Study)
        message = unknown("entry", names[-1], owner.model_fields)
    elif problem["type"] == "missing" and isinstance(problem["loc"][-1], int):
        message = f"{names[-1]}: has too few values"
    elif problem["type"] == "missing":
        message = f"{names[-1]!r} is missing"
    else:
        shapes = {"model_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list", "list_type": "a list"}
        shape = shapes.get(problem["type"])
        message = f"{names[-1]}: {f'must be {shape}' if shape else reason_of(problem)}"
    return " ".join(message.split())


def _check_stage(source: StudyFile, stage: Stage, at: Location) -> None:
    """Check that every setting of a stage exists, is one of a stage and takes its values, and its published rows."""
    for part, names in (("set", stage.set), ("vary", stage.vary), ("ranges", stage.ranges)):
        for name in OF_STUDY:
            if name in names:
                line = source.at((*at, part, name))
                raise StudyError(f"{line}: {name} is the same in all of a study, so base sets it")
    _check_values(source, stage.set, (*at, "set"))
    for name, values in stage.vary.items():
        _check_choices(source, name, values, (*at, "vary", name))
    for name, interval in stage.ranges.items():
        where = (*at, "ranges", name)
        if isinstance(interval, list):
            _check_choices(source, name, interval, where)
        elif name in TrialConfig.model_fields and TrialConfig.model_fields[name].annotation is bool:
            raise StudyError(f"{source.at(where)}: {name} is true or false; a list of both takes the place of a range")
        else:
            for end in (interval.low, interval.high, interval.low + (interval.step or 0)):
                whole = takes_integers(name, interval) and end.is_integer()
                _check_value(source, name, int(end) if whole else end, where)
    _check_published(source, stage, at)


def _check_choices(source: StudyFile, name: str, values: list[Scalar], at: Location) -> None:
    if not values:
        raise StudyError(f"{source.at(at)}: {name} has no values")
    seen: set[Scalar] = set()
    for i, value in enumerate(values):
        found = _check_value(source, name, value, (*at, i))
        if found in seen:
            raise StudyError(f"{source.at((*at, i))}: {name} {shown(value)} is listed twice")
        seen.add(found)


def _check_values(source: StudyFile, values: Settings, at: Location) -> None:
    for name, value in values.items():
        _check_value(source, name, value, (*at, name))


def _check_value(source: StudyFile, name: str, value: Scalar, at: Location) -> Scalar:
    """The value as the configuration holds it. Raises StudyError with its line."""
    try:
        check_name(name, VARIABLE)
        return canonical_value(name, value)
    except ConfigError as error:
        raise StudyError(f"{source.at(at)}: {error}") from error


def _check_published(source: StudyFile, stage: Stage, at: Location) -> None:
    """Check that published rows are among the stage's trials, each once."""
    trials = {frozenset(settings.items()) for settings in stage.grid()} if stage.published else set()
    seen = set()
    for j, row in enumerate(stage.published):
        where = source.at((*at, "published", j))
        for name, value in row.at.items():
            if name not in stage.varied:
                raise StudyError(f"{where}: published row at {cut(name)}, which stage {stage.name!r} does not vary")
            _check_value(source, name, value, (*at, "published", j))
        settings = canonical(row.at)
        key = frozenset(settings.items())
        if stage.search == "grid" and key not in trials:
            raise StudyError(f"{where}: published row at {shown(settings)}, which is not among the stage's trials")
        if (row.id, key) in seen:
            raise StudyError(f"{where}: published row at {shown(settings)} is given twice")
        seen.add((row.id, key))


def _check_arguments(source: StudyFile) -> None:
    """Check that an argument that a stage sets or varies has its call in every expression that the stage may have.

    Whether the call has such an argument is known where its operation is: see `quorum.training.check`.
    """
    study = source.study
    for setting in (name for name in EXPRESSIONS if name in TrialConfig.model_fields):
        texts: Texts = {str(TrialConfig.model_fields[setting].default): ("base",)}
        texts = _changed(source, texts, setting, {name: [value] for name, value in study.base.items()}, ("base",))
        for number, stage in enumerate(study.stages):
            fixed = {name: [value] for name, value in stage.set.items()}
            ranges = {name: given if isinstance(given, list) else [given.low] for name, given in stage.ranges.items()}
            for part, choices in (("set", fixed), ("vary", stage.vary), ("ranges", ranges)):
                texts = _changed(source, texts, setting, choices, ("stages", number, part))


Texts = dict[str, Location]  # the expressions that a setting may have, each with where it is given


def _changed(
    source: StudyFile, texts: Texts, setting: str, choices: Mapping[str, Sequence[Scalar]], at: Location
) -> Texts:
    """The expressions of a setting after one of some choices has been made. Of an argument the first value will do."""
    if setting in choices:
        texts = {str(value): (*at, setting, place) for place, value in enumerate(choices[setting])}
    for name, values in choices.items():
        if name.startswith(f"{setting}."):
            _, call, argument = name.split(".")
            changed: Texts = {}
            for text, where in texts.items():
                try:
                    parse_calls(text, setting)
                    where = (*at, name)
                    changed[with_argument(text, call, argument, argument_value(values[0]), setting)] = where
                except ConfigError as error:
                    raise StudyError(f"{source.at(where)}: {error}") from error
            texts = changed
    return texts
