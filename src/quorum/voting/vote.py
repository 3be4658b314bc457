"""Majority vote. Pure functions of arrays; members are ordered best first.

The rule: the class with the most votes wins. Where several classes share the most votes, a member that was named
beforehand decides, if it voted for one of them; otherwise the best member among those who did. So of two members that
differ the better one decides; of three, a pair outvotes the best, and the best decides when all three differ (with
ResNet50 named, the CIFAR-10 report's rule); of five that vote A, B, B, C, C (best first), the second decides for B,
since A is out of the race.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

VOTE_RULE = (
    "The class with the most votes wins; where classes tie, the best member among those who voted for one of them "
    "decides. So the better of two decides when they differ, and the best of three when all three do."
)

Votes = NDArray[np.int64]  # [members, images], a class each
Probabilities = NDArray[np.float32]  # [images, classes]


def member_votes(probabilities: Sequence[Probabilities]) -> Votes:
    """Each member's most probable class, int64 [members, images]."""
    return np.stack([member.argmax(axis=1) for member in probabilities])


def majority_vote(votes: Votes, tie: int | None = None) -> NDArray[np.int64]:
    """The vote's class for each image.

    Args:
        votes: int64 [members, images], the best member's first.
        tie: the member that decides a tie; by default the best of those who voted for one of the tied classes.

    Returns:
        int64 [images].

    Raises:
        ValueError: without members.
    """
    if votes.ndim != 2 or not len(votes):
        raise ValueError("a vote needs at least one member")
    # support[m, i]: how many members voted as member m did on image i
    support = (votes[:, None, :] == votes[None, :, :]).sum(axis=1)
    # argmax takes the first member, hence the best, among those whose class has the most votes
    order = np.arange(len(votes)) if tie is None else np.array([tie, *(m for m in range(len(votes)) if m != tie)])
    return np.take_along_axis(votes[order], support[order].argmax(axis=0)[None], axis=0)[0]


def agreement(votes: Votes, decided: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fraction of members that voted for the decided class, [images]."""
    return (votes == decided).mean(axis=0)
