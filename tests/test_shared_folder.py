"""Shared folders: fetched, published and discarded by machines that see one storage, on disks that stay bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quorum.shared_folder import SharedFolder
from quorum.storage import OBJECTS, Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(str(tmp_path / "shared"), 1)


def on(machine: str, tmp_path: Path, storage: Storage | None, key: str = "states/run") -> SharedFolder:
    """The folder as a machine has it."""
    return SharedFolder(tmp_path / machine, key, storage)


def write(folder: SharedFolder, text: str, name: str = "last.pt") -> None:
    with folder.writing() as path:
        path.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)


def read(folder: SharedFolder, name: str = "last.pt") -> str | None:
    with folder.reading() as path:
        return (path / name).read_text() if path is not None else None


def copies(work_dir: Path) -> set[str]:
    """Keys of the folders that a machine has copies of."""
    return {file.parent.relative_to(work_dir).as_posix() for file in work_dir.rglob("last.pt")}


def test_without_a_storage_it_is_a_folder(tmp_path: Path) -> None:
    folder = on("a", tmp_path, None, "run")
    assert read(folder) is None
    assert not folder.exists()
    write(folder, "1")
    folder.create()
    folder.add("origin", "someone")
    folder.offer()
    folder.keep()
    assert (read(folder), folder.text("origin"), folder.text("other")) == ("1", "someone", None)
    write(folder.child("node"), "12345")
    assert folder.sizes() == {"node": 5}
    folder.discard()
    assert not list((tmp_path / "a").iterdir())


def test_what_one_machine_wrote_another_reads(tmp_path: Path, storage: Storage) -> None:
    here, there = on("a", tmp_path, storage), on("b", tmp_path, storage)
    assert read(there) is None
    for text in ("1", "2"):
        write(here, text)
        assert read(there) == text
    write(there, "3")
    assert read(here) == "3"
    assert here.exists()


def test_what_was_not_published_yet_is_read_unless_another_machine_went_on(tmp_path: Path, storage: Storage) -> None:
    """As after a kill between writing and publishing."""
    here, there = on("a", tmp_path, storage), on("b", tmp_path, storage)
    here.path.mkdir(parents=True)
    (here.path / "last.pt").write_text("before anything was published")
    assert here.exists()
    assert read(here) == "before anything was published"
    write(here, "1")
    (here.path / "last.pt").write_text("2")
    assert read(here) == "2"
    write(there, "3")
    assert read(here) == "3"


def test_discarded_on_one_machine_it_is_gone_on_all(tmp_path: Path, storage: Storage) -> None:
    here, there = on("a", tmp_path, storage), on("b", tmp_path, storage)
    write(here, "1")
    assert read(there) == "1"
    here.discard()
    assert not there.exists()
    assert read(there) is None
    assert not here.path.exists()
    assert not there.path.exists()


def test_files_that_a_killed_process_left_half_written_are_not_published(tmp_path: Path, storage: Storage) -> None:
    here = on("a", tmp_path, storage)
    here.path.mkdir(parents=True)
    (here.path / ".last.pt.17.part").write_text("ha")
    write(here, "1")
    assert set(storage.manifest(here.key) or {}) == {"last.pt"}


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_damaged_one_is_told_and_counts_as_none(
    tmp_path: Path, storage: Storage, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    here, there = on("a", tmp_path, storage), on("b", tmp_path, storage)
    write(here, "1")
    [file] = (tmp_path / "shared" / here.key / OBJECTS).iterdir()
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("x")
    assert read(there) is None
    assert "states/run: is damaged (last.pt" in capfd.readouterr().err
    assert not there.path.exists()
    write(there, "1")
    assert read(on("c", tmp_path, storage)) == "1"


def test_what_is_there_already_is_not_pulled_again(tmp_path: Path, storage: Storage) -> None:
    here, there = on("a", tmp_path, storage), on("b", tmp_path, storage)
    write(here, "large", "best.pt")
    write(here, "1")
    assert read(there) == "1"
    best = [file for file in (tmp_path / "shared" / here.key / OBJECTS).iterdir() if file.read_text() == "large"]
    best[0].write_text("LARGE")  # whoever pulls it sees that it is damaged
    storage.add(here.key, "origin", "someone")
    assert (read(there), read(there, "best.pt"), read(there, "origin")) == ("1", "large", "someone")


def test_a_folder_that_is_always_the_same_is_published_once(tmp_path: Path, storage: Storage) -> None:
    here = on("a", tmp_path, storage, "pixels/digits")
    here.path.mkdir(parents=True)
    (here.path / "last.pt").write_text("1")
    here.offer()
    (here.path / "last.pt").write_text("2")
    here.offer()
    assert read(on("b", tmp_path, storage, "pixels/digits")) == "1"
    file = tmp_path / "weights.pt"
    file.write_text("3")
    on("a", tmp_path, storage, "first-weights/0").offer({"weights.pt": file})
    assert read(on("b", tmp_path, storage, "first-weights/0"), "weights.pt") == "3"


PULL = """
import sys, time
from pathlib import Path
from fsspec.implementations.local import LocalFileSystem
from quorum.shared_folder import SharedFolder
from quorum.storage import Storage

