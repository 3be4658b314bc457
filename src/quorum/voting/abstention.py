"""When a vote leaves an image undecided."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Abstention:
    """A bound below which images are undecided.

    Attributes:
        measure: `agreement` (fraction of the members that voted for the label) or `probability` (of the label).
        bound: between 0 and 1.
    """

    measure: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `agreement:0.6` or `probability:0.9`. Raises ValueError for anything else."""
        match = re.fullmatch(r"(agreement|probability):([0-9]*\.?[0-9]+)", text)
        if match is None or not 0 <= float(match[2]) <= 1:
            raise ValueError("is agreement:BOUND or probability:BOUND, with a bound between 0 and 1")
        return cls(match[1], float(match[2]))

    def __str__(self) -> str:
        return f"{self.measure}:{self.bound:g}"
