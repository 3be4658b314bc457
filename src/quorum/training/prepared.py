"""A training that is ready to run: everything about it that is fixed before its first epoch, found once.

It is made by `quorum.training.prepare` and handed on: to the check, the schedule, the job and the run. This module
imports no MLflow, since worker processes receive such values.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.pixel_store import PixelStore
from quorum.engine.activations import ActivationStore
from quorum.errors import ModelError
from quorum.models import digest_once
from quorum.shared_folder import SharedFolder


@dataclass(frozen=True)
class WeightsOrigin:
    """A model of ours that weights come from: the URI as it was given, the run that trained it, and its id."""

    uri: str
    run_id: str
    model_id: str


@dataclass(frozen=True)
class FirstWeights:
    """The weights that a training starts from.

    Attributes:
        file: the state file.
        digest: of its content.
        origin: the model of ours that they come from, if it is one.
        folder: where machines that lack the file find it, once this was sent to another process.
    """

    file: Path
    digest: str
    origin: WeightsOrigin | None = None
    folder: SharedFolder | None = None

    def __reduce__(self) -> tuple[type[FirstWeights], tuple[Path, str, WeightsOrigin | None, SharedFolder | None]]:
        """Pickled, the file is put where the other process finds it."""
        if self.folder is not None:
            self.folder.offer({self.file.name: self.file})
        return FirstWeights, (self.file, self.digest, self.origin, self.folder)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Path]:
        """The state file on this machine, for as long as it is read.

        Raises:
            ModelError: where it is no longer what it was when the training was prepared, and where another machine has
                sent it and the storage has lost it.
        """
        there = self.file.is_file()
        if there and digest_once(self.file) == self.digest:
            yield self.file
            return
        if self.folder is None:
            what = "changed" if there else "removed"
            raise ModelError(f"weights: {self.file}: was {what} while it was used", setting="weights")
        with self.folder.reading() as path:
            if path is None:
                raise ModelError(f"weights: {self.folder}: {self.file.name} is not there", setting="weights")
            yield path / self.file.name


@dataclass(frozen=True)
class PreparedTraining:
    """A training with nothing left open.

    Attributes:
        config: resolved settings, seed included.
        weights: that it starts from; None for random ones.
        batches: its data, opened.
        source: where the images come from, for the record.
        numerics: class of the machine that computes it, see `quorum.engine.device.numerics_class`.
        activations: where those of a frozen beginning of the network are kept.
    """

    config: TrialConfig
    weights: FirstWeights | None
    batches: Batches
    source: str
    numerics: str
    activations: ActivationStore | None = None

    @property
    def pixels(self) -> PixelStore:
        """The images that it is evaluated on, with their class names and splits."""
        return self.batches.store

    @property
    def data_digest(self) -> str:
        """Of images, labels and splits; the same for all folds of a trial."""
        return self.pixels.digest

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label."""
        return self.pixels.classes

    @property
    def counts(self) -> Mapping[str, int]:
        """Images in each split."""
        return self.pixels.counts()

    @contextlib.contextmanager
    def first_weights(self) -> Iterator[Path | None]:
        """The file of the weights that it starts from, for as long as it is read; None for random ones."""
        if self.weights is None:
            yield None
            return
        with self.weights.reading() as file:
            yield file

    @property
    def images_per_epoch(self) -> int:
        """Images that an epoch trains on, at the batch size that it begins with."""
        config = self.config
        size = int(config.batch_size)
        return self.batches.images_per_epoch(size, drop_last=config.drop_last, balance=config.balance)

    def with_seed(self, seed: int) -> PreparedTraining:
        """The same trial's training with another seed, and with the fold that this chooses if the trial has folds."""
        batches = self.batches.of_fold(self.config.folds, seed) if self.config.folds else self.batches
        return dataclasses.replace(self, config=self.config.replace(seed=seed), batches=batches)