get_file = LocalFileSystem.get_file

def slow(self, *arguments, **named):
    with open(sys.argv[3], "a") as log:
        log.write("pulled\\n")
    time.sleep(0.3)
    return get_file(self, *arguments, **named)

LocalFileSystem.get_file = slow
with SharedFolder(Path(sys.argv[1]), "pixels/digits", Storage(sys.argv[2])).reading() as path:
    assert (path / "last.pt").read_text() == "1"
"""


@pytest.mark.slow
def test_processes_of_one_machine_pull_once(tmp_path: Path, storage: Storage) -> None:
    write(on("a", tmp_path, storage, "pixels/digits"), "1")
    log = tmp_path / "log.txt"
    words = [sys.executable, "-c", PULL, str(tmp_path / "b"), storage.url, str(log)]
    processes = [subprocess.Popen(words) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]
    assert log.read_text() == "pulled\n"


def test_copies_take_no_more_than_the_cache(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "shared"), cache_bytes=3000)
    for number in range(6):
        write(on("a", tmp_path, storage, f"states/{number}"), str(number) * 1000)
    assert copies(tmp_path / "a") == {"states/3", "states/4", "states/5"}
    for number in range(6):  # each is in the storage
        assert read(on("b", tmp_path, storage, f"states/{number}")) == str(number) * 1000
    age(tmp_path / "b")
    assert read(on("b", tmp_path, storage, "states/3")) == "3" * 1000  # used again
    assert read(on("b", tmp_path, storage, "states/0")) == "0" * 1000
    assert copies(tmp_path / "b") == {"states/0", "states/3", "states/5"}


def age(work_dir: Path) -> None:
    """Let an hour pass."""
    for file in work_dir.rglob("*.json"):
        status = file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns - 3600 * 10**9))


def test_what_is_used_is_never_removed_to_make_room(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "shared"), cache_bytes=1000)
    kept, held = on("a", tmp_path, storage, "pixels/kept"), on("a", tmp_path, storage, "states/held")
    write(kept, "k" * 1000)
    kept.keep()
    write(held, "h" * 1000)
    with held.reading():
        write(on("a", tmp_path, storage, "states/other"), "o" * 1000)
        assert copies(tmp_path / "a") == {"pixels/kept", "states/held", "states/other"}
    write(on("a", tmp_path, storage, "states/last"), "l" * 1000)
    assert copies(tmp_path / "a") == {"pixels/kept", "states/last"}


def test_what_only_this_machine_has_is_never_removed(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "shared"), cache_bytes=0)
    own = on("a", tmp_path, storage, "states/own")
    own.path.mkdir(parents=True)
    (own.path / "last.pt").write_text("1")
    write(on("a", tmp_path, storage, "states/other"), "2")
    assert copies(tmp_path / "a") == {"states/own", "states/other"}
