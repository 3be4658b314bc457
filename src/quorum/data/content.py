"""What image files hold, as hashes that are kept: a file is read again only where it may have changed.

A file counts as unchanged while its path, size, times (of its content and of its entry, in nanoseconds) and inode are.
Sizes and times of content alone would not do: swapping two files of one size leaves both as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from quorum.data.images import FileImage, ImageSource

# A file system's clock may tick only every few milliseconds, so a file that has just been written could be written
# again at the same time. What is younger than this is read again the next time, as git does with its index.
SETTLED = 2.0  # seconds
UNREADABLE = ""

Stamp = list[int]


def content_hashes(images: Sequence[ImageSource], kept: Path, *, verify: bool = False) -> list[str]:
    """SHA-256 of the encoded bytes of each image, 64 hex digits; UNREADABLE where a file cannot be read.

    Args:
        images: [n] images.
        kept: JSON file of the hashes that are known, brought up to date here. The caller holds a lock.
        verify: read every file, whatever its stamp says.
    """
    known = _read(kept)
    found: dict[str, tuple[Stamp, str]] = {}
    settled = time.time_ns() - int(SETTLED * 1e9)

    def hash_of(image: ImageSource) -> str:
        if not isinstance(image, FileImage):
            return hashlib.sha256(image.content()).hexdigest()
        path = os.path.abspath(image.path)  # noqa: PTH100 - several times as fast, and links are not followed
        try:
            stamp = _stamp(path)
            entry = None if verify else known.get(path)
            digest = entry[1] if entry and entry[0] == stamp else hashlib.sha256(image.content()).hexdigest()
        except OSError:
            return UNREADABLE
        if max(stamp[1:3]) < settled:
            found[path] = stamp, digest
        return digest

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = list(pool.map(hash_of, images, chunksize=256))
    if (now := known | found) != known:
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(now))
        part.replace(kept)
    return hashes


def _stamp(path: str) -> Stamp:
    status = os.stat(path)  # noqa: PTH116 - called for every image
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read(kept: Path) -> dict[str, tuple[Stamp, str]]:
    """The hashes that are kept; none where the file is missing or damaged, since all can be read again."""
    try:
        entries = json.loads(kept.read_text())
        return {path: (list(map(int, stamp)), str(digest)) for path, (stamp, digest) in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
