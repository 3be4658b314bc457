"""Sweeps that are done once for many tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.studies import STUDY, TREE, Swept, sweep
from tests.conftest import enter, made_once


def sweep_once(folder: Path, text: str, images: Path, store: Path) -> Path:
    """Sweep a study in the folder `work` below `folder`, with what is printed in sweep.json beside it."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            result = sweep(enter(folder / "work", store, monkeypatch), images, text)
        (folder / "sweep.json").write_text(json.dumps(result))

    return made_once(folder, make)


def copied(done: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Swept:
    """The command line in a folder with a copy of a sweep's store; its artifacts are shared."""
    quorum = enter(folder, done / "work" / "mlflow.db", monkeypatch, capfd)
    return Swept(quorum, json.loads((done / "sweep.json").read_text()), done / "work")


@pytest.fixture(scope="session")
def swept_study(shared_folder: Path, small_digits: Path, empty_store: Path) -> Path:
    return sweep_once(shared_folder / "swept-study", STUDY, small_digits, empty_store)


@pytest.fixture(scope="session")
def swept_tree(shared_folder: Path, small_digits: Path, empty_store: Path) -> Path:
    return sweep_once(shared_folder / "swept-tree", TREE, small_digits, empty_store)


@pytest.fixture
def swept(
    swept_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Swept:
    """STUDY, swept."""
    return copied(swept_study, tmp_path / "work", monkeypatch, capfd)


@pytest.fixture
def tree(swept_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Swept:
    """TREE, swept."""
    return copied(swept_tree, tmp_path / "work", monkeypatch, capfd)
