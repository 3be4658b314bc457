"""The rows of a comparison: what was published beside what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quorum import metric_names
from quorum.comparison.trainings import StoredTrainings
from quorum.comparison.verdicts import NO_NUMBER, NOT_RUN, verdict
from quorum.config import TrialConfig
from quorum.models import architecture, imagenet_file, is_imagenet
from quorum.study.model import PublishedRow
from quorum.study.plan import PlannedTrial
from quorum.summary import Summary, summarize
from quorum.voting.seed_votes import SPLITS, VOTE, SeedVotes

NOTHING = summarize([])


@dataclass(frozen=True)
class Row:
    """A published row, or a trial for which nothing was published, beside what came out.

    Attributes:
        settings: what it varies.
        published: the published row; without numbers where nothing was published.
        ours: our validation accuracy over the seeds.
        test: our test accuracy over the seeds.
        reason: why it was not run, or why seeds of it failed.
    """

    settings: Mapping[str, Any]
    published: PublishedRow = field(default_factory=lambda: PublishedRow(id=""))
    ours: Summary = NOTHING
    test: Summary = NOTHING
    reason: str = ""

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        if self.ours.mean is None:
            return NOT_RUN
        if self.published.val_accuracy is None:
            return NO_NUMBER
        return verdict(self.published.val_accuracy, self.published.std, self.ours)


def trial_row(published: PublishedRow | None, trial: PlannedTrial, stored: StoredTrainings) -> Row:
    """A trial beside what was published for it, if anything was."""
    reasons = [f"seed {seed} failed: {reason}" for seed, reason in sorted(stored.failed.items())]
    reason = "; ".join(reasons) if stored.finished or reasons else _why_not(trial.config, stored)
    test = summarize(stored.values(metric_names.TEST_ACCURACY))
    return Row(trial.settings, published or PublishedRow(id=""), stored.accuracy, test, reason)


def vote_row(published: PublishedRow | None, vote: SeedVotes | None, reason: str) -> Row:
    """A study's vote beside what was published for it; with the reason where there is no vote."""
    ours, test = (vote.of(VOTE, split) if vote else NOTHING for split in SPLITS)
    return Row({}, published or PublishedRow(id=""), ours, test, reason)


def row_data(study: str, table: str, row: Row) -> dict[str, Any]:
    """A row as a JSON value."""
    return {
        "study": study,
        "table": table,
        "id": row.published.id,
        "settings": dict(row.settings),
        "published": row.published.val_accuracy,
        "published_std": row.published.std,
        "mean": row.ours.mean,
        "std": row.ours.std,
        "n": row.ours.n,
        "verdict": row.verdict,
        "reason": row.reason,
    }


def _why_not(config: TrialConfig, stored: StoredTrainings) -> str:
    """Why there is no finished training of a configuration."""
    if stored.begun:
        return "begun, not finished"
    named = is_imagenet(config.weights)
    if named and not (file := imagenet_file(architecture(config.model), config.weights)).is_file():
        return f"needs ImageNet weights: {file.name} is not here"
    return "not run yet"
