"""What a sweep cost: epochs that were trained, and those that did not have to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from quorum.study.results import StageResult


@dataclass(frozen=True)
class Cost:
    """Epochs of all finished trainings of a sweep.

    Attributes:
        written: as if every training had been done by itself, as far as early stopping let it.
        trained: that this sweep has trained.
        shared: that a training took over from another one of this sweep, whose beginning is the same.
        reused: of trainings that are linked, since they had been done before.
        peak_bytes: of disk for states that were kept to be shared, at most at one time.
    """

    written: int
    trained: int
    shared: int
    reused: int
    peak_bytes: int

    @classmethod
    def of(cls, results: Sequence[StageResult], peak_bytes: int) -> Self:
        """Add up the finished trainings of stages."""
        done = [
            (seed.last_epoch or trial.request.config.epochs, seed)
            for result in results
            for trial in result.trials
            for seed in trial.seeds
            if not seed.reason
        ]
        written = sum(epochs for epochs, _ in done)
        reused = sum(epochs for epochs, seed in done if seed.reused)
        shared = sum(seed.shared_epochs for _, seed in done if not seed.reused)
        return cls(written, written - reused - shared, shared, reused, peak_bytes)

    def metrics(self) -> dict[str, float]:
        """The figures under the names that are tracked."""
        counts = {f"epochs_{name}": getattr(self, name) for name in ("written", "trained", "shared", "reused")}
        return {**counts, "kept_states_peak_gb": self.peak_bytes / 1e9}

    def data(self) -> dict[str, Any]:
        """The figures as a JSON value."""
        counts = {name: getattr(self, name) for name in ("written", "trained", "shared", "reused")}
        return {"epochs": counts, "kept_states_peak_bytes": self.peak_bytes}

    def __str__(self) -> str:
        disk = f"; {self.peak_bytes / 1e9:.2g} GB of disk at most for shared states" if self.peak_bytes else ""
        return (
            f"{self.written:,} epochs as written: {self.trained:,} trained, {self.shared:,} shared with another "
            f"training of this sweep, {self.reused:,} reused from finished ones{disk}."
        )
