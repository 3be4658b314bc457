"""The pixel store: every image of a data set decoded once, in one memory-mapped file shared by all processes.

`pixels.bin` holds the images back to back as [height, width, 3] bytes; `index.npz` their offsets, sizes, labels and
splits; `meta.json` names, classes and the digest; `checksums.json` a checksum of each. A store is built beside its
final place and renamed, so it is either whole or absent, and it is keyed by its content: a changed image, label or
split makes another store, and the same images at another place do not. So do other versions of what decodes and
resizes: they may give other pixels, or read what could not be read before. A damaged one is made anew. With a storage,
machines that lack the folder fetch it once, when a process there is sent the store.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import features

from quorum.checksums import crc32_of
from quorum.config import digest_of
from quorum.console import say
from quorum.data.catalogue import SPLITS, Catalogue, Indices
from quorum.data.content import content_hashes
from quorum.data.images import Pixels, refuse_bad
from quorum.data.pixel_builder import INDEX, META, PIXELS, SUMS, build_store, data_digest
from quorum.errors import DataError
from quorum.shared_folder import SharedFolder
from quorum.storage import Storage
from quorum.versions import package_versions

FORMAT = 3  # part of every key: raise it when what is stored changes
PACKAGES = ("pillow", "torch")  # that decode and resize
CODECS = ("jpg", "libjpeg_turbo", "zlib", "libtiff", "webp")  # that a Pillow has or lacks as it was built


@dataclass(frozen=True, eq=False)
class PixelStore:
    """Decoded images of one data set. Equal to itself alone.

    Attributes:
        name: of the data set.
        classes: class names by label.
        files: [n] image names.
        pixels: all bytes, memory-mapped, uint8 [total].
        offsets, heights, widths, labels: [n] int64.
        splits: positions of `train`, `val` and `test`, int64.
        digest: 16 hex digits that change with any image, label, class name or split.
        skipped: one line per image that was left out as unreadable.
        folder: that it was opened from; None for one that was made in memory.
    """

    name: str
    classes: tuple[str, ...]
    files: tuple[str, ...]
    pixels: np.memmap[tuple[int], np.dtype[np.uint8]]
    offsets: Indices
    heights: Indices
    widths: Indices
    labels: Indices
    splits: dict[str, Indices]
    digest: str
    skipped: tuple[str, ...]
    folder: SharedFolder | None = None

    def __reduce__(self) -> tuple[Callable[..., PixelStore], tuple[Any, ...]]:
        """Pickled, a store is its folder: processes of one machine map the same file, and no pixels are copied."""
        if self.folder is None:
            raise TypeError("a pixel store that was made in memory cannot go to another process")
        self.folder.offer()
        return _opened, (self.folder,)

    @property
    def whole(self) -> PixelStore:
        """The store that holds the pixels: itself, unless it is a view of another one."""
        return self

    @functools.cached_property
    def size(self) -> tuple[int, int] | None:
        """Common (height, width) of all images, or None where they differ."""
        h, w = int(self.heights[0]), int(self.widths[0])
        return (h, w) if (self.heights == h).all() and (self.widths == w).all() else None

    def image(self, position: int) -> Pixels:
        """One image as a [height, width, 3] view of the map."""
        h, w = int(self.heights[position]), int(self.widths[position])
        start = int(self.offsets[position])
        return self.pixels[start : start + h * w * 3].reshape(h, w, 3)

    def stack(self, positions: Indices) -> NDArray[np.uint8]:
        """Copies of [n] images as uint8 [n, height, width, 3], where all have one size."""
        h, w = int(self.heights[0]), int(self.widths[0])
        return self.pixels.reshape(-1, h, w, 3)[positions]

    def counts(self) -> dict[str, int]:
        """Number of images in each split."""
        return {split: len(self.splits[split]) for split in SPLITS}


def open_store(
    catalogue: Catalogue,
    folder: Path,
    *,
    resize: int = 0,
    skip_bad: bool = False,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
    storage: Storage | None = None,
) -> PixelStore:
    """The pixel store of a data set, built first if it is not there yet.

    Args:
        catalogue: the data set.
        folder: where stores are kept.
        resize: shorter side, in pixels, to resize images of differing sizes to; 0 keeps them.
        skip_bad: leave unreadable images out instead of refusing the data set.
        verify: read every image file, even those whose stamp says that they have not changed since they were read.
        progress: called with images done and images in all while building.
        storage: where machines that do not see the folder find the store.

    Raises:
        DataError: for unreadable images, named and counted, unless `skip_bad`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{catalogue.name}.lock"):
        hashes = content_hashes(catalogue.images, folder / f"{catalogue.name}-hashes.json", verify=verify)
        files = [image.name for image in catalogue.images]
        digest = data_digest(catalogue.classes, files, hashes, catalogue.labels, catalogue.splits)
        # Another machine's folder is another one, so with a storage a relative one stays so.
        work_dir = folder.parent.resolve() if storage is None else folder.parent
        key = f"{folder.name}/{catalogue.name}-{digest}-{resize}-v{FORMAT}-{_decoders()}"
        home = SharedFolder(work_dir, key, storage)
        home.keep()
        store = _load_undamaged(home, verify=verify)
        if store is None:
            build_store(catalogue, hashes, home.path, resize, progress)
            store = _load(home)
    if not skip_bad:
        refuse_bad(store.skipped, len(catalogue.images))
    if empty := [split for split in SPLITS if not len(store.splits[split])]:
        raise DataError(f"{catalogue.name}: no image in {', '.join(empty)}")
    return store


