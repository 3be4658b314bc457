"""What a command answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """The answer of a command, as data for `--json` and as text for a person."""

    data: dict[str, Any]
    text: str
