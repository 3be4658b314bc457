"""Folders that trainings hand to one another: on this machine's disk and, with a storage, there as well.

Without a storage a shared folder is a folder. With one, what is written is published, what is read is fetched first
where the storage has it otherwise, and the folder below `work_dir` is this machine's copy. Copies are used by one
process at a time, which holds their lock, and are removed, the least recently used first, where they take more than
the storage's `cache_bytes`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from quorum.console import say
from quorum.errors import StorageError
from quorum.storage import Manifest, Storage, content_of, parse_manifest

COPIES = "copies"  # folder of locks and manifests of copies, in a working folder
_ENDING = ".json"  # of the manifest that a copy was published or fetched with
_TRIES = 2  # at a folder that may be written anew while it is read

_mapped: dict[SharedFolder, FileLock] = {}  # copies that this process uses until it ends


@dataclass(frozen=True)
class SharedFolder:
    """One folder.

    Attributes:
        work_dir: of the process that uses it. A relative one is each process's own.
        key: its path below the working folder, and its name in the storage.
        storage: where other machines find it; None where there are none.
    """

    work_dir: Path
    key: str
    storage: Storage | None = None

    @property
    def path(self) -> Path:
        """Where it is on this machine."""
        return self.work_dir / self.key

    def child(self, name: str) -> SharedFolder:
        """A folder in it."""
        return SharedFolder(self.work_dir, f"{self.key}/{name}", self.storage)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Path | None]:
        """The folder as it was last written anywhere, for as long as it is read; None if there is no such folder.

        A damaged folder is reported, removed from the storage, and treated as missing.

        Raises:
            StorageError: where the storage cannot be read.
        """
        if self.storage is None:
            yield self.path if self.path.is_dir() else None
            return
        with self._lock:
            self._fetch(self.storage)
            yield self.path if self.path.is_dir() else None

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """The folder to write to, which may be still to be made; what is in it at the end is published.

        Raises:
            StorageError: where the storage cannot be written.
        """
        if self.storage is None:
            yield self.path
            return
        with self._lock:
            yield self.path
            self._record(self.storage.publish(self.key, _files(self.path)))

    def offer(self, files: Mapping[str, Path] | None = None) -> None:
        """Publish a folder that is always the same, unless somebody has. Without a storage, files that do not lie in it
        are copied there.

        Args:
            files: that it holds, by name, where they do not lie in it; by default those that do.

        Raises:
            StorageError: where the storage cannot be written, or there is no folder.
        """
        if self.storage is None:
            self._copy(files or {})
            return
        if self.storage.manifest(self.key) is not None:
            return
        if files is not None:
            self.storage.publish(self.key, files)
            return
        if not self.path.is_dir():
            raise StorageError(f"{self.path}: was removed while it was used")
        with self.writing():
            pass

    def _copy(self, files: Mapping[str, Path]) -> None:
        for name, file in files.items():
            place = self.path / name
            if not place.exists():
                self.path.mkdir(parents=True, exist_ok=True)
                part = place.with_name(f".{name}.{os.getpid()}.part")
                shutil.copyfile(file, part)
                part.replace(place)

    def keep(self) -> None:
        """Never remove this machine's copy to make room while this process lives."""
        if self.storage is not None and self not in _mapped:
            self._is_kept()  # removes what processes that have ended left
            lock = FileLock(self._beside(f".{os.getpid()}.used"))
            lock.acquire()
            _mapped[self] = lock

    def exists(self) -> bool:
        """Whether there is one, on this machine or in the storage."""
        if self.storage is None:
            return self.path.exists()
        unpublished = self.path.exists() and self._recorded() is None
        return unpublished or self.storage.manifest(self.key) is not None

    def create(self) -> None:
        """Make an empty one, unless there is one."""
        if self.storage is None:
            self.path.mkdir(parents=True, exist_ok=True)
        else:
            self.storage.create(self.key)

    def discard(self) -> None:
        """Remove it and all folders in it, which need not be there, from the storage and from this machine."""
        if self.storage is None:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        self.storage.discard(self.key)
        with self._lock:
            self._remove_copy()
            shutil.rmtree(self.work_dir / COPIES / self.key, ignore_errors=True)
            self._beside(".lock").unlink(missing_ok=True)

    def add(self, name: str, text: str) -> None:
        """Write a small file into it, wherever the others were written."""
        if self.storage is None:
            (self.path / name).write_text(text)
        else:
            self.storage.add(self.key, name, text)

    def text(self, name: str) -> str | None:
        """The content of a small file in it; None where there is none."""
        if self.storage is not None:
            return self.storage.text(self.key, name)
        file = self.path / name
        return file.read_text() if file.is_file() else None

    def sizes(self) -> dict[str, int]:
        """Bytes of each folder in it, by name."""
        if self.storage is not None:
            return self.storage.sizes(self.key)
        return {folder.name: _size(folder) for folder in self.path.iterdir() if folder.is_dir()}

    def __str__(self) -> str:
        return str(self.path) if self.storage is None else f"{self.storage}/{self.key}"

    @property
    def _lock(self) -> FileLock:
        return FileLock(self._beside(".lock"))

    def _beside(self, ending: str) -> Path:
        """A file about this machine's copy."""
        file = self.work_dir / COPIES / f"{self.key}{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _recorded(self) -> Manifest | None:
        """What the storage held when this machine's copy was last published or fetched; None for one of its own."""
        try:
            return parse_manifest(self._beside(_ENDING).read_bytes())
        except (OSError, ValueError):
            return None

    def _record(self, manifest: Manifest) -> None:
        assert self.storage is not None
        self._beside(_ENDING).write_text(json.dumps(manifest))
        _make_room(self.work_dir, self.storage.cache_bytes)

    def _fetch(self, storage: Storage) -> None:
        """Make this machine's copy what the storage has. What was not published yet stays, if nothing else was."""
        problem = ""
        for _ in range(_TRIES):
            there, here = storage.manifest(self.key), self._recorded()
            if there is None:
                if here is not None:  # another machine has removed it
                    self._remove_copy()
                return
            if there == here and self.path.is_dir():
                self._beside(_ENDING).touch()
                return
            if not (problem := self._pull(storage, there)):
                self._record(there)
                return
        say(f"{self}: is damaged ({problem}), so it is not used")
        storage.discard(self.key)
        self._beside(_ENDING).unlink(missing_ok=True)  # an older copy here is this machine's own from now on

    def _pull(self, storage: Storage, manifest: Manifest) -> str:
        """Fetch what differs, beside the folder's place, and rename. Returns what is damaged, or ""."""
        same = {name for name, content in manifest.items() if _has(self.path / name, content)}
        if same == set(manifest) and self.path.is_dir():
            return ""
        part = self.path.with_name(f".{self.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            for name, content in manifest.items():
                file = part / name
                file.parent.mkdir(parents=True, exist_ok=True)
                if name in same:
                    shutil.copyfile(self.path / name, file)
                elif problem := storage.fetch(self.key, name, content, file):
                    return problem
            self._remove_copy()
            part.rename(self.path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return ""

    def _remove_copy(self) -> None:
        gone = self.path.with_name(f".{self.path.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        if self.path.exists():
            self.path.rename(gone)  # at once, so that a kill leaves no half of it
        self._beside(_ENDING).unlink(missing_ok=True)
        shutil.rmtree(gone, ignore_errors=True)

    def _remove_unused(self) -> bool:
        """Remove this machine's copy unless a process uses it. Returns whether it did."""
        try:
            with self._lock.acquire(timeout=0):
                if self._is_kept():
                    return False
                self._remove_copy()
                return True
        except Timeout:
            return False

    def _is_kept(self) -> bool:
        """Whether a process that lives has asked to keep it."""
        start = f"{self.key.rpartition('/')[2]}."
        for file in self._beside("").parent.iterdir():
            if file.name.startswith(start) and file.suffix == ".used":
                try:
                    with FileLock(file, timeout=0):
                        file.unlink()
                except Timeout:
                    return True
        return False


def _make_room(work_dir: Path, limit: float) -> None:
    """Remove copies, the least recently used first, until they take no more than a number of bytes."""
    copies: list[tuple[float, int, str]] = []
    root = work_dir / COPIES
    for file in root.rglob(f"*{_ENDING}"):
        with contextlib.suppress(OSError, ValueError):  # another process is at it
            size = sum(size for _, size in parse_manifest(file.read_bytes()).values())
            copies.append((file.stat().st_mtime, size, file.relative_to(root).as_posix().removesuffix(_ENDING)))
    used = sum(size for _, size, _ in copies)
    for _, size, key in sorted(copies):
        if used <= limit:
            return
        if SharedFolder(work_dir, key)._remove_unused():
            used -= size


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their paths in it, without those that a killed process left half-written.

    In the order in which they were written, in which they are then fetched: some tell by it that they have not changed.
    """
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".part"]
    files.sort(key=lambda file: (file.stat().st_mtime_ns, file.name))
    return {file.relative_to(folder).as_posix(): file for file in files}


def _has(file: Path, content: tuple[str, int]) -> bool:
    return file.is_file() and file.stat().st_size == content[1] and content_of(file) == content


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
