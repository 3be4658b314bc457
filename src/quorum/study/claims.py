"""What a report concludes, as checks of runs: read from `sweeps/DATASET.yaml`, every error with its line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from quorum.config import Closed, reason_of
from quorum.errors import ConfigError, StudyError, cut, shown, unknown
from quorum.study.file import StudyFile
from quorum.study.folder import study_folders
from quorum.study.values import Values, canonical
from quorum.study.yaml_file import Lines, Location, read_yaml

EFFECTS = ("difference", "mean", "gain", "test_minus_validation", "vote_minus_best", "fails")
BOUNDS = ("above", "below", "within")


class System(Closed):
    """A published row: its id, and the varied settings where the id has several rows."""

    id: str
    at: Values = {}


class Gain(System):
    """What the epochs after one gained: the best accuracy after it minus the best up to it."""

    epoch: int = Field(ge=1)


class Check(Closed):
    """An effect, and what it has to be for a claim to hold. One effect is given, and but for `fails` one bound.

    Attributes:
        difference: accuracy of the first minus that of the second.
        mean: accuracy.
        gain: see Gain.
        test_minus_validation: test accuracy minus validation accuracy.
        vote_minus_best: accuracy of a vote minus that of its best member.
        fails: every training diverges, or stays below the row's `fails_below`.
        metric: of the validation split, that a difference or mean is of; see `quorum.engine.metrics`.
        above, below: of the effect.
        within: of zero.
    """

    difference: tuple[System, System] | None = None
    mean: System | None = None
    gain: Gain | None = None
    test_minus_validation: System | None = None
    vote_minus_best: System | None = None
    fails: System | None = None
    metric: str = "accuracy"
    above: float | None = None
    below: float | None = None
    within: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        effects = [name for name in EFFECTS if getattr(self, name) is not None]
        if len(effects) != 1:
            raise ValueError(f"a check has one of {', '.join(EFFECTS)}, not {len(effects)}")
        bounds = [name for name in BOUNDS if getattr(self, name) is not None]
        if len(bounds) != (0 if self.fails else 1):
            takes = "no bound" if self.fails else f"one of {', '.join(BOUNDS)}"
            raise ValueError(f"{effects[0]} takes {takes}")
        if "metric" in self.model_fields_set and effects[0] not in ("difference", "mean"):
            raise ValueError(f"metric goes with difference or mean, not with {effects[0]}")
        return self

    @property
    def systems(self) -> tuple[System, ...]:
        """The published rows that it is about."""
        if self.difference is not None:
            return self.difference
        given = (self.mean, self.gain, self.test_minus_validation, self.vote_minus_best, self.fails)
        return tuple(system for system in given if system is not None)


class Claim(Closed):
    """A conclusion.

    Attributes:
        id: unique in its file.
        says: the report's sentence.
        checks: all of them have to hold. Without any, no run answers it.
    """

    id: str
    says: str
    checks: tuple[Check, ...] = ()

    @property
    def ids(self) -> set[str]:
        """Ids of the published rows that it is about."""
        return {system.id for check in self.checks for system in check.systems}


class Claims(Closed):
    """A file of claims."""

    claims: tuple[Claim, ...]

    @field_validator("claims")
    @classmethod
    def _ids_differ(cls, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        seen: set[str] = set()
        for claim in claims:
            if claim.id in seen:
                raise ValueError(f"has two claims with the id {claim.id}")
            seen.add(claim.id)
        return claims


@dataclass(frozen=True)
class ClaimsFile:
    """Claims and the lines of their file."""

    file: Path
    claims: tuple[Claim, ...]
    lines: Lines

    def at(self, location: Location) -> str:
        """File and line of an entry, or of the nearest one that contains it."""
        while location and location not in self.lines:
            location = location[:-1]
        return f"{self.file}:{self.lines.get(location, 1)}"


def load_claims(
    sweeps_dir: Path, dataset: str, studies: list[StudyFile], metrics: Collection[str], *, all_studies: bool = True
) -> tuple[Claim, ...]:
    """The claims of a data set's reports; none where there is no file of them.

    Args:
        sweeps_dir: folder of the study files; the claims are in its `DATASET.yaml`.
        dataset: name of the data set.
        studies: its studies, in which the published rows are that claims are about.
        metrics: names of those that trainings measure.
        all_studies: whether these are all of its studies. Where some are broken, rows that none of these has are taken
            to be theirs.

    Raises:
        StudyError: for a file that is wrong, a row that no study has or a metric that is unknown: one line with file
            and line.
    """
    files = [place / f"{dataset}.yaml" for place in study_folders(sweeps_dir)]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return ()
    content, lines = read_yaml(file)
    if not isinstance(content, dict):
        raise StudyError(f"{file}:1: a file of claims is a mapping with claims")
    try:
        found = ClaimsFile(file, Claims.model_validate(content).claims, lines)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
        where = ClaimsFile(file, (), lines).at(problem["loc"])
        raise StudyError(f"{where}: {_message(problem)}") from error
    rows = {row_key(row.id, row.at) for source in studies for row in source.study.published}
    for number, claim in enumerate(found.claims):
        for place, check in enumerate(claim.checks):
            where = found.at(("claims", number, "checks", place))
            if check.metric not in metrics:
                raise StudyError(f"{where}: {unknown('metric', check.metric, metrics)}")
            for system in check.systems:
                if _key(system, where) not in rows and all_studies:
                    known = sorted({row_id for row_id, _ in rows})
                    reason = (
                        f"no published row of {system.id} at {shown(dict(system.at))}"
                        if system.id in known
                        else unknown("published row", system.id, known, known[:5])
                    )
                    raise StudyError(f"{where}: {reason}")
    return found.claims


RowKey = tuple[str, frozenset[tuple[str, Any]]]


def row_key(identity: str, at: Values) -> RowKey:
    """What a published row is found by. Raises ConfigError for a value that its setting does not take."""
    return identity, frozenset(canonical(at).items())


def _key(system: System, where: str) -> RowKey:
    try:
        return row_key(system.id, system.at)
    except (ConfigError, ValueError) as error:
        raise StudyError(f"{where}: {error}") from error


def _message(problem: Any) -> str:
    names = [cut(part) for part in problem["loc"] if isinstance(part, str)]
    if problem["type"] == "extra_forbidden":
        kinds: dict[str, type[Closed]] = {"checks": Check, "claims": Claim}
        owner = next((kinds[name] for name in reversed(names[:-1]) if name in kinds), Claims)
        owner = System if names[-2:-1] and names[-2] in EFFECTS else owner
        return unknown("entry", names[-1], owner.model_fields)
    if problem["type"] == "missing":
        return f"{names[-1]!r} is missing"
    return " ".join(f"{names[-1]}: {reason_of(problem)}".split())