def _decoders() -> str:
    """8 hex digits that change with what decodes and resizes images."""
    packages = {name: package_versions()[name] for name in PACKAGES}
    return digest_of([packages, {name: features.version(name) for name in CODECS}])[:8]


def _load_undamaged(folder: SharedFolder, *, verify: bool) -> PixelStore | None:
    """A store that was built before; None where there is none, or where it is damaged, which a line reports."""
    home = folder.path
    if not home.is_dir():
        return None
    try:
        sums = json.loads((home / SUMS).read_text())
        # The pixels are many: they are read where somebody wrote to them after the checksums, or where all is verified.
        changed = (home / PIXELS).stat().st_mtime_ns > (home / SUMS).stat().st_mtime_ns
        files = [INDEX, META, *([PIXELS] if changed or verify else [])]
        damaged = [name for name in files if crc32_of(home / name) != sums[name]]
        store = None if damaged else _load(folder)
        if store is not None and len(store.pixels) == int(3 * (store.heights * store.widths).sum()):
            return store
        problem = f"{', '.join(damaged) or PIXELS} does not have its checksum"
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = " ".join(str(error).split())[:80]
    say(f"{home}: this pixel store is damaged ({problem}), so it is made anew")
    return None


@functools.lru_cache(maxsize=8)
def _opened(folder: SharedFolder) -> PixelStore:
    folder.keep()
    with folder.reading() as home:
        if home is None:
            raise DataError(f"{folder}: this pixel store is gone; the same command makes it anew")
        return _load(folder)


def _load(folder: SharedFolder) -> PixelStore:
    home = folder.path
    meta = json.loads((home / META).read_text())
    with np.load(home / INDEX, allow_pickle=False) as index:
        arrays = {name: index[name] for name in index.files}
    return PixelStore(
        name=meta["name"],
        classes=tuple(meta["classes"]),
        files=tuple(meta["files"]),
        pixels=np.memmap(home / PIXELS, np.uint8, "r"),
        offsets=arrays["offsets"],
        heights=arrays["heights"],
        widths=arrays["widths"],
        labels=arrays["labels"],
        splits={split: arrays[split] for split in SPLITS},
        digest=meta["digest"],
        skipped=tuple(meta["skipped"]),
        folder=folder,
    )
