"""What was measured, epoch by epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Accuracies are fractions; losses are mean cross-entropies in nats.

    Train figures are those of the augmented batches while the weights changed, as usual.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    epoch_seconds: float
    images_per_second: float

    def metrics(self) -> dict[str, float]:
        """The figures under the names that are tracked."""
        return {
            "train/loss": self.train_loss,
            "train/accuracy": self.train_accuracy,
            "val/loss": self.val_loss,
            "val/accuracy": self.val_accuracy,
            "lr": self.lr,
            "epoch_seconds": self.epoch_seconds,
            "images_per_second": self.images_per_second,
        }


@dataclass
class History:
    """Records of epochs 1, 2, ... in order."""

    records: list[EpochRecord] = field(default_factory=list)

    @property
    def best(self) -> EpochRecord:
        """The first epoch with the highest validation accuracy."""
        return max(self.records, key=lambda record: record.val_accuracy)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per epoch."""
        return [asdict(record) for record in self.records]

    @classmethod
    def from_rows(cls, rows: list[dict[str, Any]]) -> Self:
        """The history that `rows` was made from."""
        names = [f.name for f in fields(EpochRecord)]
        return cls([EpochRecord(**{name: row[name] for name in names}) for row in rows])
