"""Whether our mean reproduces a published one: a test of equivalence, with a margin that is set beforehand."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from quorum.inference import NOTHING_KNOWN, Interval, difference_interval, half_width
from quorum.summary import Summary

REPRODUCED, COMPATIBLE, HIGHER, LOWER = "reproduced", "compatible", "higher", "lower"
INCONCLUSIVE, FAILED, NOT_RUN, NO_NUMBER = "inconclusive", "failed", "not run", "no number"
VERDICTS = (REPRODUCED, COMPATIBLE, HIGHER, LOWER, INCONCLUSIVE, FAILED, NOT_RUN, NO_NUMBER)

CONFIDENCE = 0.90  # two one-sided tests at 5% each
MARGIN = 0.02  # unless a study says otherwise
REACH = 5  # margins; nothing is called compatible that may be further away
ROUNDED = 0.0005  # a published std of 0.000 may be as much
MIN_SEEDS = 3
MOST_SEEDS = 100  # that are asked for

VERDICT_RULE = (
    "The 90% interval of ours − theirs (Welch; a published single run counts as one draw with our spread) decides, "
    "with a margin of 0.02 unless the study names another. reproduced: it lies within ± the margin. higher, lower: it "
    "lies wholly outside. compatible: three published runs scatter so much that no number of seeds could give "
    "reproduced, zero lies in the interval, the interval within ± 5 margins, and our own half-width is no larger than "
    "the margin or theirs. inconclusive: none of these, or fewer than three seeds, or one that diverged. failed: every "
    "seed did. no number: the report shows a figure and states none."
)


@dataclass(frozen=True)
class Verdict:
    """What our values say of a published one.

    Attributes:
        word: one of VERDICTS.
        interval: of ours - theirs, at 90%.
    """

    word: str
    interval: Interval = NOTHING_KNOWN


def verdict(published: Summary, ours: Summary, margin: float = MARGIN, *, failed: bool = False) -> Verdict:
    """Judge our mean by a published one.

    Args:
        published: mean of n runs, with their std unless n is 1.
        ours: our values, of at least one seed.
        margin: differences below it do not matter.
        failed: whether a seed of ours failed: then nothing is reproduced.
    """
    theirs = _unrounded(published)
    interval = difference_interval(ours, theirs, CONFIDENCE)
    word = _word(interval, ours, theirs, margin)
    unsure = failed or ours.n < MIN_SEEDS
    return Verdict(INCONCLUSIVE if unsure and word in (REPRODUCED, COMPATIBLE) else word, interval)


def _unrounded(published: Summary) -> Summary:
    return published if published.std is None else dataclasses.replace(published, std=max(published.std, ROUNDED))


def _word(interval: Interval, ours: Summary, theirs: Summary, margin: float) -> str:
    if interval.inside(margin):
        return REPRODUCED
    if interval.low > margin:
        return HIGHER
    if interval.high < -margin:
        return LOWER
    own = half_width(theirs, CONFIDENCE) if theirs.std is not None else 0.0
    hopeless = own > margin
    ours_is_narrow = half_width(ours, CONFIDENCE) <= max(margin, own)
    if hopeless and ours_is_narrow and interval.holds(0) and interval.inside(REACH * margin):
        return COMPATIBLE
    return INCONCLUSIVE


def seeds_that_settle(published: Summary, ours: Summary, margin: float = MARGIN) -> int | None:
    """The number of seeds that would probably settle an inconclusive verdict: with our present mean and spread. None
    where none up to 100 would."""
    if ours.std is None:
        return MIN_SEEDS
    theirs = _unrounded(published)
    for n in range(max(ours.n, MIN_SEEDS - 1) + 1, MOST_SEEDS + 1):
        more = dataclasses.replace(ours, n=n)
        if _word(difference_interval(more, theirs, CONFIDENCE), more, theirs, margin) != INCONCLUSIVE:
            return n
    return None


def failing(ours_below: int, seeds: int) -> Verdict:
    """The verdict on a row that was published as one that diverges or does not learn.

    Args:
        ours_below: seeds that diverged or whose accuracy stayed below the row's bound.
        seeds: all of ours.
    """
    if ours_below == 0:
        return Verdict(HIGHER)
    return Verdict(REPRODUCED if ours_below == seeds >= MIN_SEEDS else INCONCLUSIVE)


def is_known(interval: Interval) -> bool:
    """Whether an interval says anything."""
    return math.isfinite(interval.low)
