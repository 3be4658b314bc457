"""Checksums of files, to tell whether they are damaged."""

from __future__ import annotations

import zlib
from pathlib import Path

_AT_ONCE = 2**24  # bytes


def crc32_of(file: Path) -> int:
    """CRC-32 of a file's content. Raises OSError where it cannot be read."""
    found = 0
    with file.open("rb") as content:
        while part := content.read(_AT_ONCE):
            found = zlib.crc32(part, found)
    return found
