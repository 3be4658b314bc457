"""What came out beside what was published, and whether the one confirms the other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

REPRODUCED, BETTER, DIFFERS, NOT_RUN, NO_NUMBER = "reproduced", "better", "differs", "not run", "no number"
VERDICTS = (REPRODUCED, BETTER, DIFFERS, NOT_RUN, NO_NUMBER)
TOLERANCE = 0.02  # of an accuracy; differences below are not told apart from those of splits and libraries
CONFIDENCE = 0.95

RULE = (
    "reproduced: the published mean lies within the 95% interval of our mean (Student's t over the seeds), or within "
    "0.02 or two published standard deviations of it, whichever is more. better, differs: it lies below or above that. "
    "no number: the report shows a figure and states none."
)


@dataclass(frozen=True)
class Row:
    """A published row, or a trial for which nothing was published, beside what came out.

    Attributes:
        id: of the published system, or "".
        settings: what it varies.
        published, published_std, published_test: accuracies, fractions; None where nothing was stated.
        figure: number of the published figure that shows it, if it states no number.
        values: our validation accuracies, one a seed.
        test_values: our test accuracies, one a seed.
        reason: why it was not run, or why seeds of it failed.
    """

    id: str
    settings: Mapping[str, Any]
    published: float | None
    published_std: float | None
    published_test: float | None
    figure: int | None
    values: Sequence[float]
    test_values: Sequence[float]
    reason: str

    @property
    def mean(self) -> float | None:
        """Our mean validation accuracy."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Our sample standard deviation (n - 1); None for fewer than two seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        if self.mean is None:
            return NOT_RUN
        if self.published is None:
            return NO_NUMBER
        return verdict(self.published, self.published_std, self.mean, self.std, len(self.values))


def verdict(published: float, published_std: float | None, mean: float, std: float | None, n: int) -> str:
    """Whether our mean confirms a published one.

    Args:
        published, published_std: the published mean accuracy and its standard deviation.
        mean, std, n: ours; std is None for one seed.
    """
    reach = max(TOLERANCE, 2 * (published_std or 0.0), half_width(std, n))
    # Both are decimals that were rounded to be printed: 0.446 and 0.426 are 0.02 apart, whatever the last bit says.
    if abs(published - mean) <= reach + 1e-9:
        return REPRODUCED
    return BETTER if mean > published else DIFFERS


def half_width(std: float | None, n: int) -> float:
    """Half the 95% interval of a mean over n seeds: t(0.975, n - 1) * std / sqrt(n); 0 for one seed."""
    if std is None or n < 2:
        return 0.0
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * std / float(n) ** 0.5


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as text for a page: varied settings, published and ours as mean ± std, n, difference, verdict, test."""
    return without_empty(pd.DataFrame([_line(row) for row in rows]), ("id", "published test", "note"))


def overview(places: Sequence[tuple[str, str]], rows: Sequence[Row]) -> pd.DataFrame:
    """All rows in one table of text, each with its study, its stage and what it varies.

    Args:
        places: study and stage of each row.
        rows: the rows.
    """
    lines = []
    for (study, stage), row in zip(places, rows, strict=True):
        line = _line(row)
        varied = ", ".join(f"{name}={line.pop(name)}" for name in row.settings)
        lines.append({"study": study, "table": stage, "row": varied or "–", **line})
    return without_empty(pd.DataFrame(lines).drop(columns=["id", "published test", "our test"]), ("note",))


def without_empty(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame without those of the named columns that hold no text."""
    return frame.drop(columns=[name for name in names if name in frame and frame[name].isin(["", "–"]).all()])


def _line(row: Row) -> dict[str, str]:
    difference = None if row.mean is None or row.published is None else row.mean - row.published
    published = f"figure {row.figure}" if row.figure is not None else with_std(row.published, row.published_std, 4)
    tests = list(row.test_values)
    return {
        **{name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in row.settings.items()},
        "published": published,
        "ours": with_std(row.mean, row.std, 4),
        "n": str(len(row.values)),
        "difference": "–" if difference is None else f"{difference:+.4f}",
        "verdict": row.verdict,
        "published test": with_std(row.published_test, None, 4),
        "our test": with_std(
            statistics.fmean(tests) if tests else None, statistics.stdev(tests) if len(tests) > 1 else None, 4
        ),
        "id": row.id,
        "note": row.reason,
    }


def with_std(mean: float | None, std: float | None, digits: int) -> str:
    """`0.4460 ± 0.0160`, without the second part if there is none; a dash for no mean."""
    if mean is None:
        return "–"
    return f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")


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
            "mean": row.mean,
            "std": row.std,
            "published": row.published,
            "published std": row.published_std,
        }
    frame = pd.DataFrame(list(lines.values()))
    return frame.drop(columns=["published", "published std"]) if frame["published"].isna().all() else frame
