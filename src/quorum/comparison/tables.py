"""Rows of a comparison as tables of text, as counts, and as what figures draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from quorum.comparison.rows import Row
from quorum.comparison.verdicts import VERDICTS


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as text for a page: varied settings, published and ours as mean ± std, n, difference, verdict, test."""
    return without_empty(pd.DataFrame([_line(row) for row in rows]), ("id", "published test", "note"))


def overview(rows: Sequence[tuple[str, str, Row]]) -> pd.DataFrame:
    """All rows in one table of text, each with its study, its table there and what it varies."""
    lines = []
    for study, name, row in rows:
        line = _line(row)
        varied = ", ".join(f"{setting}={line.pop(setting)}" for setting in row.settings)
        lines.append({"study": study, "table": name, "row": varied or "–", **line})
    return without_empty(pd.DataFrame(lines).drop(columns=["id", "published test", "our test"]), ("note",))


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with its numbers as text of four decimals and a dash for what is missing."""
    return frame.astype(object).map(lambda v: f"{v:.4f}" if isinstance(v, float) and v == v else v).fillna("–")


def without_empty(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame without those of the named columns that hold no text."""
    return frame.drop(columns=[name for name in names if name in frame and frame[name].isin(["", "–"]).all()])


def _line(row: Row) -> dict[str, str]:
    published, ours = row.published, row.ours
    difference = "–"
    if ours.mean is not None and published.val_accuracy is not None:
        difference = f"{ours.mean - published.val_accuracy:+.4f}"
    figure = f"figure {published.figure}"
    return {
        **{name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in row.settings.items()},
        "published": with_std(published.val_accuracy, published.std) if published.figure is None else figure,
        "ours": with_std(ours.mean, ours.std),
        "n": str(ours.n),
        "difference": difference,
        "verdict": row.verdict,
        "published test": with_std(published.test_accuracy, None),
        "our test": with_std(row.test.mean, row.test.std),
        "id": published.id,
        "note": row.reason,
    }


def with_std(mean: float | None, std: float | None) -> str:
    """`0.4460 ± 0.0160`, without the second part if there is none; a dash for no mean."""
    if mean is None:
        return "–"
    return f"{mean:.4f}" + ("" if std is None else f" ± {std:.4f}")


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Number of rows by verdict, those that occur."""
    found = [row.verdict for row in rows]
    return {name: found.count(name) for name in VERDICTS if name in found}


def bars(rows: Sequence[Row]) -> pd.DataFrame:
    """A line for each trial as `figures.error_bars` takes it: settings, mean, std, published, published std."""
    lines: dict[str, dict[str, Any]] = {}
    # Of several published rows of one trial the last is drawn: a table's row stands after a single run's.
    for row in rows:
        lines[str(dict(row.settings))] = {
            **row.settings,
            "mean": row.ours.mean,
            "std": row.ours.std,
            "published": row.published.val_accuracy,
            "published std": row.published.std,
        }
    frame = pd.DataFrame(list(lines.values()))
    return frame.drop(columns=["published", "published std"]) if frame["published"].isna().all() else frame
