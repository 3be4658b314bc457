"""What was measured, epoch by epoch: a mapping of metrics that is passed on to logs and figures, whatever its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from quorum.metric_names import VAL_ACCURACY, split_metric


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: its number, counted from 1.
        values: what was measured, by the names that are tracked: `SPLIT/METRIC`, `lr`, `epoch_seconds` and
            `images_per_second`. Accuracies are fractions. Those of `train` are of the augmented batches while the
            weights changed, as usual.
    """

    epoch: int
    values: Mapping[str, float]

    def of(self, split: str) -> dict[str, float]:
        """The metrics of a split by their own names: `accuracy`."""
        prefix = split_metric(split, "")
        return {name.removeprefix(prefix): value for name, value in self.values.items() if name.startswith(prefix)}


@dataclass
class History:
    """Records of epochs 1, 2, ... in order."""

    records: list[EpochRecord] = field(default_factory=list)

    @property
    def best(self) -> EpochRecord:
        """The first epoch with the highest validation accuracy."""
        return max(self.records, key=lambda record: record.values[VAL_ACCURACY])

    @property
    def last(self) -> EpochRecord:
        """The last epoch."""
        return self.records[-1]

    @property
    def epochs_since_best(self) -> int:
        """Epochs in a row, the last ones, in which the validation accuracy has not become better."""
        return self.last.epoch - self.best.epoch if self.records else 0

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per epoch: `epoch`, and its metrics by the names that are tracked."""
        return [{"epoch": record.epoch, **record.values} for record in self.records]

    @classmethod
    def from_rows(cls, rows: list[dict[str, Any]]) -> Self:
        """The history that `rows` was made from."""
        return cls([EpochRecord(row["epoch"], {k: v for k, v in row.items() if k != "epoch"}) for row in rows])
