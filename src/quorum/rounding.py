"""Numbers as people read them in names, notes and tables."""

from __future__ import annotations

from typing import Any

DIGITS = 4  # significant ones up to which a number stands as it is


def rounded(value: Any) -> str:
    """A setting as text: a number of more than four significant digits is rounded to three (0.00044271 is 0.000443);
    all else stands as it is."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.{DIGITS}g}"
    return repr(float(value)) if float(text) == value else f"{value:.3g}"
