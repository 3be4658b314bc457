"""The folder that all cases share, and leave as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.contract import Place
from tests.bad_input.process import Commands
from tests.conftest import enter

QUICK = "test_commands.py"  # of what each command line says of itself: `make check` does these


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hundreds of command lines take a minute or two."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.path.name != QUICK:
            item.add_marker("slow")


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Place]:
    """A working folder with an empty tracking store; modules add files of their own."""
    folder = tmp_path_factory.mktemp("bad") / "work"
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, empty_store, monkeypatch)
        names = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
        commands = Commands(folder, {name: os.environ[name] for name in names})
    try:
        yield Place(folder, commands)
    finally:
        commands.stop()
