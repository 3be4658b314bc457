"""Mean, standard deviation and the best of a few values: the one definition of each."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation of some values.

    Attributes:
        mean: None where there are no values.
        std: with n - 1 in the denominator; None for fewer than two values.
        n: number of values.
    """

    mean: float | None
    std: float | None
    n: int


def summarize(values: Iterable[float]) -> Summary:
    """Mean and sample standard deviation (n - 1) of some values."""
    listed = [float(value) for value in values]
    mean = statistics.fmean(listed) if listed else None
    return Summary(mean, statistics.stdev(listed) if len(listed) > 1 else None, len(listed))


def best_of(items: Iterable[T], value: Callable[[T], float | None]) -> T | None:
    """The first of the items with the highest value. Those whose value is None are left out; None where all are."""
    valued = [(item, found) for item in items if (found := value(item)) is not None]
    return max(valued, key=lambda pair: pair[1])[0] if valued else None
