"""Building a pixel store: decoding every image of a data set, and writing the store's files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from quorum.checksums import crc32_of
from quorum.data.catalogue import SPLITS, Catalogue, Indices
from quorum.data.content import UNREADABLE
from quorum.data.images import Pixels, refuse_bad
from quorum.data.resize import resize_shorter_side
from quorum.errors import DataError

PIXELS, INDEX, META, SUMS = "pixels.bin", "index.npz", "meta.json", "checksums.json"
_CHUNK = 256  # images decoded ahead of the writer


def build_store(
    catalogue: Catalogue,
    hashes: Sequence[str],
    home: Path,
    resize: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Decode a data set and write the files of its pixel store, beside their place, which is then renamed.

    The caller holds the data set's lock, so what lies there already was left by a process that was killed.

    Args:
        catalogue: the data set.
        hashes: of the images' contents, from `content_hashes`.
        home: folder of the store.
        resize: shorter side, in pixels, to resize images to; 0 keeps them.
        progress: called with images done and images in all.

    Raises:
        DataError: where no image can be read, or one is no longer what its hash was taken of.
    """
    part = home.with_name(f".{catalogue.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    try:
        _write(catalogue, hashes, part, resize, progress)
        if home.exists():  # an incomplete folder that something else left there
            shutil.rmtree(home)
        part.rename(home)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(
    catalogue: Catalogue,
    hashes: Sequence[str],
    folder: Path,
    resize: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    kept: list[int] = []
    sizes: list[tuple[int, int]] = []
    skipped: list[str] = []
    with (folder / PIXELS).open("wb") as file:
        for i, (pixels, problem) in enumerate(_decoded(catalogue, hashes)):
            if pixels is None:
                skipped.append(problem)
            else:
                stored = resize_shorter_side(pixels, resize) if resize else pixels
                file.write(stored.tobytes())
                kept.append(i)
                sizes.append(stored.shape[:2])
            if progress:
                progress(i + 1, len(catalogue.images))
    if not kept:
        refuse_bad(skipped, len(catalogue.images))
    heights, widths = np.array(sizes, dtype=np.int64).T
    lengths = heights * widths * 3
    place = np.full(len(catalogue.images), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    splits = {split: (p := place[catalogue.splits[split]])[p >= 0] for split in SPLITS}
    labels, files = catalogue.labels[kept], [catalogue.images[i].name for i in kept]
    np.savez(
        folder / INDEX,
        offsets=np.cumsum(lengths) - lengths,
        heights=heights,
        widths=widths,
        labels=labels,
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
    )
    digest = data_digest(catalogue.classes, files, [hashes[i] for i in kept], labels, splits)
    meta = {
        "name": catalogue.name,
        "classes": catalogue.classes,
        "files": files,
        "digest": digest,
        "skipped": skipped,
    }
    (folder / META).write_text(json.dumps(meta))
    (folder / SUMS).write_text(json.dumps({name: crc32_of(folder / name) for name in (PIXELS, INDEX, META)}))


def _decoded(catalogue: Catalogue, hashes: Sequence[str]) -> Iterator[tuple[Pixels | None, str]]:
    """Every image in order, decoded by one thread per core: pixels or what is wrong with it.

    Raises:
        DataError: where an image is no longer what its hash was taken of.
    """

    def work(i: int) -> tuple[Pixels | None, str]:
        image = catalogue.images[i]
        try:
            content = image.content()
        except OSError as error:
            content, problem = None, " ".join(str(error).split())
        if (hashes[i] == UNREADABLE) is not (content is None) or (
            content is not None and hashlib.sha256(content).hexdigest() != hashes[i]
        ):
            raise DataError(f"{image.name}: changed while it was read; run the command again")
        if content is None:
            return None, problem
        try:
            return image.decode(content), ""
        except DataError as error:
            return None, " ".join(str(error).split())

    total = len(catalogue.images)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, total, _CHUNK):
            yield from pool.map(work, range(start, min(start + _CHUNK, total)))


def data_digest(
    classes: tuple[str, ...], files: list[str], hashes: list[str], labels: Indices, splits: dict[str, Indices]
) -> str:
    """16 hex digits that change with any image, label, class name or split."""
    hasher = hashlib.sha256(json.dumps(classes).encode())
    for split in SPLITS:
        hasher.update(f"\n{split}\n".encode())
        for i in splits[split]:
            hasher.update(f"{files[i]}\0{labels[i]}\0{hashes[i]}\n".encode())
    return hasher.hexdigest()[:16]
