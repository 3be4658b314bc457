"""The files that a vote leaves in its run: predictions, their audit, figures, and the page that shows all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from quorum.data.images import Pixels
from quorum.reporting import figures, pages, tables
from quorum.reporting.pages import Block
from quorum.tracking import schema
from quorum.voting import audit
from quorum.voting.predict import VoteOutcome
from quorum.voting.seed_votes import in_turn

FILE = "report.html"  # the page, among its files
LISTED = 25  # images in each list of the page
PICTURES = 24  # images that are shown

CALIBRATION_NOTE = (
    "ece: expected calibration error over 15 bins; nll: negative log-likelihood, nats; brier: Brier score, 0 to 2. All "
    "are better when lower. The vote's probabilities are the mean of its members'. Dots of the figure are as large as "
    "the bin has images."
)
RULES_NOTE = (
    "The same members under all rules. Temperatures and weights were fitted on the validation images; a rule that is "
    "chosen by this table is chosen on the test images."
)


@dataclass(frozen=True)
class VotePage:
    """What there is to say of a vote.

    Attributes:
        title: of the page.
        facts: short lines by name.
        outcome: the vote.
        scores: accuracies of members and vote; None for unlabeled images, as is `rules`.
        rules: all voting rules on the same images; None too where nothing could be fitted.
        picture: the pixels of an image by its place.
    """

    title: str
    facts: Mapping[str, str]
    outcome: VoteOutcome
    scores: pd.DataFrame | None
    rules: pd.DataFrame | None
    picture: Callable[[int], Pixels]

    def write(self, folder: Path) -> None:
        """Write all files into a folder."""
        outcome = self.outcome
        frame = outcome.frame()
        tables.no_formulas(frame).to_csv(folder / schema.PREDICTIONS, index=False, float_format="%.6f")
        blocks = [*self._audit(folder)] if outcome.labels is not None else []
        blocks += [self._discordant(frame, folder), _least_agreed(frame)]
        page = pages.vote_page(self.title, self.facts, outcome.rule.text, blocks)
        (folder / FILE).write_text(page)

    def _audit(self, folder: Path) -> Sequence[Block]:
        """What is known where the classes are."""
        outcome, scores, rules = self.outcome, self.scores, self.rules
        assert scores is not None
        scores.to_csv(folder / "scores.csv", index=False)
        names = ("confusion_matrices", "reliability", "accuracy_coverage")
        confusion, reliability, coverage = (folder / f"{name}.png" for name in names)
        figures.save(figures.confusion(_confusions(outcome)), confusion)
        figures.save(figures.reliability(audit.reliabilities(outcome), "Accuracy by confidence"), reliability)
        curves = audit.coverages(outcome)
        figures.save(figures.accuracy_coverage(curves, "The surest images first"), coverage)
        joined = pd.concat([curve.assign(by=name) for name, curve in curves.items()])
        joined[["by", "coverage", "accuracy", "bound"]].to_csv(folder / "accuracy_coverage.csv", index=False)
        rows = [{"": name, **asdict(found)} for name, found in audit.calibrations(outcome).items()]
        calibration = pd.DataFrame(rows)
        calibration.to_csv(folder / "calibration.csv", index=False)
        if rules is not None:
            rules.to_csv(folder / "rules.csv", index=False)
        return [
            Block("Members and vote", mcnemar_line(outcome), scores, total=True),
            Block(
                "Confusion matrices: the best member and the vote",
                figure=confusion,
                alt="Confusion matrices of the best member and of the vote, side by side",
            ),
            Block("Voting rules", RULES_NOTE, rules),
            Block(
                "Calibration",
                CALIBRATION_NOTE,
                calibration,
                total=True,
                figure=reliability,
                alt="Accuracy by confidence of each member and of the vote",
            ),
            Block(
                "Accuracy and coverage",
                "Where the least sure images are left undecided: abstain= sets the bound.",
                figure=coverage,
                alt="Accuracy on the surest images by their share of all",
            ),
        ]

    def _discordant(self, frame: pd.DataFrame, folder: Path) -> Block:
        """The images that the vote or the best member alone has right, with their pictures."""
        outcome = self.outcome
        places, best = audit.discordant(outcome), f"{outcome.members[0]} vote"
        known = ["true"] if outcome.labels is not None else []
        listed = frame.iloc[places][["file", *known, "label", best, "agreement"]]
        tables.no_formulas(listed).to_csv(folder / "discordant.csv", index=False)
        heading = "Where the vote and the best member differ"
        if listed.empty:
            return Block(heading)
        file = folder / "discordant.png"
        shown = in_turn(listed, "true" if known else "label").head(PICTURES)
        images = [self.picture(int(place)) for place in shown.index]
        captions = shown[[*known, "label", best]].rename(columns={"label": "vote", best: "best"})
        figures.save(figures.pictures(images, captions, f"{len(images)} of {len(listed):,} images"), file)
        what = "of which one of the two is right" if known else "on which they differ"
        return Block(
            heading,
            f"{len(listed):,} image{'s' * (len(listed) != 1)} {what}; all of them are in discordant.csv.",
            listed.head(LISTED),
            figure=file,
            alt="Pictures on which the vote and the best member differ, with both answers",
        )


def mcnemar_line(outcome: VoteOutcome) -> str:
    """McNemar's test of the vote against its best member, on one line."""
    test = audit.against_best(outcome)
    return (
        f"The vote alone is right on {test.only_first} images, {outcome.members[0]} alone on {test.only_second}; "
        f"McNemar's exact test: p = {test.p:.3g}."
    )


def _least_agreed(frame: pd.DataFrame) -> Block:
    least = frame[frame["agreement"] < 1].sort_values("agreement", kind="stable").head(LISTED)
    return Block("Where the members agreed least", table=least)


def _confusions(outcome: VoteOutcome) -> dict[str, pd.DataFrame]:
    """Confusion matrices of the best member (as it was promoted, not as it does here) and of the vote, by title. The
    vote's counts undecided images as it would have decided."""
    assert outcome.labels is not None
    right = outcome.right
    shown = {
        f"{outcome.members[0]}: {right[0].mean():.4f}": outcome.decision.votes[0],
        f"vote: {right[-1].mean():.4f}": outcome.decision.labels,
    }
    return {title: tables.confusion_table(outcome.labels, p, outcome.classes) for title, p in shown.items()}
