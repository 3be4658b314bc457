"""Archives that are none, break, do harm or unpack to too much."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input.contract import LONG, Case, Place, one_line
from tests.bad_input.test_images import tree

SIZE = 20_000_000  # bytes of what is too large


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 1) -> tarfile.TarInfo:
    """A member of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size if kind == tarfile.REGTYPE else 0
    return info


def tar(file: Path, *members: tarfile.TarInfo, mode: str = "w") -> bytes:
    """Write a tar whose files hold zeros. Returns its bytes."""
    with tarfile.open(file, mode) as opened:  # type: ignore[call-overload]
        for info in members:
            opened.addfile(info, io.BytesIO(bytes(info.size)))
    return file.read_bytes()


def zipped(file: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """Write a zip. Returns its bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return file.read_bytes()


def patched(file: Path, patch: Callable[[bytearray, int], None]) -> None:
    """Write a zip of two files and change its bytes; the place of its directory is handed on."""
    content = bytearray(zipped(file, ("a/1.png", b"x"), ("b/1.png", b"x")))
    patch(content, content.index(b"PK\1\2"))
    file.write_bytes(content)


def encrypt(content: bytearray, directory: int) -> None:
    content[6] |= 1
    content[directory + 8] |= 1


def compress_otherwise(content: bytearray, directory: int) -> None:
    content[8] = content[directory + 10] = 99


def break_checksum(content: bytearray, directory: int) -> None:
    content[14] ^= 255
    content[directory + 16] ^= 255


def point_elsewhere(content: bytearray, directory: int) -> None:
    content[directory + 42 : directory + 46] = b"\xff\xff\0\0"


def claim_gigabytes(content: bytearray, directory: int) -> None:
    content[directory + 24 : directory + 28] = b"\0\0\0\xf0"


@pytest.fixture(scope="module", autouse=True)
def _archives(place: Place) -> None:
    """The files that the cases name."""
    folder = place.folder / "archives"
    folder.mkdir()
    for patch in (encrypt, compress_otherwise, break_checksum, point_elsewhere, claim_gigabytes):
        patched(folder / f"{patch.__name__}.zip", patch)
    link = zipfile.ZipInfo("a/link")
    link.external_attr = 0o120777 << 16
    bomb = zipped(folder / "bomb.zip", ("a/1.png", bytes(SIZE)))
    (folder / "cut.zip").write_bytes(bomb[:-30])
    names = {"absolute": "/etc/x", "up": "a/../../x", "drive": "C:\\x", "backslash": "..\\x", "long": f"a/{LONG}.png"}
    for name, inside in names.items():
        zipped(folder / f"{name}.zip", (inside, b"x"))
    zipped(folder / "link.zip", (link, b"/etc/passwd"))
    zipped(folder / "empty.zip")
    zipped(folder / "file-and-folder.zip", ("a", b"x"), ("a/1.png", b"x"))
    kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE, "disk": tarfile.BLKTYPE}
    for name, kind in {**kinds, "device": tarfile.CHRTYPE}.items():
        tar(folder / f"{name}.tar", member("a/x", kind, "/etc/passwd"))
    for name, inside in {"up": "../x", "absolute": "/tmp/x", "long": f"a/{LONG}.png"}.items():
        tar(folder / f"{name}.tar", member(inside))
    good = bytearray(tar(folder / "few.tar", member("a/1.png"), member("b/1.png")))
    tar(folder / "empty.tar")
    null = member("a/1.png")
    null.pax_headers = {"path": "a/1\0.png"}
    tar(folder / "null.tar", null)
    tar(folder / "file-and-folder.tar", member("a"), member("a/1.png"))
    large = tar(folder / "bomb.tar.gz", member("a/1.png", size=SIZE), mode="w:gz")
    (folder / "cut.tar.gz").write_bytes(large[: len(large) // 2])
    large = tar(folder / "bomb.tar.xz", member("a/1.png", size=SIZE), mode="w:xz")
    (folder / "cut.tar.xz").write_bytes(large[:-40])
    large = tar(folder / "many.tar.bz2", *(member(f"a/{i}.png", size=SIZE // 200) for i in range(20)), mode="w:bz2")
    (folder / "cut.tar.bz2").write_bytes(large[:-20])
    good[124:136] = b"99999999999\0"
    (folder / "checksum.tar").write_bytes(good)
    for name, size in {"petabyte": 10**15, "short": 10**6}.items():
        header = member("a/1.png", size=size).tobuf(tarfile.GNU_FORMAT)
        (folder / f"{name}.tar").write_bytes(header + bytes(1024))
    texts = {"text.tar": b"x" * 2000, "zero.tar": b"", "broken.tar.gz": b"\x1f\x8b\x08" + b"x" * 50}
    for name, content in {**texts, "a.rar": b"Rar!\x1a\x07\0" + b"x" * 50, "a.7z": b"7z\xbc\xaf\x27\x1c"}.items():
        (folder / name).write_bytes(content)
    (folder / "folder.tar").mkdir()
    os.mkfifo(folder / "no-file.tar")
    (folder / "dangling.tar").symlink_to("nowhere")
    nested = "101_ObjectCategories.tar.gz"
    zipped(folder / "nested-bomb.zip", (nested, (folder / "bomb.tar.gz").read_bytes()))
    zipped(folder / "nested-up.zip", (nested, tar(folder / "inner.tar.gz", member("../x"), mode="w:gz")))
    zipped(folder / "nested-text.zip", (nested, b"text"))
    tree(folder / "there")


NEITHER = "neither a tar (plain, gz, xz, bz2) nor a zip archive"
TOO_MUCH = "unpacks to more than is allowed; max_gb= allows more"
NO_FILE = "no such archive"
OUTSIDE = "would land outside the target folder, which is refused"
REFUSED = "is a link or a device, which is refused"
BROKEN = "cannot be unpacked ("
NO_IMAGES = "what was unpacked: 0 class folders with images"
LINES = {
    "encrypt.zip": "is encrypted",
    "compress_otherwise.zip": "cannot be unpacked (That compression method is not supported)",
    "break_checksum.zip": "cannot be unpacked (Bad CRC-32 for file 'a/1.png')",
    "point_elsewhere.zip": BROKEN,
    "claim_gigabytes.zip": TOO_MUCH,
    "bomb.zip": TOO_MUCH,
    "bomb.tar.gz": TOO_MUCH,
    "bomb.tar.xz": TOO_MUCH,
    "petabyte.tar": TOO_MUCH,
    "nested-bomb.zip": f"what was unpacked/101_ObjectCategories.tar.gz: {TOO_MUCH}",
    "cut.zip": NEITHER,
    "cut.tar.gz": "archives/cut.tar.gz: ",
    "cut.tar.xz": "archives/cut.tar.xz: ",
    "cut.tar.bz2": "archives/cut.tar.bz2: ",
    "short.tar": "cannot be unpacked (unexpected end of data)",
    "checksum.tar": NEITHER,
    "text.tar": NEITHER,
    "zero.tar": NEITHER,
    "broken.tar.gz": NEITHER,
    "a.rar": NEITHER,
    "a.7z": NEITHER,
    "absolute.zip": f"/etc/x {OUTSIDE}",
    "up.zip": f"a/../../x {OUTSIDE}",
    "drive.zip": f"C:\\x {OUTSIDE}",
    "backslash.zip": f"..\\x {OUTSIDE}",
    "up.tar": f"../x {OUTSIDE}",
    "absolute.tar": f"/tmp/x {OUTSIDE}",
    "nested-up.zip": f"what was unpacked/101_ObjectCategories.tar.gz: ../x {OUTSIDE}",
    "nested-text.zip": f"what was unpacked/101_ObjectCategories.tar.gz: {BROKEN}",
    "link.zip": f"a/link {REFUSED}",
    "link.tar": f"a/x {REFUSED}",
    "hard.tar": f"a/x {REFUSED}",
    "pipe.tar": f"a/x {REFUSED}",
    "disk.tar": f"a/x {REFUSED}",
    "device.tar": f"a/x {REFUSED}",
    "long.zip": "cannot be unpacked ([Errno 36] File name too long",
    "long.tar": "cannot be unpacked ([Errno 36] File name too long",
    "file-and-folder.zip": BROKEN,
    "file-and-folder.tar": BROKEN,
    "null.tar": "cannot be unpacked (embedded null byte)",
    "empty.zip": NO_IMAGES,
    "empty.tar": NO_IMAGES,
    "few.tar": "cannot split 2 images class by class",
    "folder.tar": NO_FILE,
    "no-file.tar": NO_FILE,
    "dangling.tar": NO_FILE,
    "absent.tar": NO_FILE,
}

CASES: list[Case] = [
    *(
        (f"data -P dataset=folder -P path=new/place -P max_gb=0.01 -P archive=archives/{name}", line)
        for name, line in LINES.items()
    ),
    ("data -P dataset=caltech101 -P archive=archives/empty.tar", "no 101_ObjectCategories/ in it"),
    ("data -P dataset=cifar10 -P archive=archives/few.tar", "neither train/ and test/ with the ten classes"),
    ("data -P archive=archives/empty.tar", "digits comes with scikit-learn and needs none"),
    ("data -P dataset=caltech101 -P archive=archives/few.tar,archives/absent.tar", "absent.tar: no such archive"),
    ("data -P dataset=folder -P path=archives/there -P archive=archives/few.tar", "cannot split 2 images"),
    (
        "data -P dataset=folder -P path=archives/text.tar/x -P archive=archives/few.tar",
        "'archives/text.tar': File exists",
    ),
    ("data -P dataset=caltech101 -P archive=archives/few.tar -P download=true", "cannot be combined with archive="),
    (f"data -P dataset=caltech101 -P archive={LONG}", "File name too long"),
]


@one_line(CASES)
def test_one_line_and_exit_status_2(place: Place, words: str | tuple[str, ...], line: str) -> None:
    place.check(words, line)
    assert not (place.folder / "new").exists()
    assert not (place.folder / "data").exists()
