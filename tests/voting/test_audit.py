"""The audit of a vote on images whose classes are known."""

from __future__ import annotations

import numpy as np
import pytest

from quorum.voting import audit
from quorum.voting.audit import Validation
from quorum.voting.predict import VoteOutcome
from quorum.voting.rules import VotingRule

NAMES = ("member-1", "member-2", "member-3")


def members(answers: list[list[int]], sure: float = 0.8) -> list[np.ndarray]:
    """Probabilities of two classes by each member's answers."""
    return [np.array([[sure, 1 - sure] if a == 0 else [1 - sure, sure] for a in one], np.float32) for one in answers]


def outcome(answers: list[list[int]], labels: list[int] | None) -> VoteOutcome:
    decision = VotingRule().decide(members(answers))
    known = None if labels is None else np.array(labels)
    files = [f"{i}.png" for i in range(len(answers[0]))]
    return VoteOutcome(files, ("a", "b"), NAMES, VotingRule(), decision, known)


ANSWERS = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]  # the vote: 0, 0, 1, 0


def test_the_vote_against_its_best_member() -> None:
    test = audit.against_best(outcome(ANSWERS, [0, 0, 1, 0]))
    assert (test.only_first, test.only_second, test.p) == (2, 0, 0.5)


def test_discordant_images() -> None:
    assert list(audit.discordant(outcome(ANSWERS, [0, 0, 1, 0]))) == [1, 2]
    assert list(audit.discordant(outcome(ANSWERS, None))) == [1, 2]
    assert not len(audit.discordant(outcome([[0, 1]] * 3, [0, 0])))


def test_calibration_is_of_members_and_vote() -> None:
    found = audit.calibrations(outcome(ANSWERS, [0, 0, 1, 0]))
    assert list(found) == [*NAMES, "vote"]
    assert found["member-1"].ece == pytest.approx(0.8 - 0.5)
    assert list(audit.reliabilities(outcome(ANSWERS, [0, 0, 1, 0]))) == [*NAMES, "vote"]


def test_coverage_is_whole_at_the_end() -> None:
    for curve in audit.coverages(outcome(ANSWERS, [0, 0, 1, 0])).values():
        assert curve["coverage"].iloc[-1] == 1
    assert audit.coverages(outcome(ANSWERS, [0, 0, 1, 0]))["vote, by probability"]["accuracy"].iloc[-1] == 1


def test_rules_side_by_side() -> None:
    fitted = Validation(members(ANSWERS), np.array([0, 0, 1, 0]))
    table = audit.compare_rules(members(ANSWERS), np.array([0, 0, 1, 0]), fitted)
    assert list(table["rule"]) == ["majority", "majority", "soft", "soft", "greedy"]
    assert table["accuracy"].iloc[0] == 1
    assert (table["nll"] >= 0).all()


def test_a_rule_fits_what_it_needs() -> None:
    fitted = Validation(members(ANSWERS), np.array([0, 0, 1, 0]))
    assert fitted.rule("majority", calibrate=False) == VotingRule()
    assert len(fitted.rule("soft", calibrate=True).temperatures) == 3
    assert sum(fitted.rule("greedy", calibrate=False).weights) == pytest.approx(1)
