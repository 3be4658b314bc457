"""What was measured, epoch by epoch: a mapping of metrics that is passed on to logs and figures, whatever its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

LR, EPOCH_SECONDS, IMAGES_PER_SECOND = "lr", "epoch_seconds", "images_per_second"
SPLITS = ("train", "val")  # that an epoch measures


def metric_name(split: str, metric: str) -> str:
    """The name that a metric of a split is tracked by: `val/accuracy`."""
    return f"{split}/{metric}"


def is_epoch_metric(name: str) -> bool:
    """Whether a tracked metric is one that every epoch has, rather than one of a whole training."""
    return name in (LR, EPOCH_SECONDS, IMAGES_PER_SECOND) or name.partition("/")[0] in SPLITS


RANKED_BY = metric_name("val", "accuracy")  # what the best epoch is best at


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
        prefix = metric_name(split, "")
        return {name.removeprefix(prefix): value for name, value in self.values.items() if name.startswith(prefix)}


@dataclass
class History:
    """Records of epochs 1, 2, ... in order."""

    records: list[EpochRecord] = field(default_factory=list)

    @property
    def best(self) -> EpochRecord:
        """The first epoch with the highest validation accuracy."""
        return max(self.records, key=lambda record: record.values[RANKED_BY])

    @property
    def last(self) -> EpochRecord:
        """The last epoch."""
        return self.records[-1]

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per epoch: `epoch`, and its metrics by the names that are tracked."""
        return [{"epoch": record.epoch, **record.values} for record in self.records]

    @classmethod
    def from_rows(cls, rows: list[dict[str, Any]]) -> Self:
        """The history that `rows` was made from."""
        return cls([EpochRecord(row["epoch"], {k: v for k, v in row.items() if k != "epoch"}) for row in rows])
