"""The rows of a comparison: what was published beside what is stored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quorum import metric_names
from quorum.comparison.trainings import Origin, StoredTrainings
from quorum.comparison.verdicts import (
    FAILED,
    MARGIN,
    NO_NUMBER,
    NOT_RUN,
    Verdict,
    failing,
    is_known,
    seeds_that_settle,
    verdict,
)
from quorum.config import TrialConfig
from quorum.inference import Interval, mean_interval, two_way_interval
from quorum.models import architecture, imagenet_file, is_imagenet
from quorum.study.model import PublishedRow, Study
from quorum.study.plan import PlannedTrial
from quorum.study.results import collapsed
from quorum.summary import Summary, summarize
from quorum.voting.seed_votes import SPLITS, VOTE, SeedVotes

NOTHING = summarize([])


@dataclass(frozen=True)
class Row:
    """A published row, or a trial for which nothing was published, beside what came out.

    Attributes:
        settings: what it varies.
        published: the published row; without numbers where nothing was published.
        ours: our validation accuracy over the seeds, of the epoch that the study is about.
        best, last: the same of the best and of the last epoch.
        test: our test accuracy over the seeds.
        test_interval: its 95% interval over seeds and images, where it is of the best epochs.
        failed: number of seeds that diverged.
        not_learned: number of seeds that diverged or stayed below the row's `fails_below`.
        near_best: whether it cannot be told from the best of its table.
        margin: of equivalence.
        origin: code, data and class of machine that our trainings have in common; None for a vote's.
        reason: why it was not run, why seeds of it failed, what was left out.
    """

    settings: Mapping[str, Any]
    published: PublishedRow = field(default_factory=lambda: PublishedRow(id=""))
    ours: Summary = NOTHING
    best: Summary = NOTHING
    last: Summary = NOTHING
    test: Summary = NOTHING
    test_interval: Interval | None = None
    failed: int = 0
    not_learned: int = 0
    near_best: bool = False
    margin: float = MARGIN
    origin: Origin | None = None
    reason: str = ""

    @property
    def judged(self) -> Verdict:
        """The verdict on the validation accuracy."""
        seeds = self.ours.n + self.failed
        if seeds == 0:
            return Verdict(NOT_RUN)
        if self.published.fails_below is not None:
            return failing(self.not_learned, seeds)
        if self.ours.mean is None:
            return Verdict(FAILED)
        if self.published.val_accuracy is None:
            return Verdict(NO_NUMBER)
        return verdict(self.published.val, self.ours, self.margin, failed=self.failed > 0)

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        return self.judged.word

    @property
    def test_judged(self) -> Verdict | None:
        """The verdict on the test accuracy; None where none was published or nothing was run."""
        if self.published.test_accuracy is None or self.test.mean is None:
            return None
        return verdict(Summary(self.published.test_accuracy, None, 1), self.test, self.margin, failed=self.failed > 0)

    @property
    def seeds_that_settle(self) -> int | None:
        """The number of seeds that would probably settle an inconclusive row; None where none up to 100 would, as where
        one failed."""
        if self.failed and self.published.fails_below is None:
            return None
        return seeds_that_settle(self.published.val, self.ours, self.margin)

    @property
    def interval(self) -> Interval | None:
        """The 95% interval of our mean."""
        found = mean_interval(self.ours)
        return found if is_known(found) else None

    @property
    def collapsed(self) -> bool:
        """Whether our last epoch is far below our best."""
        return collapsed(self.best, self.last)


def trial_row(
    published: PublishedRow | None, trial: PlannedTrial, stored: StoredTrainings, study: Study, notes: str = ""
) -> Row:
    """A trial beside what was published for it, if anything was.

    Args:
        published: the published row.
        trial: ours.
        stored: its trainings.
        study: says which epoch is meant, and the margin.
        notes: what else is to be said of it.
    """
    reasons = [f"seed {seed} failed: {reason}" for seed, reason in sorted(stored.failed.items())]
    if not stored.finished and not reasons:
        reasons = [_why_not(trial.config, stored)]
    reasons += [f"seed {seed} ended with an error: {reason}" for seed, reason in sorted(stored.ended.items())]
    row = published or PublishedRow(id="")
    bound = row.fails_below
    below = 0 if bound is None else sum(value < bound for value in stored.values(study.metric))
    return Row(
        settings=trial.settings,
        published=row,
        ours=stored.of(study.metric),
        best=stored.of(metric_names.BEST_VAL_ACCURACY),
        last=stored.of(metric_names.LAST_VAL_ACCURACY),
        test=stored.of(study.test_metric),
        failed=len(stored.failed),
        not_learned=below + len(stored.failed),
        margin=study.margin,
        origin=stored.origin if stored.finished or stored.failed else None,
        reason="; ".join(part for part in (*reasons, notes) if part),
    )


def vote_row(published: PublishedRow | None, vote: SeedVotes | None, reason: str, margin: float = MARGIN) -> Row:
    """A study's vote beside what was published for it; with the reason where there is no vote."""
    ours, test = (vote.of(VOTE, split) if vote else NOTHING for split in SPLITS)
    interval = two_way_interval(vote.test_right) if vote else None
    return Row(
        {}, published or PublishedRow(id=""), ours, test=test, test_interval=interval, margin=margin, reason=reason
    )


def row_data(study: str, table: str, row: Row) -> dict[str, Any]:
    """A row as a JSON value."""
    judged, tested = row.judged, row.test_judged
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
        "failed": row.failed,
        "best_mean": row.best.mean,
        "last_mean": row.last.mean,
        "collapsed": row.collapsed,
        "interval": _ends(row.interval),
        "difference_interval": _ends(judged.interval),
        "verdict": judged.word,
        "seeds_that_settle": row.seeds_that_settle if judged.word == "inconclusive" else None,
        "near_best": row.near_best,
        "published_test": row.published.test_accuracy,
        "test_mean": row.test.mean,
        "test_std": row.test.std,
        "test_interval": _ends(row.test_interval),
        "test_verdict": tested.word if tested else None,
        "code_version": row.origin.code_version if row.origin else None,
        "numerics": row.origin.numerics if row.origin else None,
        "reason": row.reason,
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None or not math.isfinite(interval.low) else list(dataclasses.astuple(interval))


def _why_not(config: TrialConfig, stored: StoredTrainings) -> str:
    """Why there is no finished training of a configuration."""
    if stored.begun:
        return "begun, not finished"
    named = is_imagenet(config.weights)
    if named and not (file := imagenet_file(architecture(config.model), config.weights)).is_file():
        return f"needs ImageNet weights: {file.name} is not here"
    return "not run yet"
