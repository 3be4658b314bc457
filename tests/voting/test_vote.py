"""The vote, against the rule written out in plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.voting.vote import agreement, majority_vote, member_votes

BALLOTS = st.integers(1, 7).flatmap(
    lambda members: st.lists(st.lists(st.integers(0, 4), min_size=members, max_size=members), min_size=1, max_size=20)
)


def by_the_rule(ballot: list[int]) -> int:
    """One image: the members' classes, best first."""
    counts = Counter(ballot)
    most = max(counts.values())
    return next(choice for choice in ballot if counts[choice] == most)


@given(BALLOTS)
def test_it_is_the_rule(ballots: list[list[int]]) -> None:
    decided = majority_vote(np.array(ballots).T)
    assert decided.tolist() == [by_the_rule(ballot) for ballot in ballots]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_of_three_it_is_the_reports_code(ballots: list[tuple[int, int, int]]) -> None:
    # The report lists MobileNet-64, MobileNet-224, ResNet50 and prefers the last where all differ.
    def report(best: int, second: int, third: int) -> int:
        if second == third:
            return second
        return best

    assert majority_vote(np.array(ballots).T).tolist() == [report(*ballot) for ballot in ballots]


@given(BALLOTS)
def test_renaming_classes_renames_the_result(ballots: list[list[int]]) -> None:
    votes = np.array(ballots).T
    names = np.array([3, 0, 4, 1, 2])
    assert (majority_vote(names[votes]) == names[majority_vote(votes)]).all()


@given(BALLOTS)
def test_agreement_is_the_winners_share(ballots: list[list[int]]) -> None:
    votes = np.array(ballots).T
    share = agreement(votes, majority_vote(votes))
    assert (share >= 1 / len(votes)).all()
    assert (share[(votes == votes[0]).all(axis=0)] == 1).all()


@pytest.mark.parametrize(
    ("ballot", "winner"),
    [([1, 2], 1), ([1, 2, 2], 2), ([0, 1, 2], 0), ([0, 1, 1, 0], 0), ([0, 1, 1, 2, 2], 1), ([3], 3)],
)
def test_stated_cases(ballot: list[int], winner: int) -> None:
    assert majority_vote(np.array(ballot)[:, None]).tolist() == [winner]


def test_votes_are_the_most_probable_classes() -> None:
    one, other = np.array([[0.2, 0.8], [0.6, 0.4]], dtype=np.float32), np.array([[0.9, 0.1]] * 2, dtype=np.float32)
    assert member_votes([one, other]).tolist() == [[1, 0], [0, 0]]
    with pytest.raises(ValueError, match="at least one member"):
        majority_vote(np.zeros((0, 3), dtype=np.int64))
