"""Whether our mean confirms a published one."""

from __future__ import annotations

from scipy import stats

from quorum.summary import Summary

REPRODUCED, BETTER, DIFFERS, NOT_RUN, NO_NUMBER = "reproduced", "better", "differs", "not run", "no number"
VERDICTS = (REPRODUCED, BETTER, DIFFERS, NOT_RUN, NO_NUMBER)
TOLERANCE = 0.02  # of an accuracy; differences below are not told apart from those of splits and libraries
CONFIDENCE = 0.95

VERDICT_RULE = (
    "reproduced: the published mean lies within the 95% interval of our mean (Student's t over the seeds), or within "
    "0.02 or two published standard deviations of it, whichever is more. better, differs: it lies below or above that. "
    "no number: the report shows a figure and states none."
)


def verdict(published: float, published_std: float | None, ours: Summary) -> str:
    """Whether our mean confirms a published one: REPRODUCED, BETTER or DIFFERS.

    Args:
        published, published_std: the published mean accuracy and its standard deviation.
        ours: our accuracy over the seeds, of at least one.
    """
    assert ours.mean is not None
    reach = max(TOLERANCE, 2 * (published_std or 0.0), half_width(ours))
    # Both are decimals that were rounded to be printed: 0.446 and 0.426 are 0.02 apart, whatever the last bit says.
    if abs(published - ours.mean) <= reach + 1e-9:
        return REPRODUCED
    return BETTER if ours.mean > published else DIFFERS


def half_width(ours: Summary) -> float:
    """Half the 95% interval of a mean over n seeds: t(0.975, n - 1) * std / sqrt(n); 0 for one seed."""
    if ours.std is None:
        return 0.0
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, ours.n - 1)) * ours.std / float(ours.n) ** 0.5
