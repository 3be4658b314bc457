"""What a command answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """The answer of a command, as data for `--json` and as text for a person."""

    data: dict[str, Any] | list[dict[str, Any]]
    text: str


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as JSON values, null where a value is missing."""
    return list(json.loads(frame.to_json(orient="records", double_precision=15)))
