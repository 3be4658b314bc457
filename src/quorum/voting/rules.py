"""How members become one answer: by majority, by the mean of their probabilities, or by a weighted mean.

Pure functions of arrays; members are ordered best first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quorum.voting.abstention import Abstention
from quorum.voting.calibration import at_temperature, negative_log_likelihood
from quorum.voting.vote import VOTE_RULE, Probabilities, Votes, agreement, majority_vote, member_votes

MAJORITY, SOFT, GREEDY = "majority", "soft", "greedy"
RULES = {
    MAJORITY: VOTE_RULE,
    SOFT: "The class with the highest mean of the members' probabilities wins.",
    GREEDY: (
        "The class with the highest weighted mean of the members' probabilities wins; the weights are those with the "
        "least negative log-likelihood on the validation images (ensemble selection)."
    ),
}
ROUNDS = 100  # of ensemble selection: weights are in hundredths at the finest


@dataclass(frozen=True)
class Decision:
    """What members and their vote say of n images.

    Attributes:
        member_probabilities: each member's, calibrated if the rule does so, float32 [n, classes].
        votes: int64 [members, n].
        labels: int64 [n], the decided classes, also of undecided images.
        probabilities: float32 [n, classes], the (weighted) mean of the members'.
        undecided: bool [n].
    """

    member_probabilities: Sequence[Probabilities]
    votes: Votes
    labels: NDArray[np.int64]
    probabilities: Probabilities
    undecided: NDArray[np.bool_]

    @property
    def agreement(self) -> NDArray[np.float64]:
        """[n], fraction of the members that voted for the decided class."""
        return agreement(self.votes, self.labels)

    def frame(self, classes: Sequence[str]) -> pd.DataFrame:
        """A row for each image: `label` (empty where it is undecided), `probability` (of that class), `probabilities`
        (of all classes, in their order), `agreement` and `votes` (the members' labels, the best member's first)."""
        return pd.DataFrame(
            {
                "label": ["" if out else classes[i] for i, out in zip(self.labels, self.undecided, strict=True)],
                "probability": self.probability.astype(float),
                "probabilities": self.probabilities.astype(float).tolist(),
                "agreement": self.agreement,
                "votes": [[classes[i] for i in row] for row in self.votes.T],
            }
        )

    @property
    def probability(self) -> NDArray[np.float32]:
        """[n], of the decided class."""
        return np.take_along_axis(self.probabilities, self.labels[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class VotingRule:
    """How members become one answer.

    Attributes:
        name: one of RULES.
        temperatures: of the members, by which their logits are divided; empty for 1 each.
        weights: of the members in the mean of probabilities; empty for equal ones.
        abstain: when an image is left undecided; None for never.
    """

    name: str = MAJORITY
    temperatures: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    abstain: Abstention | None = None

    @property
    def text(self) -> str:
        """The rule in words."""
        parts = [RULES[self.name]]
        if self.weights:
            parts.append(f"Weights: {_listed(self.weights)}.")
        if self.temperatures:
            parts.append(
                f"The members' logits are divided by temperatures fitted on the validation images: "
                f"{_listed(self.temperatures)}."
            )
        if self.abstain:
            parts.append(
                f"An image is left undecided where the {self.abstain.measure} is below {self.abstain.bound:g}."
            )
        return " ".join(parts)

    def decide(self, probabilities: Sequence[Probabilities]) -> Decision:
        """Let members vote.

        Args:
            probabilities: each member's as its network gives them, float32 [n, classes].
        """
        calibrated = self.calibrated(probabilities)
        votes = member_votes(calibrated)
        mean = np.average(calibrated, axis=0, weights=self.weights or None).astype(np.float32)
        labels = majority_vote(votes) if self.name == MAJORITY else mean.argmax(axis=1)
        decision = Decision(calibrated, votes, labels, mean, np.zeros(len(labels), dtype=bool))
        if self.abstain is None:
            return decision
        # Two of three members are 0.667 of them, whatever the last bit says.
        undecided = getattr(decision, self.abstain.measure) < self.abstain.bound - 1e-9
        return Decision(calibrated, votes, labels, mean, undecided)

    def calibrated(self, probabilities: Sequence[Probabilities]) -> list[Probabilities]:
        """Members' probabilities at their temperatures."""
        temperatures = self.temperatures or (1.0,) * len(probabilities)
        return [at_temperature(one, t) for one, t in zip(probabilities, temperatures, strict=True)]

    def data(self) -> str:
        """The rule as JSON, read again by `of`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, data: str) -> Self:
        """The rule of its JSON."""
        read: Mapping[str, Any] = json.loads(data)
        abstain = Abstention(**read["abstain"]) if read["abstain"] else None
        return cls(read["name"], tuple(read["temperatures"]), tuple(read["weights"]), abstain)


def greedy_weights(probabilities: Sequence[Probabilities], labels: NDArray[np.int64]) -> tuple[float, ...]:
    """Weights of members by ensemble selection: a member is added again and again, whichever makes the mean's negative
    log-likelihood the least; the counts of the best of these means are the weights.

    Caruana, R. et al. (2004), Ensemble selection from libraries of models, ICML. Likelihood and not accuracy, whose
    steps are coarse on few images.

    Args:
        probabilities: each member's of images that were not trained on, float32 [n, classes], best member first.
        labels: int64 [n], their true classes.

    Returns:
        A weight for each member; their sum is 1. Of equal members the first has all the weight.
    """
    of_truth = np.stack([np.take_along_axis(one, labels[:, None], axis=1)[:, 0] for one in probabilities])
    counts, total = np.zeros(len(of_truth), dtype=int), np.zeros(len(labels))
    best, best_counts = np.inf, counts
    for size in range(1, ROUNDS + 1):
        losses = [negative_log_likelihood((total + one) / size) for one in of_truth]
        chosen = int(np.argmin(losses))
        counts[chosen] += 1
        total += of_truth[chosen]
        if losses[chosen] < best:
            best, best_counts = losses[chosen], counts.copy()
    return tuple(float(weight) for weight in best_counts / best_counts.sum())


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
