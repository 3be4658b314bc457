"""One data set on disk, its pixel stores opened as they are asked for."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from quorum.config import TrialConfig
from quorum.console import decoding_bar, say
from quorum.data import Catalogue, dataset, load_catalogue
from quorum.data.batches import Batches
from quorum.data.pixel_store import PixelStore, open_store
from quorum.data.preprocess import preprocess_of
from quorum.errors import DataError
from quorum.storage import Storage


@dataclass
class OpenDataset:
    """A data set on disk.

    Attributes:
        catalogue: its list of images.
        source: where they come from, for the record.
        stores: folder of the pixel stores.
        skip_bad: whether unreadable images are left out instead of refused.
        verify: whether every image file is read once, even where its stamp says that it has not changed.
        storage: where other machines find the pixel stores.
    """

    catalogue: Catalogue
    source: str
    stores: Path
    skip_bad: bool = False
    verify: bool = False
    storage: Storage | None = None
    _opened: dict[int, PixelStore] = field(default_factory=dict)

    def pixels(self, resize: int = 0) -> PixelStore:
        """The pixel store, with images resized where their sizes differ. Images of one size are stored as they are and
        resized batch by batch, which keeps the store small where they grow.

        Raises:
            DataError: for unreadable images, unless they are left out, and where images of one size are not.
        """
        name = self.catalogue.name
        one_size = dataset(name).one_size
        opened = self._open(0 if one_size else resize)
        if one_size and opened.size is None:
            raise DataError(f"{name}: is registered with one_size=True, and its images differ in size")
        return opened

    def batches(self, config: TrialConfig, device: torch.device) -> Batches:
        """Batches for resolved settings."""
        preprocess = preprocess_of(config)
        assert isinstance(config.resize, int), "settings are not resolved"
        stores = self.pixels(preprocess.resize), self.pixels(config.resize)
        return Batches(stores[0], preprocess, device, stores[1], config.resize).of_fold(config.folds, config.seed)

    def _open(self, resize: int) -> PixelStore:
        if resize not in self._opened:
            name = self.catalogue.name
            bar, advance = decoding_bar(name)
            with contextlib.closing(bar):
                opened = open_store(
                    self.catalogue,
                    self.stores,
                    resize=resize,
                    skip_bad=self.skip_bad,
                    verify=self.verify and not self._opened,
                    progress=advance,
                    storage=self.storage,
                )
            self._opened[resize] = opened
            if skipped := len(opened.skipped):
                say(f"{name}: {skipped} unreadable images are left out")
        return self._opened[resize]


def open_dataset(
    name: str,
    *,
    data_dir: Path,
    path: Path | None,
    split_seed: int,
    work_dir: Path,
    skip_bad: bool,
    verify: bool = False,
    storage: Storage | None = None,
) -> OpenDataset:
    """A data set by name.

    Args:
        name: of the data set.
        data_dir: folder that holds one folder per data set.
        path: the data set's own folder, if it is elsewhere.
        split_seed: of the split, where the data set has none of its own.
        work_dir: pixel stores are kept in its `pixels/`.
        skip_bad: leave unreadable images out instead of refusing the data set.
        verify: read every image file, even where its stamp says that it has not changed.
        storage: where other machines find the pixel stores.

    Raises:
        DataError: where it is missing.
    """
    catalogue = load_catalogue(name, data_dir, path, split_seed)
    kind = dataset(name)
    source = str((path or data_dir / name).resolve()) if kind.needs_folder else kind.source
    return OpenDataset(catalogue, source, work_dir / "pixels", skip_bad, verify, storage)


def example_image(pixels: PixelStore) -> bytes:
    """The first test image, encoded as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.image(int(pixels.splits["test"][0]))).save(buffer, "PNG")
    return buffer.getvalue()
