"""Unpack archives that are not trusted: tar (plain, gz, xz, bz2) and zip."""

from __future__ import annotations

import contextlib
import lzma
import math
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from quorum.data.datasets import Download, Fetcher
from quorum.errors import DataError, cut

# The official Caltech-101 download is a zip that holds this tar.
NESTED = "101_ObjectCategories.tar.gz"
BAD_STREAM = (zlib.error, lzma.LZMAError)
BAD_NUMBER = (ValueError, OverflowError)  # `tarfile` takes what a header says for numbers, and uses them, unchecked
BAD_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, *BAD_NUMBER, *BAD_STREAM)
# Python before 3.11.4 has no filters. The modes that they mend are all that our own unpacking leaves to them, and what
# others unpack is checked as our own is
data_filter = getattr(tarfile, "data_filter", None)


def check_archives(archives: Sequence[Path]) -> None:
    """Raise DataError for the first path that is not an archive we can read."""
    for archive in archives:
        if not archive.is_file():
            raise DataError(f"{archive}: no such archive")
        if not _is_archive(archive):
            raise DataError(f"{archive}: neither a tar (plain, gz, xz, bz2) nor a zip archive")


def _is_archive(file: Path) -> bool:
    try:
        return zipfile.is_zipfile(file) or tarfile.is_tarfile(file)
    except (EOFError, *BAD_NUMBER, *BAD_STREAM):  # it ends, or breaks, before anything can be read of it
        return False


def unpack(archives: Sequence[Path], target: Path, max_gb: float = math.inf) -> None:
    """Unpack archives into a folder, one over the other.

    Args:
        archives: the files.
        target: the folder.
        max_gb: gigabytes that all of them may unpack to together.

    Raises:
        DataError: for a file that is no archive, is cut short or cannot be read, unpacks to too much, or has a member
            that is a link or a device or would land outside `target`. All members of an archive are checked before one
            is written.
    """
    check_archives(archives)
    room = max_gb * 1e9
    for archive in archives:
        room -= _extract(archive, target, room)
    for nested in sorted(target.rglob(NESTED)):
        room -= _extract(nested, nested.parent, room)
        nested.unlink()


def fetch(name: str, download: Download | Fetcher, target: Path, max_gb: float = math.inf) -> None:
    """Download a data set into a folder.

    Args:
        name: of the data set, for messages.
        download: its archive, which is unpacked as `unpack` does and not kept; or a function that fetches it. What that
            function unpacks with `tarfile` has to be plain files below the folder.
        target: the folder.
        max_gb: gigabytes that an archive may unpack to.

    Raises:
        DataError: where it cannot be had, is not the one that is expected, or cannot be unpacked.
    """
    try:
        if isinstance(download, Download):
            _fetch_archive(download, target, max_gb)
        else:
            with _plain_members_only():
                download(target)
    except (HTTPException, *BAD_ARCHIVE) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"download: {name} cannot be fetched ({reason})") from error


def _fetch_archive(download: Download, target: Path, max_gb: float) -> None:
    from torchvision.datasets.utils import download_url

    with tempfile.TemporaryDirectory(dir=target) as folder:
        archive = Path(folder) / PurePosixPath(download.url).name
        download_url(download.url, folder, archive.name, download.md5)
        unpack([archive], target, max_gb)


@contextlib.contextmanager
def _plain_members_only() -> Iterator[None]:
    """While others unpack tars: nothing lands outside their folder, and there are no devices (PEP 706)."""
    kind = tarfile.TarFile
    before, extract_all = vars(kind).get("extraction_filter"), kind.extractall

    def check_and_extract(opened: tarfile.TarFile, *arguments: Any, **named: Any) -> None:
        for name, is_plain, _ in _members(opened):
            if reason := _why_refused(name, is_plain):
                raise tarfile.TarError(reason)
        extract_all(opened, *arguments, **named)

    if data_filter:
        kind.extraction_filter = staticmethod(data_filter)
    else:
        kind.extractall = check_and_extract  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        kind.extraction_filter, kind.extractall = before, extract_all  # type: ignore[method-assign]


def _extract(archive: Path, target: Path, room: float) -> int:
    """Unpack one archive, if it fits into some bytes. Returns the bytes that it took."""
    try:
        with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive) as opened:
            size = 0
            for name, is_plain, member_size in _members(opened):
                size += member_size
                if size > room:
                    raise DataError(f"{archive}: unpacks to more than is allowed; max_gb= allows more")
                if reason := _why_refused(name, is_plain):
                    raise DataError(f"{archive}: {reason}")
            opened.extractall(target)
            return size
    except BAD_ARCHIVE as error:
        raise DataError(f"{archive}: cannot be unpacked ({cut(' '.join(str(error).split()), 140)})") from error


def _why_refused(name: str, is_plain: bool) -> str:
    """Why a member is not unpacked; "" where it is."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
        return f"{cut(name)} would land outside the target folder, which is refused"
    return "" if is_plain else f"{cut(name)} is a link or a device, which is refused"


def _members(opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[tuple[str, bool, int]]:
    """The name of each member, whether it is a file or a folder, and its size in bytes."""
    if isinstance(opened, tarfile.TarFile):
        opened.extraction_filter = data_filter
        yield from ((member.name, member.isfile() or member.isdir(), member.size) for member in opened)
    else:
        plain = (0, stat.S_IFREG, stat.S_IFDIR)
        for entry in opened.infolist():
            yield entry.filename, stat.S_IFMT(entry.external_attr >> 16) in plain, entry.file_size
