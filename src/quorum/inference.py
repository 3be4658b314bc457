"""Statistics of a few values: intervals of means and of differences, families of tests, and a two-way bootstrap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorum.summary import Summary, summarize

CONFIDENCE = 0.95  # of intervals that are shown
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An interval with both ends; both are infinite where nothing is known."""

    low: float
    high: float

    def inside(self, margin: float) -> bool:
        """Whether it lies wholly within -margin to margin."""
        # Accuracies were rounded to be printed: 0.446 and 0.426 are 0.02 apart, whatever the last bit says.
        return -margin - 1e-9 <= self.low and self.high <= margin + 1e-9

    def holds(self, value: float) -> bool:
        """Whether a value lies in it."""
        return self.low - 1e-9 <= value <= self.high + 1e-9


NOTHING_KNOWN = Interval(-math.inf, math.inf)


def t_quantile(confidence: float, df: float) -> float:
    """Student's t: half of `confidence` lies on each side of zero below it."""
    from scipy import stats

    return float(stats.t.ppf((1 + confidence) / 2, df))


def half_width(values: Summary, confidence: float = CONFIDENCE) -> float:
    """Half the interval of a mean of n values: t(n - 1) * std / sqrt(n); infinite for fewer than two."""
    if values.std is None:
        return math.inf
    return t_quantile(confidence, values.n - 1) * values.std / math.sqrt(values.n)


def plus_minus(values: Summary) -> float | None:
    """Half the 95% interval of a mean, as tables show it; None for fewer than two values."""
    half = half_width(values)
    return half if math.isfinite(half) else None


def mean_interval(values: Summary, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a mean (Student's t)."""
    if values.mean is None or values.std is None:
        return NOTHING_KNOWN
    half = half_width(values, confidence)
    return Interval(values.mean - half, values.mean + half)


def difference_interval(ours: Summary, theirs: Summary, confidence: float) -> Interval:
    """The interval of a difference of two means, ours - theirs, of independent values (Welch).

    Where they are one value, it counts as one draw with our spread: then the interval is that of a new draw.
    Degrees of freedom as Welch and Satterthwaite have them.
    """
    if ours.mean is None or theirs.mean is None or ours.std is None:
        return NOTHING_KNOWN
    difference, variance = ours.mean - theirs.mean, ours.std**2 / ours.n
    if theirs.std is None:
        variance += ours.std**2
        df: float = ours.n - 1
    else:
        other = theirs.std**2 / theirs.n
        df = _welch(variance, ours.n, other, theirs.n)
        variance += other
    half = t_quantile(confidence, df) * math.sqrt(variance)
    return Interval(difference - half, difference + half)


def _welch(one: float, n: int, other: float, m: int) -> float:
    if (largest := max(one, other)) == 0:
        return n + m - 2
    one, other = one / largest, other / largest  # the squares of tiny variances would be 0
    return (one + other) ** 2 / (one**2 / (n - 1) + other**2 / (m - 1))


def paired_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The interval of the mean of differences that were taken pair by pair."""
    return mean_interval(summarize(differences), confidence)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values of a family of tests, adjusted so that the chance of any false finding is bounded.

    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6.
    """
    adjusted: dict[str, float] = {}
    so_far = 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        so_far = max(so_far, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = so_far
    return adjusted


def not_told_from_best(values: Mapping[str, Mapping[int, float]], level: float = 1 - CONFIDENCE) -> set[str]:
    """Those that cannot be told from the best: paired by seed with it (Student's t), Holm over all of them.

    Args:
        values: by name, then by seed. Names without values are left out.
        level: chance of leaving out any that is no worse.

    Returns:
        Names, that of the highest mean among them.
    """
    valued = {name: seeds for name, seeds in values.items() if seeds}
    if not valued:
        return set()
    best = max(valued, key=lambda name: float(np.mean(list(valued[name].values()))))
    p_values = {name: _paired_p(valued[best], seeds) for name, seeds in valued.items() if name != best}
    return {best} | {name for name, p in holm(p_values).items() if p > level}


def _paired_p(best: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Two-sided p value of a paired t test over the seeds that both have; 1 for fewer than two."""
    from scipy import stats

    differences = [best[seed] - other[seed] for seed in best.keys() & other.keys()]
    found = summarize(differences)
    if found.std is None or found.mean is None:
        return 1.0
    if found.std == 0:
        return float(found.mean == 0)
    return float(2 * stats.t.sf(abs(found.mean) / (found.std / math.sqrt(found.n)), found.n - 1))


def proportion_interval(right: NDArray[np.bool_], confidence: float = CONFIDENCE) -> Interval:
    """The interval of an accuracy over images, of one training (Wilson's). Wilson, E. B. (1927), JASA 22.

    Args:
        right: [images], at least one.
        confidence: of the interval.
    """
    from scipy import stats

    found = stats.binomtest(int(right.sum()), len(right)).proportion_ci(confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two classifiers on the same images.

    Attributes:
        only_first, only_second: images that one of them alone has right.
        p: two-sided, that both are right equally often; 1 where they are never right alone.
    """

    only_first: int
    only_second: int
    p: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test. McNemar, Q. (1947), Psychometrika 12; by the binomial distribution, not by chi-squared.

    Args:
        first, second: [images], whether each was right.
    """
    from scipy import stats

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, p)


def two_way_interval(correct: NDArray[np.bool_], confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """Interval of an accuracy over seeds and images: both are resampled (percentile bootstrap).

    Seeds alone would take the images for all there are, images alone the training for the only one. Owen, A. B. (2007),
    The pigeonhole bootstrap, Annals of Applied Statistics 1.

    Args:
        correct: [seeds, images], whether the network of a seed was right on an image.
        confidence: of the interval.
        seed: of the draws.
    """
    seeds, images = correct.shape
    draws = np.random.default_rng(seed)
    of_seeds = draws.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    rates = np.empty(RESAMPLES)
    values = correct.astype(np.float64)
    for start in range(0, RESAMPLES, 100):  # 100 draws of 10,000 images are 8 MB
        part = slice(start, start + 100)
        of_images = draws.multinomial(images, np.full(images, 1 / images), 100) / images
        rates[part] = np.einsum("bs,si,bi->b", of_seeds[part], values, of_images, optimize=True)
    low, high = np.quantile(rates.round(12), [(1 - confidence) / 2, (1 + confidence) / 2])  # sums that should be 1 are
    return Interval(float(low), float(high))
