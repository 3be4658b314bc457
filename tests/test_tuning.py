"""Each trick works, and none where tuning is switched off."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from quorum import tuning
from quorum.cli import main
from quorum.engine.device import set_up


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tuning is on, and afterwards as it was."""
    before = tuning.used()
    monkeypatch.setattr(tuning, "_logged_ahead", set())
    tuning.use(True)
    yield
    tuning.use(before)


@pytest.mark.parametrize(
    ("on", "file_system", "mode", "synchronous"),
    [(True, "ext4", "wal", 1), (False, "ext4", "delete", 2), (True, "nfs4", "delete", 2), (True, "", "delete", 2)],
)
def test_sqlite_writes_ahead_where_that_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: bool, file_system: str, mode: str, synchronous: int
) -> None:
    monkeypatch.setattr(tuning, "_file_system", lambda _: file_system)
    tuning.use(on)
    tuning.write_ahead(tmp_path / "a.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        tuning.wait_less(connection)
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)


def test_other_databases_wait_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_file_system", lambda _: "ext4")
    tuning.write_ahead(tmp_path / "a.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "b.db")) as connection:
        tuning.wait_less(connection)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("on", [True, False])
def test_garbage_collection_is_put_off_and_taken_up_again(on: bool) -> None:
    tuning.use(on)
    with tuning.no_garbage_collection():
        assert gc.isenabled() is not on
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), tuning.no_garbage_collection():
        _ = 1 / 0
    assert gc.isenabled()


def test_garbage_collection_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with tuning.no_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(("platform", "on", "calls"), [("linux", True, 2), ("linux", False, 0), ("darwin", True, 0)])
def test_glibc_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch, platform: str, on: bool, calls: int) -> None:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr("sys.platform", platform)
    library = SimpleNamespace(mallopt=lambda *arguments: made.append(arguments))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    tuning.use(on)
    tuning.keep_freed_memory()
    assert len(made) == calls


@pytest.mark.parametrize(("value", "on"), [("0", False), ("1", True), (None, True)])
def test_the_command_line_has_a_switch(monkeypatch: pytest.MonkeyPatch, value: str | None, on: bool) -> None:
    monkeypatch.delenv("QUORUM_TUNING", raising=False)
    if value is not None:
        monkeypatch.setenv("QUORUM_TUNING", value)
    assert main(["absent"]) == 2
    assert tuning.used() is on


def test_a_worker_does_as_the_process_that_it_serves() -> None:
    set_up(0, tuned=True)
    assert tuning.used()
    set_up(0, tuned=False)
    assert not tuning.used()
