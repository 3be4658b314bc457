"""Kept activations: whole or not there, bounded, and shared by processes."""

from __future__ import annotations

import errno
import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from quorum.engine import activations
from quorum.engine.activations import META, VALUES, Activations, ActivationStore


def made(images: int = 10, width: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.arange(images * width).view(images, width).to(dtype)


def never() -> Iterator[torch.Tensor]:
    for _ in range(1):
        raise AssertionError("computed again")
    yield torch.zeros(0)


def get(store: ActivationStore, name: str, values: torch.Tensor) -> Activations | None:
    return store.get(name, images=len(values), blocks=values.split(4), what=name)


def whole(found: Activations | None) -> torch.Tensor:
    assert found is not None
    return found.part(0, len(found.packed), torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["flat", "channels last", "contiguous", "gaps"])
def test_they_come_back_as_they_were_laid_out(tmp_path: Path, dtype: torch.dtype, kind: str) -> None:
    values = torch.randn(10, 5, 4, 6).to(dtype)
    if kind == "channels last":
        values = values.to(memory_format=torch.channels_last)
    elif kind == "flat":
        values = values.flatten(1)
    elif kind == "gaps":
        values = values[:, 2]
    store = ActivationStore(tmp_path, 1e9)
    for _ in range(2):
        found = get(store, "some", values)
        assert torch.equal(whole(found), values)
        assert whole(found).stride() == values.stride()
        assert found is not None
        picked = found.pick(torch.tensor([7, 2]), torch.device("cpu"))
        assert torch.equal(picked, values[[7, 2]])
        assert picked.stride() == values.stride()
        picked.zero_()  # copies
        store.get("some", images=10, blocks=never(), what="")


def test_other_names_are_other_activations(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path, 1e9)
    one, other = made(), made() + 1
    assert torch.equal(whole(get(store, "one", one)), one)
    assert torch.equal(whole(get(store, "other", other)), other)
    assert torch.equal(whole(get(store, "one", one)), one)


def test_what_was_not_used_for_the_longest_time_goes(tmp_path: Path) -> None:
    values = made(10, 100)  # 4,000 bytes
    store = ActivationStore(tmp_path, 9500)  # room for two with what describes them
    for name in ("a", "b"):
        get(store, name, values)
    in_use = get(store, "a", values)
    get(store, "c", values)
    assert sum(file.stat().st_size for file in tmp_path.glob(f"*/{VALUES}")) == 8000
    for name in ("a", "c"):
        assert store.get(name, images=10, blocks=never(), what="") is not None
    with pytest.raises(AssertionError, match="computed again"):
        store.get("b", images=10, blocks=never(), what="")
    get(store, "d", values)
    get(store, "e", values)
    assert torch.equal(whole(in_use), values)  # whoever has it open keeps it


def test_what_is_being_opened_stays_where_another_process_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To check a large one takes seconds, in which it is still the one that was not used for the longest time."""
    values = made(10, 100)
    store = ActivationStore(tmp_path, 4500)  # room for one
    get(store, "a", values)
    checked = activations._crc_once

    def while_another_computes(file: Path, mtime: int, inode: int) -> int:
        monkeypatch.undo()
        get(store, "b", values + 1)
        return checked(file, mtime, inode)

    monkeypatch.setattr(activations, "_crc_once", while_another_computes)
    assert torch.equal(whole(store.get("a", images=10, blocks=never(), what="")), values)
    get(store, "c", values)
    assert [file.stat().st_size for file in tmp_path.glob(f"*/{VALUES}")] == [4000]


def test_one_that_is_removed_by_hand_is_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ActivationStore(tmp_path, 1e9)
    get(store, "some", made())
    checked = activations._crc_once

    def removed(file: Path, mtime: int, inode: int) -> int:
        monkeypatch.undo()
        shutil.rmtree(file.parent)
        return checked(file, mtime, inode)

    monkeypatch.setattr(activations, "_crc_once", removed)
    assert torch.equal(whole(get(store, "some", made())), made())


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    assert get(ActivationStore(tmp_path, 100), "large", made()) is None
    assert not list(tmp_path.glob("*/*"))


@pytest.mark.parametrize("damage", ["values", "short", "meta", "no values"])
def test_a_damaged_one_is_told_and_computed_anew(
    tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = ActivationStore(tmp_path, 1e9)
    get(store, "some", made())
    file = next(tmp_path.glob(f"*/{META if damage == 'meta' else VALUES}"))
    capfd.readouterr()
    if damage == "no values":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[5] ^= 0xFF
        file.unlink()
        file.write_bytes(content[:20] if damage == "short" else content)
    assert torch.equal(whole(get(store, "some", made())), made())
    assert ("are damaged" in capfd.readouterr().err) == (damage != "no values")
    store.get("some", images=10, blocks=never(), what="")


def test_a_pass_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    def blocks() -> Iterator[torch.Tensor]:
        yield made()[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ActivationStore(tmp_path, 1e9).get("some", images=10, blocks=blocks(), what="some")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", ["some", "another"])
def test_what_a_killed_process_left_is_removed(tmp_path: Path, name: str) -> None:
    store = ActivationStore(tmp_path, 1e9)
    get(store, name, made())
    [home] = [path for path in tmp_path.iterdir() if path.is_dir()]
    home.rename(tmp_path / f".{home.name}-x1y2")
    get(store, "some", made())
    [left] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert not left.name.startswith(".")
    assert (left == home) == (name == "some")


def test_what_a_living_process_computes_stays(tmp_path: Path) -> None:
    """Even when it has written all of it, and is about to rename it."""
    store = ActivationStore(tmp_path, 100)
    get(store, "another", made(2))
    [home] = [path for path in tmp_path.iterdir() if path.is_dir()]
    part = home.rename(tmp_path / f".{home.name}-x1y2")
    with FileLock(tmp_path / f".{home.name}.lock"):
        get(store, "some", made(8))
    assert sorted(file.name for file in part.iterdir()) == [META, VALUES]


def test_half_of_one_goes_first(tmp_path: Path) -> None:
    """What is left of a process that was killed between its renames, or between its removals."""
    values = made(10, 100)
    store = ActivationStore(tmp_path, 9500)
    get(store, "a", values)
    get(store, "b", values)
    used = max(tmp_path.glob(f"*/{META}"), key=lambda meta: meta.stat().st_mtime)
    used.unlink()
    get(store, "c", values)
    for name in ("a", "c"):
        store.get(name, images=10, blocks=never(), what="")
    assert len(list(tmp_path.glob(f"*/{VALUES}"))) == 2


def test_a_full_disk_is_an_error_of_the_system_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("quorum.engine.activations.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        get(ActivationStore(tmp_path, 1e9), "some", made())
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def _ask(folder: Path, counted: Path) -> None:
    def blocks() -> Iterator[torch.Tensor]:
        with counted.open("a") as file:
            file.write("computed\n")
        yield made()

    found = ActivationStore(folder, 1e9).get("some", images=10, blocks=blocks(), what="some")
    assert torch.equal(whole(found), made())


def test_processes_that_ask_at_once_compute_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_ask, args=(tmp_path / "kept", tmp_path / "counted")) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "counted").read_text() == "computed\n"


def _ask_for_many(folder: Path, first: int) -> None:
    for number in range(first, first + 30):
        values = made(10, 100) + number
        assert torch.equal(whole(get(ActivationStore(folder, 9500), str(number), values)), values)


@pytest.mark.slow
def test_processes_make_room_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_ask_for_many, args=(tmp_path, 10 * place)) for place in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_it_comes_back_where_its_folder_was_removed(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path / "kept", 1e9)
    get(store, "some", made())
    shutil.rmtree(tmp_path / "kept")
    assert torch.equal(whole(get(store, "some", made())), made())
