"""What training and prediction need before they start: the device, the pixels, a lock."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from PIL import Image

from quorum.commands.options import ComputeOptions, DataOptions
from quorum.commands.progress import say, store_progress
from quorum.config import TrialConfig
from quorum.data import Catalogue, dataset, load_catalogue
from quorum.data.batches import Batches
from quorum.data.store import PixelStore, open_store
from quorum.engine.device import resolve_device, set_up
from quorum.ensemble.classifier import preprocess_of
from quorum.errors import QuorumError


@dataclass
class Data:
    """One data set on disk: its list of images, and its pixel stores as they are asked for.

    Attributes:
        options: where it is and where its stores go.
        catalogue: the list.
    """

    options: DataOptions
    catalogue: Catalogue
    _opened: dict[int, PixelStore] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the images come from, for the record."""
        if not dataset(self.catalogue.name).needs_folder:
            return "sklearn.datasets.load_digits"
        return str((self.options.path or self.options.data_dir / self.catalogue.name).resolve())

    def pixels(self, resize: int = 0) -> PixelStore:
        """The pixel store, with images resized where their sizes differ. Images of one size are stored as they are and
        resized batch by batch, which keeps the store small where they grow."""
        return self._open(0 if dataset(self.catalogue.name).one_size else resize)

    def batches(self, config: TrialConfig, device: torch.device) -> Batches:
        """Batches for resolved settings."""
        preprocess = preprocess_of(config)
        assert isinstance(config.resize, int), "settings are not resolved"
        return Batches(self.pixels(preprocess.resize), preprocess, device, self.pixels(config.resize), config.resize)

    def _open(self, resize: int) -> PixelStore:
        if resize not in self._opened:
            bar, advance = store_progress(self.catalogue.name)
            with contextlib.closing(bar):
                self._opened[resize] = open_store(
                    self.catalogue,
                    self.options.work_dir / "pixels",
                    resize=resize,
                    skip_bad=self.options.skip_bad,
                    progress=advance,
                )
            if skipped := len(self._opened[resize].skipped):
                say(f"{self.catalogue.name}: {skipped} unreadable images are left out")
        return self._opened[resize]


def load_data(options: DataOptions, name: str, split_seed: int) -> Data:
    """The data set that the options name. Raises DataError where it is missing."""
    return Data(options, load_catalogue(name, options.data_dir, options.path, split_seed))


def use_device(options: ComputeOptions) -> torch.device:
    """The device to compute on, with torch's threads set. Raises ConfigError for one that is not there."""
    set_up(options.threads)
    return resolve_device(options.device)


@contextlib.contextmanager
def exclusively(work_dir: Path, key: str, what: str) -> Iterator[None]:
    """Hold the lock of a piece of work, so that it is done by one process. It ends with the process, however it ends.

    Raises:
        QuorumError: where another process holds it.
    """
    folder = work_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise QuorumError(f"this {what} is being worked on by another process") from error
    try:
        yield
    finally:
        lock.release()


def example_image(pixels: PixelStore) -> bytes:
    """The first test image, encoded as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.image(int(pixels.splits["test"][0]))).save(buffer, "PNG")
    return buffer.getvalue()
