"""Voting rules: what each decides, greedy weights, abstention, and that a rule survives being stored."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.voting.abstention import Abstention
from quorum.voting.calibration import negative_log_likelihood
from quorum.voting.rules import GREEDY, MAJORITY, SOFT, VotingRule, greedy_weights

# Two of three say class 1, barely; one says class 0, surely.
THREE = [np.array([row], dtype=np.float32) for row in ([0.95, 0.05], [0.45, 0.55], [0.45, 0.55])]


def test_majority_counts_votes_and_soft_weighs_probabilities() -> None:
    majority, soft = (VotingRule(name).decide(THREE) for name in (MAJORITY, SOFT))
    assert majority.labels[0] == 1
    assert majority.agreement[0] == pytest.approx(2 / 3)
    assert majority.probability[0] == pytest.approx((0.05 + 0.55 + 0.55) / 3)
    assert soft.labels[0] == 0
    assert soft.agreement[0] == pytest.approx(1 / 3)
    assert soft.probability[0] == pytest.approx((0.95 + 0.45 + 0.45) / 3)


def test_weights_decide_a_greedy_vote() -> None:
    assert VotingRule(GREEDY, weights=(0.0, 0.5, 0.5)).decide(THREE).labels[0] == 1


def test_temperatures_are_the_members_own() -> None:
    decision = VotingRule(SOFT, temperatures=(10.0, 1.0, 1.0)).decide(THREE)
    assert decision.labels[0] == 1  # the sure one is no longer sure
    np.testing.assert_array_equal(decision.member_probabilities[1], THREE[1])


def test_greedy_weights_are_the_best_of_all_small_mixtures() -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 3, 300)
    members = []
    for skill in (2.0, 1.0, 0.2):
        logits = draws.normal(size=(300, 3)) + skill * np.eye(3)[labels]
        powers = np.exp(logits)
        members.append((powers / powers.sum(axis=1, keepdims=True)).astype(np.float32))
    weights = greedy_weights(members, labels)
    assert sum(weights) == pytest.approx(1)
    of_truth = np.stack([one[np.arange(300), labels] for one in members])
    grid = [np.array(counts) / 10 for counts in itertools.product(range(11), repeat=3) if sum(counts) == 10]
    best = min(negative_log_likelihood(mixture @ of_truth) for mixture in grid)
    assert negative_log_likelihood(np.array(weights) @ of_truth) <= best + 1e-3
    assert weights[2] < 0.05


def test_of_equal_members_the_first_has_all_the_weight() -> None:
    same = THREE[0]
    assert greedy_weights([same, same], np.array([0])) == (1.0, 0.0)


def test_abstention_leaves_out_what_is_below_the_bound() -> None:
    sure, unsure = np.array([[0.9, 0.1], [0.4, 0.6]], dtype=np.float32), np.array([[0.8, 0.2], [0.7, 0.3]], np.float32)
    by_agreement = VotingRule(abstain=Abstention("agreement", 1)).decide([sure, unsure])
    assert list(by_agreement.undecided) == [False, True]
    by_probability = VotingRule(SOFT, abstain=Abstention("probability", 0.9)).decide([sure, unsure])
    assert list(by_probability.undecided) == [True, True]
    assert list(by_agreement.frame(("a", "b"))["label"]) == ["a", ""]


def test_two_thirds_are_not_below_two_thirds() -> None:
    decision = VotingRule(abstain=Abstention("agreement", 2 / 3)).decide(THREE)
    assert not decision.undecided[0]


@given(
    name=st.sampled_from([MAJORITY, SOFT, GREEDY]),
    temperatures=st.lists(st.floats(0.1, 9), max_size=3).map(tuple),
    bound=st.none() | st.floats(0, 1),
)
def test_a_rule_is_read_as_it_was_written(name: str, temperatures: tuple[float, ...], bound: float | None) -> None:
    rule = VotingRule(name, temperatures, (0.25, 0.75), None if bound is None else Abstention("probability", bound))
    assert VotingRule.of(rule.data()) == rule
    assert rule.text


@pytest.mark.parametrize("text", ["", "0.5", "agreement", "agreement:", "votes:0.5", "agreement:2", "agreement:-1"])
def test_what_is_no_abstention(text: str) -> None:
    with pytest.raises(ValueError, match="agreement:BOUND or probability:BOUND"):
        Abstention.parse(text)


def test_an_abstention_is_written_as_it_is_read() -> None:
    assert str(Abstention.parse("agreement:0.6")) == "agreement:0.6"
