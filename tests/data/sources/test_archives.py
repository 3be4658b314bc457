"""Archives that are not trusted."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quorum.data.datasets import Download
from quorum.data.sources.archives import fetch, unpack
from quorum.errors import DataError


def tar_with(file: Path, *members: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz")])
def test_tars_are_unpacked(tmp_path: Path, suffix: str, mode: str) -> None:
    one = tar_with(tmp_path / f"one{suffix}", member("a/1.png"), mode=mode)
    two = tar_with(tmp_path / f"two{suffix}", member("a/2.png"), member("b/1.png"), mode=mode)
    unpack([one, two], tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["a/1.png", "a/2.png", "b/1.png"]


def with_headers(name: str, **headers: str) -> tarfile.TarInfo:
    """A member that PAX headers tell more about."""
    info = member(name)
    info.pax_headers = headers
    return info


HEADERS = [
    {"path": "a/x\0y"},
    {"mtime": "1e30"},
    {"GNU.sparse.map": "0,x"},
    {"GNU.sparse.size": "x"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=[" ".join(headers) for headers in HEADERS])
@pytest.mark.parametrize("first", [True, False])
def test_headers_that_make_no_sense(tmp_path: Path, headers: dict[str, str], first: bool) -> None:
    bad = with_headers("a/2.png", **headers)
    archive = tar_with(tmp_path / "bad.tar", *([bad] if first else [member("a/1.png"), bad]))
    with pytest.raises(DataError, match=r"bad\.tar: "):
        unpack([archive], tmp_path / "out")


def test_zips_are_unpacked_and_the_official_tar_inside_too(tmp_path: Path) -> None:
    inner = tar_with(tmp_path / "101_ObjectCategories.tar.gz", member("101_ObjectCategories/a/1.jpg"), mode="w:gz")
    with zipfile.ZipFile(tmp_path / "caltech-101.zip", "w") as zipped:
        zipped.write(inner, "caltech-101/101_ObjectCategories.tar.gz")
    unpack([tmp_path / "caltech-101.zip"], tmp_path / "out")
    assert (tmp_path / "out" / "caltech-101" / "101_ObjectCategories" / "a" / "1.jpg").is_file()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: member("../out-of-it"), "outside the target"),
        (lambda: member("/tmp/absolute"), "outside the target"),
        (lambda: member("a/../../b"), "outside the target"),
        (lambda: member("a/link", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
        (lambda: member("a/hard", tarfile.LNKTYPE, "a/1.png"), "a link or a device"),
        (lambda: member("a/pipe", tarfile.FIFOTYPE), "a link or a device"),
        (lambda: member("a/disk", tarfile.BLKTYPE), "a link or a device"),
    ],
)
def test_members_that_could_do_harm(tmp_path: Path, bad: Callable[[], tarfile.TarInfo], message: str) -> None:
    archive = tar_with(tmp_path / "bad.tar", member("a/1.png"), bad())
    with pytest.raises(DataError, match=message):
        unpack([archive], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_with_a_link_or_a_way_out(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link")
    link.external_attr = 0o120777 << 16
    for name, info in (("link", link), ("out", zipfile.ZipInfo("../b"))):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as zipped:
            zipped.writestr(info, "/etc/passwd")
        with pytest.raises(DataError, match="is refused"):
            unpack([tmp_path / f"{name}.zip"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_that_python_cannot_unpack(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("a/1.png", b"x")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[8] = content[content.index(b"PK\1\2") + 10] = 99  # the compression method, in both of its places
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip: cannot be unpacked \(.*compression"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")


def test_a_download_is_unpacked_and_its_archive_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar_with(tmp_path / "made-up.tar.gz", member("a/1.png"), mode="w:gz")

    def download(url: str, root: str, filename: str, md5: str) -> None:
        assert (url, md5) == ("https://here/made-up.tar.gz", "0" * 32)
        shutil.copy(archive, Path(root) / filename)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    (tmp_path / "out").mkdir()
    fetch("made-up", Download("https://here/made-up.tar.gz", "0" * 32), tmp_path / "out")
    files = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")]
    assert sorted(files) == ["a", "a/1.png"]
    with pytest.raises(DataError, match="unpacks to more than is allowed"):
        fetch("made-up", Download("https://here/made-up.tar.gz", "0" * 32), tmp_path / "out", max_gb=1e-12)


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("not a tar")
    with pytest.raises(DataError, match="neither a tar"):
        unpack([tmp_path / "text.tar"], tmp_path / "out")
    with pytest.raises(DataError, match="no such archive"):
        unpack([tmp_path / "absent.tar"], tmp_path / "out")
    whole = tar_with(tmp_path / "whole.tar.xz", *(member(f"a/{i}.png") for i in range(500)), mode="w:xz")
    (tmp_path / "cut.tar.xz").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cut\.tar\.xz"):
        unpack([tmp_path / "cut.tar.xz"], tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_small_archive_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str) -> None:
    archive, zeros = tmp_path / f"bomb.{kind}", bytes(10**7)
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for i in range(3):
                zipped.writestr(f"a/{i}.png", zeros)
    else:
        with tarfile.open(archive, "w:gz") as tar:
            for i in range(3):
                info = tarfile.TarInfo(f"a/{i}.png")
                info.size = len(zeros)
                tar.addfile(info, io.BytesIO(zeros))
    assert archive.stat().st_size < 10**5
    with pytest.raises(DataError, match="unpacks to more than is allowed; max_gb= allows more"):
        unpack([archive], tmp_path / "out", max_gb=0.025)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="more than is allowed"):  # together
        unpack([archive, archive], tmp_path / "out", max_gb=0.05)
    unpack([archive], tmp_path / "out", max_gb=0.03)
