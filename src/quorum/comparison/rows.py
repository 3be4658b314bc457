"""The rows of a report: what was published beside what stands in the store."""

from __future__ import annotations

from collections.abc import Sequence

from quorum.comparison.trainings import Trainings
from quorum.comparison.verdicts import Row
from quorum.config import TrialConfig
from quorum.models import architecture, imagenet_file
from quorum.study.model import PublishedRow, Settings
from quorum.study.plan import PlannedTrial
from quorum.study.results import SeedResult
from quorum.sweep.seed_votes import VOTE, SeedVotes


def accuracies(stands: Trainings) -> list[float]:
    """Validation accuracies of the trainings that finished."""
    return [seed.val_accuracy for seed in stands.finished.values() if seed.val_accuracy is not None]


def best_seed(stands: Trainings) -> SeedResult | None:
    """The first of the seeds with the highest validation accuracy; None where none finished."""
    return max(stands.finished.values(), key=lambda seed: seed.val_accuracy or 0.0, default=None)


def trial_row(published: PublishedRow | None, trial: PlannedTrial, stands: Trainings) -> Row:
    """A trial beside what was published for it, if anything was."""
    reasons = [f"seed {seed} failed: {reason}" for seed, reason in sorted(stands.failed.items())]
    tested = [seed.test_accuracy for seed in stands.finished.values() if seed.test_accuracy is not None]
    reason = "; ".join(reasons) if stands.finished or reasons else _why_not(trial.config, stands)
    return _row(published, trial.settings, accuracies(stands), tested, reason)


def vote_row(published: PublishedRow | None, vote: SeedVotes | None, reason: str) -> Row:
    """A study's vote beside what was published for it; with the reason where there is no vote."""
    scores: dict[str, list[float]] = {"val": [], "test": []}
    if vote is not None:
        of = vote.accuracies.groupby("split")[VOTE]
        scores = {split: list(of.get_group(split)) for split in scores}
    return _row(published, {}, scores["val"], scores["test"], reason)


def _row(
    published: PublishedRow | None, settings: Settings, values: Sequence[float], tested: Sequence[float], reason: str
) -> Row:
    return Row(
        id=published.id if published else "",
        settings=settings,
        published=published.val_accuracy if published else None,
        published_std=published.std if published else None,
        published_test=published.test_accuracy if published else None,
        figure=published.figure if published else None,
        values=values,
        test_values=tested,
        reason=reason,
    )


def _why_not(config: TrialConfig, stands: Trainings) -> str:
    """Why there is no finished training of a configuration."""
    if stands.begun:
        return "begun, not finished"
    if config.weights == "imagenet" and not (file := imagenet_file(architecture(config.model))).is_file():
        return f"needs ImageNet weights: {file.name} is not here"
    return "not run yet"
