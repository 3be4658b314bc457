"""Progress on standard error: a bar on a terminal, a plain line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tqdm.auto import tqdm

from quorum.console import interactive, say
from quorum.engine.history import EpochRecord
from quorum.engine.training import Progress
from quorum.metric_names import IMAGES_PER_SECOND
from quorum.tracking.run_log import RunLog
from quorum.training.job import Job


class TrainingProgress:
    """Shows a training and logs its epochs."""

    def __init__(self, job: Job, log: RunLog) -> None:
        self.name, self.epochs, self.log = job.name, job.prepared.config.epochs, log
        self.images_per_epoch = job.prepared.images_per_epoch
        self.started = time.perf_counter()
        self.restored = 0  # epochs that were not trained now
        self.bar = tqdm(
            total=self.epochs * self.images_per_epoch,
            desc=self.name,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            file=sys.stderr,
            disable=not interactive(),
            leave=False,
        )

    def on_batch(self, images: int) -> None:
        """Advance the bar."""
        self.bar.update(images)

    def on_progress(self, progress: Progress) -> None:
        """Log and show the epochs of a training that were just trained or restored."""
        if progress.restored:
            self.on_restored(progress.records)
        else:
            self.on_epoch(progress.records[-1])

    def on_restored(self, records: Sequence[EpochRecord]) -> None:
        """Log the epochs that need not be trained, unless the run has them."""
        self.log.epochs(records)
        self.restored = len(records)
        self.bar.initial = self.bar.n = self.restored * self.images_per_epoch

    def on_epoch(self, record: EpochRecord) -> None:
        """Log an epoch and show its figures."""
        self.log.epoch(record)
        trained, validated = record.of("train"), record.of("val")
        figures = (
            f"loss {trained['loss']:.3f}, accuracy {trained['accuracy']:.3f}, "
            f"val loss {validated['loss']:.3f}, val accuracy {validated['accuracy']:.3f}"
        )
        if not self.bar.disable:
            self.bar.n = record.epoch * self.images_per_epoch
            self.bar.set_postfix_str(figures)
            return
        done = record.epoch - self.restored
        left = (time.perf_counter() - self.started) / done * (self.epochs - record.epoch)
        say(
            f"{self.name}: epoch {record.epoch}/{self.epochs}, {figures}, "
            f"{record.values[IMAGES_PER_SECOND]:.0f} images/s, {_duration(left)} left"
        )

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
