"""Results of seeds, trials and stages, and the statistics that everything else takes from here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from quorum.config import TrialConfig
from quorum.study.model import Settings, Stage

T = TypeVar("T")

VAL_ACCURACY = "best/val_accuracy"  # what trials and seeds are ranked by
VAL_LOSS = "best/val_loss"
TEST_ACCURACY = "test/accuracy"
BEST_EPOCH = "best/epoch"


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation of some values.

    Attributes:
        mean: None where there are no values.
        std: with n - 1 in the denominator; None for fewer than two values.
        n: number of values.
    """

    mean: float | None
    std: float | None
    n: int


def summarize(values: Iterable[float]) -> Summary:
    """Mean and sample standard deviation (n - 1) of some values."""
    listed = [float(value) for value in values]
    mean = statistics.fmean(listed) if listed else None
    return Summary(mean, statistics.stdev(listed) if len(listed) > 1 else None, len(listed))


def best_of(items: Iterable[T], value: Callable[[T], float | None]) -> T | None:
    """The first of the items with the highest value. Those whose value is None are left out; None where all are."""
    valued = [(item, found) for item in items if (found := value(item)) is not None]
    return max(valued, key=lambda pair: pair[1])[0] if valued else None


@dataclass(frozen=True)
class SeedResult:
    """One training of a trial.

    Attributes:
        seed: its seed.
        run_id: the run that holds it.
        metrics: its final metrics under the names that are tracked, such as `best/val_accuracy`, `last/val_accuracy`
            and `test/accuracy`; none where it failed.
        reason: why it failed, or "".
        reused: whether it had been trained before this sweep.
        shared_epochs: number of its first epochs that another training of its sweep has trained.
    """

    seed: int
    run_id: str
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    reason: str = ""
    reused: bool = False
    shared_epochs: int = 0

    @property
    def val_accuracy(self) -> float | None:
        """Validation accuracy of the best epoch, a fraction; None where it failed."""
        return self.metrics.get(VAL_ACCURACY)

    @property
    def val_loss(self) -> float | None:
        """Validation loss of the best epoch; None where it failed."""
        return self.metrics.get(VAL_LOSS)

    @property
    def test_accuracy(self) -> float | None:
        """Test accuracy of the best epoch's weights, a fraction; None where it failed."""
        return self.metrics.get(TEST_ACCURACY)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best validation accuracy, counted from 1; None where it failed."""
        return None if (epoch := self.metrics.get(BEST_EPOCH)) is None else int(epoch)


@dataclass(frozen=True)
class TrialRequest:
    """A trial to be run.

    Attributes:
        stage: name of its stage.
        number: its number there, from 0: of a grid the place in the file's order, of a search the turn.
        settings: what it varies.
        config: all its settings but the seed.
    """

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

    def of(self, metric: str) -> Summary:
        """Mean and std of a metric, by its tracked name, over the seeds that finished."""
        return summarize(seed.metrics[metric] for seed in self.seeds if metric in seed.metrics)

    @property
    def best_seed(self) -> SeedResult:
        """The first of the seeds with the highest validation accuracy; the first of all where none finished."""
        return best_of(self.seeds, lambda seed: seed.val_accuracy) or self.seeds[0]


@dataclass(frozen=True)
class StageResult:
    """A stage's trials in the order of the file (or, of a search, in the order in which they were tried)."""

    stage: Stage
    trials: tuple[TrialResult, ...]

    @property
    def best(self) -> TrialResult | None:
        """The first of the trials with the highest mean validation accuracy among those that did not fail."""
        return best_of((trial for trial in self.trials if not trial.failed), lambda trial: trial.of(VAL_ACCURACY).mean)
