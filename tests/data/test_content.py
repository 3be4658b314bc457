"""Hashes of files are kept while their stamps are."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorum.data import content
from quorum.data.content import UNREADABLE, content_hashes
from quorum.data.images import ArrayImage, FileImage, ImageSource

Counter = list[str]


@pytest.fixture
def files(tmp_path: Path) -> list[FileImage]:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 5)
    return [FileImage(name, tmp_path / name) for name in "abc"]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Names of the files that are read; files count as settled at once."""
    names: Counter = []
    original = FileImage.content

    def counted(self: FileImage) -> bytes:
        names.append(self.name)
        return original(self)

    monkeypatch.setattr(FileImage, "content", counted)
    monkeypatch.setattr(content, "SETTLED", -60.0)
    return names


def test_each_file_is_read_once(files: list[FileImage], read: Counter, tmp_path: Path) -> None:
    kept = tmp_path / "hashes.json"
    first = content_hashes(files, kept)
    assert first == [hashlib.sha256(name.encode() * 5).hexdigest() for name in "abc"]
    assert content_hashes(files, kept) == first
    assert sorted(read) == ["a", "b", "c"]
    assert content_hashes(files, kept, verify=True) == first
    assert sorted(read) == ["a", "a", "b", "b", "c", "c"]


def replace_in_place(file: Path) -> None:
    """Other content of the same size, with the times of content set back."""
    status = file.stat()
    file.write_bytes(b"x" * status.st_size)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_another(file: Path) -> None:
    """Another file of the same size and times of content under its name."""
    status, other = file.stat(), file.with_name("other")
    other.write_bytes(b"x" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(file)


@pytest.mark.parametrize("change", [replace_in_place, replace_by_another])
def test_a_changed_file_is_read_again_and_no_other(
    change: Any, files: list[FileImage], read: Counter, tmp_path: Path
) -> None:
    before = content_hashes(files, tmp_path / "hashes.json")
    read.clear()
    change(files[1].path)
    after = content_hashes(files, tmp_path / "hashes.json")
    assert read == ["b"]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_a_file_that_has_just_been_written_is_not_trusted(files: list[FileImage], tmp_path: Path) -> None:
    content_hashes(files, tmp_path / "hashes.json")
    assert not (tmp_path / "hashes.json").exists()


def test_other_files_hashes_stay(files: list[FileImage], read: Counter, tmp_path: Path) -> None:
    content_hashes(files[:2], tmp_path / "hashes.json")
    content_hashes(files[2:], tmp_path / "hashes.json")
    content_hashes(files, tmp_path / "hashes.json")
    assert sorted(read) == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', json.dumps({"a": [["x"], 2]})])
def test_a_damaged_file_of_hashes_is_made_anew(
    text: str, files: list[FileImage], read: Counter, tmp_path: Path
) -> None:
    kept = tmp_path / "hashes.json"
    kept.write_text(text)
    content_hashes(files, kept)
    content_hashes(files, kept)
    assert sorted(read) == ["a", "b", "c"]


def test_what_cannot_be_read_has_no_hash_and_arrays_have_theirs(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    images: list[ImageSource] = [FileImage("gone", tmp_path / "gone"), ArrayImage("0", pixels)]
    assert content_hashes(images, tmp_path / "hashes.json") == [UNREADABLE, hashlib.sha256(bytes(12)).hexdigest()]
