"""What training and prediction need before they start: the device, the pixels, and settings with no `auto` left."""

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
from quorum.config import AUTO, TrialConfig
from quorum.data import Catalogue, dataset, load_catalogue
from quorum.data.batches import Batches, policy
from quorum.data.store import PixelStore, open_store
from quorum.engine.device import resolve_device, resolve_precision
from quorum.ensemble.classifier import WEIGHTS, preprocess_of
from quorum.errors import ModelError, QuorumError
from quorum.models import architecture, check_input, fetch_imagenet, file_digest
from quorum.tracking.models import fetch_bundles
from quorum.tracking.store import Store


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
        return Batches(self.pixels(preprocess.resize), preprocess, device)

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
    if options.threads:
        torch.set_num_threads(options.threads)
    return resolve_device(options.device)


@dataclass(frozen=True)
class Resolved:
    """Settings with nothing left open.

    Attributes:
        config: the settings.
        weights: file of the first weights, or None.
    """

    config: TrialConfig
    weights: Path | None


def resolve(config: TrialConfig, device: torch.device, store: Store) -> Resolved:
    """Put a value in the place of every `auto` and find the first weights.

    Raises:
        QuorumError: for an unknown data set, model or policy, an input that the model cannot take, or weights that
            are not there.
    """
    kind, data = architecture(config.model), dataset(config.dataset)
    policy(config.augment)
    size = config.input_size if isinstance(config.input_size, int) else kind.input_size or data.input_size
    check_input(kind, size)
    normalize = config.normalize
    if normalize == AUTO:
        normalize = "imagenet" if config.weights == "imagenet" else "half"
    weights = _find_weights(config, store)
    resolved = config.replace(
        input_size=size,
        resize=config.resize if config.resize != AUTO else data.resize(size),
        normalize=normalize,
        precision=resolve_precision(config.precision, device),
        weights_digest=file_digest(weights) if weights else "",
    )
    return Resolved(resolved, weights)


def _find_weights(config: TrialConfig, store: Store) -> Path | None:
    if config.weights == "none":
        return None
    if config.weights == "imagenet":
        return fetch_imagenet(architecture(config.model))
    if config.weights.startswith(("models:/", "runs:/")):
        bundles = fetch_bundles(store, config.weights)
        if len(bundles) > 1:
            raise ModelError(f"weights: {config.weights} is a vote of {len(bundles)} networks, not one network")
        return bundles[0] / WEIGHTS
    file = Path(config.weights)
    if not file.is_file():
        raise ModelError(
            f"weights: no file {file}; none, imagenet, a state file, models:/NAME/VERSION or runs:/RUN/model"
        )
    return file


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
