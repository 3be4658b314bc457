"""Unpack archives that are not trusted: tar (plain, gz, xz, bz2) and zip."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from quorum.errors import DataError

# The official Caltech-101 download is a zip that holds this tar.
NESTED = "101_ObjectCategories.tar.gz"


def check_archives(archives: Sequence[Path]) -> None:
    """Raise DataError for the first path that is not an archive we can read."""
    for archive in archives:
        if not archive.is_file():
            raise DataError(f"{archive}: no such archive")
        if not (zipfile.is_zipfile(archive) or tarfile.is_tarfile(archive)):
            raise DataError(f"{archive}: neither a tar (plain, gz, xz, bz2) nor a zip archive")


def unpack(archives: Sequence[Path], target: Path) -> None:
    """Unpack archives into a folder, one over the other.

    Raises:
        DataError: for a file that is no archive, is cut short, or has a member that is a link or a device or
            would land outside `target`. All members of an archive are checked before one is written.
    """
    check_archives(archives)
    for archive in archives:
        _extract(archive, target)
    for nested in sorted(target.rglob(NESTED)):
        _extract(nested, nested.parent)
        nested.unlink()


def _extract(archive: Path, target: Path) -> None:
    try:
        (_unzip if zipfile.is_zipfile(archive) else _untar)(archive, target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{archive}: cannot be unpacked ({' '.join(str(error).split())})") from error


def _untar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        for member in members:
            _refuse_outside(archive, member.name)
            if not (member.isfile() or member.isdir()):
                raise DataError(f"{archive}: {member.name} is a link or a device, which is refused")
        # Python before 3.11.4 has no filters; what they refuse has been refused above.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(target, members)


def _unzip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            _refuse_outside(archive, member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: {member.filename} is a link or a device, which is refused")
        zipped.extractall(target)


def _refuse_outside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise DataError(f"{archive}: {name} would land outside the target folder, which is refused")
