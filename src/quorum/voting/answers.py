"""What one network, or several that vote, answer for images: the same columns wherever they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from quorum.data.images import Pixels, in_parts
from quorum.voting.classifier import Classifier
from quorum.voting.rules import VotingRule

OF_VOTE = ["agreement", "votes"]  # columns that one network alone has no use for


def answer(members: Sequence[Classifier], rule: VotingRule, images: Iterable[Pixels]) -> pd.DataFrame:
    """Predict images, in parts that fit into memory.

    Args:
        members: the networks, best first.
        rule: how they vote.
        images: of any sizes, one at least.

    Returns:
        A row for each image with the columns of `Decision.frame`; of one network alone, without those of a vote.
    """
    classes = members[0].classes
    parts = [
        rule.decide([member.probabilities(part) for member in members]).frame(classes) for part in in_parts(images)
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame if len(members) > 1 else frame.drop(columns=OF_VOTE)
