"""A vote held against its best member, other rules and its own probabilities, on images whose classes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quorum.inference import McNemar, mcnemar, proportion_interval
from quorum.voting.calibration import Calibration, accuracy_by_coverage, calibration, fit_temperature, reliability
from quorum.voting.predict import Member, VoteOutcome
from quorum.voting.rules import GREEDY, MAJORITY, SOFT, VotingRule, greedy_weights
from quorum.voting.vote import Probabilities

VOTE = "vote"


@dataclass(frozen=True)
class Validation:
    """What the members say of the validation images, which none of them was trained on.

    Attributes:
        probabilities: each member's as its network gives them, float32 [n, classes].
        labels: int64 [n], the true classes.
    """

    probabilities: Sequence[Probabilities]
    labels: NDArray[np.int64]

    def rule(self, name: str, *, calibrate: bool) -> VotingRule:
        """A voting rule with what it needs fitted.

        Args:
            name: one of RULES.
            calibrate: whether the members' probabilities are calibrated first.
        """
        temperatures = tuple(fit_temperature(one, self.labels) for one in self.probabilities) if calibrate else ()
        rule = VotingRule(name, temperatures)
        if name != GREEDY:
            return rule
        return VotingRule(name, temperatures, greedy_weights(rule.calibrated(self.probabilities), self.labels))


def scores(outcome: VoteOutcome, members: Sequence[Member]) -> pd.DataFrame:
    """Accuracy of every member and of the vote on the images that it decided, with its 95% interval over images."""
    accuracies, vote = outcome.accuracies()
    *of_members, of_vote = outcome.right
    decided = of_vote[~outcome.decision.undecided]
    intervals = [_interval(right) for right in (*of_members, decided)]
    rows = [
        {"": member.name, "model": member.classifier.config.model, "version": member.uri, "test accuracy": accuracy}
        for member, accuracy in zip(members, accuracies, strict=True)
    ]
    rows.append({"": VOTE, "model": f"{len(members)} members", "version": "", "test accuracy": vote})
    table = pd.DataFrame(rows).assign(**{"95% interval": intervals})
    return table if outcome.rule.abstain is None else table.assign(coverage=[1.0] * len(members) + [outcome.coverage])


def _interval(right: NDArray[np.bool_]) -> str:
    if not len(right):
        return "–"
    interval = proportion_interval(right)
    return f"{interval.low:.4f} to {interval.high:.4f}"


def against_best(outcome: VoteOutcome) -> McNemar:
    """The vote (first) against the best member as it was promoted (second), on all images."""
    right = outcome.right
    return mcnemar(right[-1], right[0])


def discordant(outcome: VoteOutcome) -> NDArray[np.int64]:
    """Images of which either the vote or the best member alone is right, or, without labels, on which they differ."""
    if outcome.labels is None:
        return np.flatnonzero(outcome.decision.labels != outcome.decision.votes[0])
    right = outcome.right
    return np.flatnonzero(right[-1] != right[0])


def calibrations(outcome: VoteOutcome) -> dict[str, Calibration]:
    """How well the members' probabilities are calibrated, and the vote's (the mean of theirs), by name."""
    return {name: calibration(*found) for name, found in _answers(outcome).items()}


def reliabilities(outcome: VoteOutcome) -> dict[str, pd.DataFrame]:
    """Accuracy by confidence of the members and of the vote, by name."""
    return {name: reliability(*found) for name, found in _answers(outcome).items()}


def coverages(outcome: VoteOutcome) -> dict[str, pd.DataFrame]:
    """Accuracy by coverage: the vote's by its probability and by its agreement, and the best member's."""
    right, decision = outcome.right, outcome.decision
    best = decision.member_probabilities[0].max(axis=1)
    return {
        "vote, by probability": accuracy_by_coverage(decision.probability, right[-1]),
        "vote, by agreement": accuracy_by_coverage(decision.agreement, right[-1]),
        f"{outcome.members[0]}, by probability": accuracy_by_coverage(best, right[0]),
    }


def measures(outcome: VoteOutcome) -> dict[str, float | None]:
    """The figures of the audit as metrics: `NAME/accuracy`, `/ece`, `/nll` and `/brier` of members and vote, and
    `vote/mcnemar_p`."""
    accuracies, vote = outcome.accuracies()
    names = (*outcome.members, VOTE)
    found = {f"{name}/accuracy": value for name, value in zip(names, (*accuracies, vote), strict=True)}
    for name, one in calibrations(outcome).items():
        found |= {f"{name}/{measure}": value for measure, value in asdict(one).items()}
    return {**found, f"{VOTE}/mcnemar_p": against_best(outcome).p}


def compare_rules(
    probabilities: Sequence[Probabilities], labels: NDArray[np.int64], fitted: Validation
) -> pd.DataFrame:
    """All voting rules on the same images.

    Args:
        probabilities: each member's as its network gives them, float32 [n, classes].
        labels: int64 [n], the true classes.
        fitted: what temperatures and weights are fitted on.

    Returns:
        `rule`, `temperatures` (`fitted` or 1), `weights`, `accuracy`, `ece`, `nll` and `brier`.
    """
    rows = []
    for name, calibrate in ((MAJORITY, False), (MAJORITY, True), (SOFT, False), (SOFT, True), (GREEDY, True)):
        rule = fitted.rule(name, calibrate=calibrate)
        decision = rule.decide(probabilities)
        weights = ", ".join(f"{weight:.2f}" for weight in rule.weights) or "equal"
        row = {"rule": name, "temperatures": "fitted" if calibrate else "1", "weights": weights}
        scores = calibration(decision.probabilities, labels, decision.labels)
        rows.append({**row, "accuracy": float((decision.labels == labels).mean()), **asdict(scores)})
    return pd.DataFrame(rows)


def _answers(outcome: VoteOutcome) -> dict[str, tuple[Probabilities, NDArray[np.int64], NDArray[np.int64]]]:
    assert outcome.labels is not None
    decision = outcome.decision
    members = zip(outcome.members, decision.member_probabilities, decision.votes, strict=True)
    found = {name: (probabilities, outcome.labels, votes) for name, probabilities, votes in members}
    return {**found, VOTE: (decision.probabilities, outcome.labels, decision.labels)}
