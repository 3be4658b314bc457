"""Rows of a comparison as tables of text, as counts, and as what figures draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from quorum.comparison.rows import Row
from quorum.comparison.verdicts import INCONCLUSIVE, VERDICTS, is_known
from quorum.inference import Interval

# Columns of a table that are left out where they hold nothing.
OPTIONAL = ("id", "published test", "test interval", "test verdict", "note")


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as text for a page: varied settings, published and ours as mean ± std with the 95% interval, the other kind
    of epoch, n, the difference with its 90% interval, the verdict, and the same of the test split."""
    return without_empty(pd.DataFrame([_line(row) for row in rows]), OPTIONAL)


def overview(rows: Sequence[tuple[str, str, Row]]) -> pd.DataFrame:
    """All rows in one table of text, each with its study, its table there and what it varies."""
    lines = []
    for study, name, row in rows:
        line = _line(row)
        varied = ", ".join(f"{setting}={line.pop(setting)}" for setting in row.settings)
        lines.append({"study": study, "table": name, "row": varied or "–", **line})
    shown = pd.DataFrame(lines).drop(columns=["id", "95% interval", "best epoch", "last epoch", "published test"])
    return without_empty(shown.drop(columns=["our test", "test interval", "test verdict"]), ("note",))


def without_empty(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame without those of the named columns that hold no text."""
    return frame.drop(columns=[name for name in names if name in frame and frame[name].isin(["", "–"]).all()])


def _line(row: Row) -> dict[str, str]:
    published, ours = row.published, row.ours
    judged, tested = row.judged, row.test_judged
    difference = "–"
    if ours.mean is not None and published.val_accuracy is not None:
        ends = f" [{judged.interval.low:+.3f}, {judged.interval.high:+.3f}]" if is_known(judged.interval) else ""
        difference = f"{ours.mean - published.val_accuracy:+.4f}{ends}"
    stated = with_std(published.val_accuracy, published.std)
    if published.figure is not None:
        stated = f"figure {published.figure}"
    elif published.fails_below is not None:
        stated = f"fails (below {published.fails_below:g})"
    return {
        **{name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in row.settings.items()},
        "published": stated,
        "ours": with_std(ours.mean, ours.std),
        "95% interval": ends_of(row.interval),
        "best epoch": with_std(row.best.mean, None),
        "last epoch": with_std(row.last.mean, None),
        "n": f"{ours.n}, {row.failed} failed" if row.failed else str(ours.n),
        "difference": difference,
        "verdict": judged.word,
        "published test": with_std(published.test_accuracy, None),
        "our test": with_std(row.test.mean, row.test.std),
        "test interval": ends_of(row.test_interval),
        "test verdict": tested.word if tested else "",
        "id": published.id,
        "note": "; ".join(note for note in (_settled_by(row), *_marks(row), row.reason) if note),
    }


def _settled_by(row: Row) -> str:
    if row.verdict != INCONCLUSIVE or row.published.val_accuracy is None:
        return ""
    if row.failed:
        return "a seed failed, so more of them would not reproduce it"
    seeds = row.seeds_that_settle
    return "more seeds would not settle it" if seeds is None else f"about {seeds} seeds would settle it"


def _marks(row: Row) -> list[str]:
    return [*(["near best"] if row.near_best else []), *(["collapse"] if row.collapsed else [])]


def ends_of(interval: Interval | None) -> str:
    """`[0.3912, 0.4406]`; a dash for none."""
    return "–" if interval is None else f"[{interval.low:.4f}, {interval.high:.4f}]"


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
