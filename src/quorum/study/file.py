"""Study files: read, checked, and every complaint with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from quorum.config import Closed, TrialConfig, parse_config
from quorum.errors import ConfigError, StudyError, unknown
from quorum.study.model import VARIABLE, PublishedRow, Range, Scalar, Settings, Stage, Study, Vote, canonical

Path_ = tuple[str | int, ...]
Lines = dict[Path_, int]


@dataclass(frozen=True)
class StudyFile:
    """A study and where it stands.

    Attributes:
        file: its file.
        study: what it says.
        lines: the line, from 1, of every entry by its path.
    """

    file: Path
    study: Study
    lines: Lines

    def at(self, path: Path_) -> str:
        """File and line of an entry, or of the nearest one that contains it."""
        return _at(self.file, self.lines, path)

    def at_setting(self, stage: int, settings: Settings, name: str) -> str:
        """File and line where a trial gets a setting from.

        Args:
            stage: number of its stage, from 0.
            settings: what it varies.
            name: of the setting. If no line gives it, the stage's own line is told.
        """
        varied = self.study.stages[stage]
        if name in settings:
            values = varied.vary.get(name, [])
            places = [
                i for i, value in enumerate(values) if canonical({name: value}) == canonical({name: settings[name]})
            ]
            return self.at(("stages", stage, "vary", name, *places) if places else ("stages", stage, "ranges", name))
        for number in range(stage, -1, -1):
            for part in ("set", "vary"):
                if (path := ("stages", number, part, name)) in self.lines:
                    return self.at(path)
        return self.at(("base", name) if ("base", name) in self.lines else ("stages", stage))


def load_study(file: Path) -> StudyFile:
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
        problem = _first(error)
        raise StudyError(f"{_at(file, lines, problem['loc'])}: {_complaint(problem)}") from error
    _check_settings(study, file, lines)
    return StudyFile(file, study, lines)


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


def _first(error: ValidationError) -> Any:
    """The problem to tell: an entry that there is none of before whatever else is wrong, as it often is the cause."""
    problems = error.errors()
    return next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])


def _complaint(problem: Any) -> str:
    names = [str(part) for part in problem["loc"] if isinstance(part, str)]
    if problem["type"] == "extra_forbidden":
        kind: dict[str, type[Closed]] = {"stages": Stage, "published": PublishedRow, "ranges": Range, "vote": Vote}
        owner = next((kind[name] for name in reversed(names[:-1]) if name in kind), Study)
        return unknown("entry", names[-1], owner.model_fields)
    if problem["type"] == "missing":
        return f"{names[-1]!r} is missing"
    return f"{names[-1]}: {str(problem['msg']).removeprefix('Value error, ')}"


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
                if canonical({name: value}) in [canonical({name: earlier}) for earlier in values[:j]]:
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
