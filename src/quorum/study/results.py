"""What came out of seeds, trials and stages."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from quorum.config import TrialConfig
from quorum.study.model import Settings, Stage


@dataclass(frozen=True)
class SeedResult:
    """One training of a trial.

    Attributes:
        seed: its seed.
        run_id: the run that holds it.
        val_accuracy, test_accuracy, val_loss: of the best epoch's weights; None where it failed.
        best_epoch: that epoch, counted from 1.
        reason: why it failed, or "".
        reused: whether it had been trained before this sweep.
        shared_epochs: epochs at its beginning that another training of its sweep has trained.
    """

    seed: int
    run_id: str
    val_accuracy: float | None = None
    test_accuracy: float | None = None
    val_loss: float | None = None
    best_epoch: int | None = None
    reason: str = ""
    reused: bool = False
    shared_epochs: int = 0


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (n - 1; None for fewer than two values) and number of values."""

    mean: float | None
    std: float | None
    n: int


def spread(values: list[float]) -> Spread:
    """Mean and sample standard deviation of some values."""
    return Spread(
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
        len(values),
    )


@dataclass(frozen=True)
class TrialRequest:
    """A trial to be run: its stage, its number there, what it varies, and all its settings but the seed."""

    stage: str
    number: int
    settings: Settings
    config: TrialConfig


@dataclass(frozen=True)
class TrialResult:
    """A trial that was run over all its seeds."""

    request: TrialRequest
    run_id: str
    seeds: tuple[SeedResult, ...]

    @property
    def failed(self) -> bool:
        """Whether any of its seeds failed; such a trial is never chosen."""
        return any(seed.reason for seed in self.seeds)

    def of(self, measure: str) -> Spread:
        """Spread of a measure (`val_accuracy`, `test_accuracy`, `val_loss`) over the seeds that finished."""
        return spread([value for seed in self.seeds if (value := getattr(seed, measure)) is not None])

    @property
    def best_seed(self) -> SeedResult:
        """The first of the seeds with the highest validation accuracy."""
        return max(self.seeds, key=lambda seed: -1.0 if seed.val_accuracy is None else seed.val_accuracy)


@dataclass(frozen=True)
class StageResult:
    """A stage's trials in the order of the file (or, of a search, in the order they were tried)."""

    stage: Stage
    trials: tuple[TrialResult, ...]

    @property
    def best(self) -> TrialResult | None:
        """The first of the trials with the highest mean validation accuracy among those that did not fail."""
        return max(
            (trial for trial in self.trials if not trial.failed),
            key=lambda trial: trial.of("val_accuracy").mean or 0.0,
            default=None,
        )
