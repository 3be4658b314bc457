"""Temporary folders: gone at the end, and those of killed processes at the next one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from quorum.temporary import lasting_folder, temporary_folder

LASTING = """
from quorum.temporary import lasting_folder
folder = lasting_folder()
(folder / "file").touch()
print(folder)
"""
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
    living = re.sub(r"-\d+-\w+$", f"-{os.getpid()}-another", left.name)
    others = [tmp_path / "quorum-notes", tmp_path / living]  # not ours, and of the living
    for other in others:
        other.mkdir()
    with temporary_folder() as folder:
        assert folder.is_dir()
        assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_what_another_machine_writes_to_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines and containers may share the place of temporary folders; none knows which pids the others have."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    elsewhere = f"import socket\nsocket.gethostname = lambda: 'elsewhere'\n{KILLED}"
    subprocess.run([sys.executable, "-c", elsewhere], check=False)
    [left] = tmp_path.iterdir()
    with temporary_folder():
        pass
    assert (left / "file").exists()


def test_a_lasting_folder_is_gone_when_its_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", LASTING], check=True, capture_output=True, text=True)
    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_of_a_lasting_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    dies = f"{LASTING}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", dies], check=False, capture_output=True)
    [left] = tmp_path.iterdir()
    folders = [lasting_folder(), lasting_folder()]
    assert left not in folders
    assert sorted(tmp_path.iterdir()) == sorted(folders)
