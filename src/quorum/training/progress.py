"""Progress on standard error: a plain line an epoch, and on a terminal a bar below the lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from tqdm.auto import tqdm

from quorum.console import duration, interactive, say
from quorum.engine.history import EpochRecord
from quorum.engine.training import Progress
from quorum.metric_names import IMAGES_PER_SECOND
from quorum.tracking.run_log import RunLog
from quorum.training.job import Job


class TrainingProgress:
    """Shows a training and logs its epochs."""

    def __init__(self, job: Job, log: RunLog, name: str = "", time_left: Callable[[], str] | None = None) -> None:
        """The progress of a training that begins.

        Args:
            job: the training.
            log: its run.
            name: what it is called; by default the job's name.
            time_left: says how long all is going to take, where the training is one of several.
        """
        self.name, self.epochs, self.log = name or job.name, job.prepared.config.epochs, log
        self.time_left = time_left or self._time_left
        self.images_per_epoch = job.prepared.images_per_epoch
        self.started = time.perf_counter()
        self.epoch = self.restored = 0  # epochs that are done, and those of them that were not trained now
        self.bar = tqdm(
            total=self.epochs * self.images_per_epoch,
            unit=" images",
            dynamic_ncols=True,
            file=sys.stderr,
            disable=not interactive(),
            leave=False,
        )
        self._show_epoch()

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
        self.epoch = self.restored = len(records)
        self.bar.initial = self.bar.n = self.restored * self.images_per_epoch
        self._show_epoch()

    def on_epoch(self, record: EpochRecord) -> None:
        """Log an epoch and show its figures."""
        self.log.epoch(record)
        self.epoch = record.epoch
        trained, validated = record.of("train"), record.of("val")
        say(
            f"{self.name}: epoch {record.epoch} of {self.epochs}, "
            f"loss {trained['loss']:.3f}, accuracy {trained['accuracy']:.3f}, "
            f"val loss {validated['loss']:.3f}, val accuracy {validated['accuracy']:.3f}, "
            f"{record.values[IMAGES_PER_SECOND]:.0f} images/s, {self.time_left()}"
        )
        self.bar.n = record.epoch * self.images_per_epoch
        self._show_epoch()

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()

    def _show_epoch(self) -> None:
        if not self.bar.disable:
            self.bar.set_description(f"{self.name}, epoch {min(self.epoch + 1, self.epochs)} of {self.epochs}")

    def _time_left(self) -> str:
        done = self.epoch - self.restored
        return f"{duration((time.perf_counter() - self.started) / done * (self.epochs - self.epoch))} left"
