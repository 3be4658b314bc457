"""The folder that a command works in when `mlflow run` has started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quorum.commands import caller
from quorum.commands.caller import enter_folder_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a command was started in, with relative paths to its modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["src", *sys.path])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["src", "/elsewhere"]))
    return tmp_path


def test_it_works_in_the_folder_of_the_process_and_finds_its_modules(place: Path, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("user")
    with subprocess.Popen(["sleep", "60"], cwd=folder) as process:
        enter_folder_of(str(process.pid), os.environ)
        process.kill()
    assert Path.cwd() == folder
    assert sys.path[0] == str(place / "src")
    assert os.environ["PYTHONPATH"] == f"{place / 'src'}{os.pathsep}/elsewhere"


@pytest.mark.parametrize("pid", ["0", "", "x", "999999999"])
def test_where_there_is_no_such_process_it_stays(place: Path, pid: str) -> None:
    enter_folder_of(pid, os.environ)
    assert Path.cwd() == place
    assert sys.path[0] == "src"


def test_where_its_folder_is_gone_it_stays(place: Path, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("user")
    with subprocess.Popen(["sleep", "60"], cwd=folder) as process:
        folder.rmdir()
        enter_folder_of(str(process.pid), os.environ)
        process.kill()
    assert Path.cwd() == place


@pytest.mark.parametrize(("output", "found"), [("p12\nfcwd\nn/Users/ann\n", "/Users/ann"), ("p12\n", ""), (None, "")])
def test_where_there_is_no_proc_lsof_is_asked(monkeypatch: pytest.MonkeyPatch, output: str | None, found: str) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if output is None:
            raise FileNotFoundError(command[0])
        assert command[:4] == ["lsof", "-a", "-p", "12"]
        return subprocess.CompletedProcess(command, 0, output, "")

    monkeypatch.setattr(Path, "exists", lambda _: False)
    monkeypatch.setattr(subprocess, "run", run)
    assert caller._folder_of("12") == found
