"""Results of seeds, trials and stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quorum.config import TrialConfig
from quorum.inference import not_told_from_best
from quorum.metric_names import BEST_EPOCH, BEST_VAL_ACCURACY, BEST_VAL_LOSS, LAST_EPOCH, TEST_ACCURACY
from quorum.study.model import Stage
from quorum.study.values import Settings
from quorum.summary import Summary, best_of, summarize


@dataclass(frozen=True)
class SeedResult:
    """One training of a trial.

    Attributes:
        seed: its seed.
        run_id: the run that holds it.
        metrics: its final metrics under the names that are tracked, such as `best/val_accuracy`, `last/val_accuracy`
            and `test/accuracy`; where it failed, `last/epoch` alone.
        reason: why it failed, or "".
        reused: whether it had been trained before this sweep, or for another trial of it.
        source: run of the sweep (or of the single training) that trained it, where it is reused; else "".
        shared_epochs: number of its first epochs that another training of its sweep has trained.
        elsewhere: class of the machine that computed it, where that is another than the sweep's; else "".
    """

    seed: int
    run_id: str
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    reason: str = ""
    reused: bool = False
    source: str = ""
    shared_epochs: int = 0
    elsewhere: str = ""

    @property
    def val_accuracy(self) -> float | None:
        """Validation accuracy of the best epoch, a fraction; None where it failed."""
        return self.metrics.get(BEST_VAL_ACCURACY)

    @property
    def val_loss(self) -> float | None:
        """Validation loss of the best epoch; None where it failed."""
        return self.metrics.get(BEST_VAL_LOSS)

    @property
    def test_accuracy(self) -> float | None:
        """Test accuracy of the best epoch's weights, a fraction; None where it failed."""
        return self.metrics.get(TEST_ACCURACY)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best validation accuracy, counted from 1; None where it failed."""
        return None if (epoch := self.metrics.get(BEST_EPOCH)) is None else int(epoch)

    @property
    def last_epoch(self) -> int | None:
        """The last epoch that was trained, where early stopping or a failure may have ended it; None where that is
        not known."""
        return None if (epoch := self.metrics.get(LAST_EPOCH)) is None else int(epoch)


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
        return best_seed(self.seeds) or self.seeds[0]


@dataclass(frozen=True)
class StageResult:
    """A stage's trials in the order of the file (or, of a search, in the order in which they were tried).

    Attributes:
        stage: of the study.
        trials: that were run.
        metric: by which they are ranked: the study's validation accuracy.
        importances: of what a search varied: which share of the variance of the metric each setting explains, the
            largest first; none where that cannot be told.
    """

    stage: Stage
    trials: tuple[TrialResult, ...]
    metric: str = BEST_VAL_ACCURACY
    importances: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def best(self) -> TrialResult | None:
        """The first of the trials with the highest mean validation accuracy among those that did not fail."""
        return next(iter(rank(self.trials, self.metric)), None)

    @property
    def near_best(self) -> set[int]:
        """Numbers of the trials that cannot be told from the best, paired by seed, itself included."""
        values = {
            str(place): {seed.seed: seed.metrics[self.metric] for seed in trial.seeds if self.metric in seed.metrics}
            for place, trial in enumerate(self.trials)
            if not trial.failed
        }
        return {int(place) for place in not_told_from_best(values)}


COLLAPSE = 0.05  # of an accuracy


def collapsed(best: Summary, last: Summary) -> bool:
    """Whether the accuracy of the last epoch is far below that of the best."""
    return best.mean is not None and last.mean is not None and best.mean - last.mean > COLLAPSE


def best_seed(seeds: Iterable[SeedResult]) -> SeedResult | None:
    """The first of the seeds with the highest validation accuracy; None where none finished."""
    return best_of(seeds, lambda seed: seed.val_accuracy)


def rank(trials: Iterable[TrialResult], metric: str = BEST_VAL_ACCURACY) -> Sequence[TrialResult]:
    """Trials by their mean of a metric, best first (the earlier of equals), without those that failed."""
    finished = [(trial, trial.of(metric).mean) for trial in trials if not trial.failed]
    ranked = sorted(((trial, mean) for trial, mean in finished if mean is not None), key=lambda pair: -pair[1])
    return [trial for trial, _ in ranked]
