"""Temporary folders: gone at the end, and those of killed processes at the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from quorum.temporary import temporary_folder

KILLED = """
import os, signal
from quorum.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "file").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    [left] = tmp_path.iterdir()
    assert (left / "file").exists()
    others = [tmp_path / "quorum-notes", tmp_path / f"quorum-{os.getpid()}-another"]  # not ours, and of the living
    for other in others:
        other.mkdir()
    with temporary_folder() as folder:
        assert folder.is_dir()
        assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted(others)
