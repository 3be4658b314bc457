"""The values of settings that a study varies or searches."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self, get_args

from pydantic import Discriminator, Field, PlainValidator, Tag, ValidationError, model_validator

from quorum.config import Closed, TrialConfig, argument_value, check_name, describe
from quorum.errors import ConfigError

MAX_STEPS = 10**9  # of a range
_CACHED = 20_000  # values that are remembered as the configuration holds them


def _one_value(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise ValueError("must be one value: a number, a text, true or false")
    return value


Scalar = str | int | float | bool
Value = Annotated[Scalar, PlainValidator(_one_value)]
# By setting, or by SETTING.CALL.ARGUMENT for one argument of an expression (see `quorum.config.EXPRESSIONS`).
Settings = dict[str, Scalar]
Values = dict[str, Value]  # the same as a field that is checked


class Range(Closed):
    """An interval to search: `low` to `high`, on a logarithmic scale or in steps if it says so."""

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
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"low {self.low:g} is too far below high {self.high:g}")
        steps = (self.high - self.low) / (self.step or 1)
        if self.step and not (1 <= steps <= MAX_STEPS and math.isclose(steps, round(steps), rel_tol=1e-6)):
            raise ValueError(f"step {self.step:g} does not divide {self.low:g} to {self.high:g} into whole steps")
        return self


def takes_integers(name: str, interval: Range) -> bool:
    """Whether a range is one of integers: of a setting that is one, or of an argument with whole ends and step."""
    if "." in name:
        step = interval.step
        return step is not None and all(end.is_integer() for end in (interval.low, interval.high, step))
    kinds = set(_kinds(TrialConfig.model_fields[name].annotation)) if name in TrialConfig.model_fields else set()
    return int in kinds and float not in kinds


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _kinds(argument)


def _kind_of_range(value: Any) -> str:
    return "list" if isinstance(value, list) else "range"


RangeOrChoices = Annotated[
    Annotated[Range, Tag("range")] | Annotated[list[Value], Tag("list")], Discriminator(_kind_of_range)
]


def canonical(settings: Mapping[str, Scalar]) -> Settings:
    """Settings as the configuration holds them. Raises ConfigError for a value that its setting does not take."""
    return {name: canonical_value(name, value) for name, value in settings.items()}


@functools.lru_cache(maxsize=_CACHED, typed=True)
def canonical_value(name: str, value: Scalar) -> Scalar:
    """A value as the configuration holds it: the text `1e-3` and the integer 1 as floats where the setting is one.

    Raises:
        ConfigError: where there is no such setting, or it does not take it. Whether an expression does is known once
            it is put together.
    """
    check_name(name, TrialConfig.model_fields)
    if "." in name:
        return argument_value(value)
    try:
        return getattr(TrialConfig.model_validate({name: value}), name)
    except ValidationError as error:
        raise ConfigError(describe(error), setting=name) from error
