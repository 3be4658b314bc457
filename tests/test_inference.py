"""Statistics against scipy, and by how often they are right where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quorum.inference import (
    Interval,
    difference_interval,
    half_width,
    holm,
    mcnemar,
    mean_interval,
    not_told_from_best,
    paired_interval,
    proportion_interval,
    two_way_interval,
)
from quorum.summary import Summary, summarize


def test_the_interval_of_a_mean_is_students() -> None:
    values = [0.41, 0.44, 0.47, 0.52]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=np.std(values, ddof=1) / 2)
    found = mean_interval(summarize(values))
    assert [found.low, found.high] == pytest.approx([low, high])
    assert half_width(summarize([0.5])) == math.inf
    assert mean_interval(summarize([0.5])) == Interval(-math.inf, math.inf)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_interval_of_a_difference_is_welchs(ours: list[float], theirs: list[float]) -> None:
    found = difference_interval(summarize(ours), summarize(theirs), 0.9)
    if np.std(ours) + np.std(theirs) < 1e-6:
        assert found.low == pytest.approx(np.mean(ours) - np.mean(theirs), abs=1e-4)
        return
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.9)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=1e-9)


def test_a_single_published_run_is_one_draw_with_our_spread() -> None:
    draws = np.random.default_rng(0)
    covered = [
        difference_interval(
            summarize(draws.normal(0.5, 0.03, 3)), Summary(draws.normal(0.5, 0.03), None, 1), 0.9
        ).holds(0)
        for _ in range(3000)
    ]
    assert 0.885 < np.mean(covered) < 0.915


def test_intervals_contain_and_lie_within() -> None:
    assert Interval(-0.02, 0.02).inside(0.02)
    assert not Interval(-0.02, 0.0201).inside(0.02)
    assert Interval(0.446 - 0.426, 0.02).inside(0.02)  # whatever the last bit says
    assert Interval(-0.1, 0.0).holds(0)
    assert not Interval(0.01, 0.2).holds(0)


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), min_size=1, max_size=8))
def test_holms_p_values_grow_and_keep_their_order(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    assert adjusted.keys() == p_values.keys()
    assert all(p_values[name] <= adjusted[name] <= 1 for name in p_values)
    ordered = sorted(p_values, key=lambda name: p_values[name])
    assert [adjusted[name] for name in ordered] == sorted(adjusted.values())


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_what_cannot_be_told_from_the_best() -> None:
    seeds = range(6)
    noise = [0.0, 0.01, 0.02, -0.01, -0.02, 0.005]
    best = {seed: 0.8 + noise[seed] for seed in seeds}
    close = {seed: 0.799 + noise[(seed + 3) % 6] for seed in seeds}
    worse = {seed: 0.7 + noise[seed] + 0.002 * seed for seed in seeds}  # its noise is the best's: paired it is told
    assert not_told_from_best({"best": best, "close": close, "worse": worse, "empty": {}}) == {"best", "close"}
    assert not_told_from_best({}) == set()
    assert not_told_from_best({"a": {0: 0.9}, "b": {1: 0.1}}) == {"a", "b"}  # no seed in common
    assert not_told_from_best({"a": {0: 0.9, 1: 0.9}, "b": {0: 0.9, 1: 0.9}}) == {"a", "b"}
    assert not_told_from_best({"a": {0: 0.9, 1: 0.9}, "b": {0: 0.8, 1: 0.8}}) == {"a"}


def test_the_whole_family_is_bounded() -> None:
    """Five equal settings, three seeds: one of them is rarely called worse than the best."""
    draws = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        values = {str(name): dict(enumerate(draws.normal(0.5, 0.02, 3))) for name in range(5)}
        wrong += len(not_told_from_best(values)) < 5
    assert wrong / 300 < 0.1  # the best is chosen among five, so a little above 5%


def test_paired_differences() -> None:
    assert paired_interval([0.1, 0.2, 0.3]) == mean_interval(summarize([0.1, 0.2, 0.3]))


def test_seeds_and_images_are_both_resampled() -> None:
    draws = np.random.default_rng(0)
    difficulty = draws.random(500)
    skill = np.array([0.6, 0.7, 0.8])
    correct = difficulty[None] < skill[:, None]
    both, images = two_way_interval(correct), two_way_interval(correct[1:2])
    assert both.low < correct.mean() < both.high
    assert both.high - both.low > 1.5 * (images.high - images.low)  # seeds differ much here
    alone = stats.norm.interval(0.95, correct[1].mean(), math.sqrt(0.7 * 0.3 / 500))
    assert images.low == pytest.approx(alone[0], abs=0.01)
    assert images.high == pytest.approx(alone[1], abs=0.01)
    assert two_way_interval(np.ones((3, 10), dtype=bool)) == Interval(1.0, 1.0)


def test_mcnemar_is_a_sign_test_of_the_discordant_images() -> None:
    first = np.array([True] * 9 + [False] + [True] * 40)
    second = np.array([False] * 9 + [True] + [True] * 40)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (9, 1)
    assert found.p == pytest.approx(2 * (1 + 10) / 2**10)  # 0 or 1 of 10, on either side
    assert mcnemar(first, first).p == 1


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    interval = proportion_interval(np.array([True] * 9 + [False]))
    assert (interval.low, interval.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert proportion_interval(np.ones(5, dtype=bool)).high == pytest.approx(1)
