"""What a sweep cost: epochs that were trained, and those that did not have to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from quorum.study.results import SeedResult, StageResult

COUNTS = ("written", "trained", "shared", "reused", "spared")


@dataclass(frozen=True)
class Cost:
    """Epochs of all trainings of a sweep, those that failed among them. The first is the sum of the others.

    Attributes:
        written: as the study's file has them, every training done by itself.
        trained: that this sweep has trained.
        shared: that a training took over from another one of this sweep, whose beginning is the same.
        reused: of trainings that are linked, since they had been done before.
        spared: after the ends of trainings that stopped early or failed.
        peak_bytes: of disk for states that were kept to be shared, at most at one time.
    """

    written: int
    trained: int
    shared: int
    reused: int
    spared: int
    peak_bytes: int

    @classmethod
    def of(cls, results: Sequence[StageResult], peak_bytes: int) -> Self:
        """Add up the trainings of stages."""
        seeds = [
            (trial.request.config.epochs, seed) for result in results for trial in result.trials for seed in trial.seeds
        ]
        done = [(_done(epochs, seed), seed) for epochs, seed in seeds]
        written = sum(epochs for epochs, _ in seeds)
        reused = sum(epochs for epochs, seed in done if seed.reused)
        shared = sum(seed.shared_epochs for _, seed in done if not seed.reused)
        trained = sum(epochs for epochs, seed in done if not seed.reused) - shared
        return cls(written, trained, shared, reused, written - trained - shared - reused, peak_bytes)

    def metrics(self) -> dict[str, float]:
        """The figures under the names that are tracked."""
        counts = {f"epochs_{name}": getattr(self, name) for name in COUNTS}
        return {**counts, "kept_states_peak_gb": self.peak_bytes / 1e9}

    def data(self) -> dict[str, Any]:
        """The figures as a JSON value."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return {"epochs": counts, "kept_states_peak_bytes": self.peak_bytes}

    def __str__(self) -> str:
        spared = f", {self.spared:,} spared by trainings that stopped early or failed" if self.spared else ""
        disk = f"; {self.peak_bytes / 1e9:.2g} GB of disk at most for shared states" if self.peak_bytes else ""
        return (
            f"{self.written:,} epochs written: {self.trained:,} trained, {self.shared:,} shared with another "
            f"training of this sweep, {self.reused:,} reused from finished ones{spared}{disk}."
        )


def _done(epochs: int, seed: SeedResult) -> int:
    """How many of its epochs a training has done."""
    if seed.last_epoch is not None:
        return seed.last_epoch
    return 0 if seed.reason else epochs
