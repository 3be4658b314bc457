"""Where trainings on machines that share no folder leave files for one another: a path, or a URL that fsspec knows.

A stored folder has a key. Its files lie in `KEY/objects/`, each named by the SHA-256 of its content, and
`KEY/manifest.json` says which name has which content. An object store cannot rename, so the manifest takes the place of
renaming: it is written last and removed first, and without it the folder is not there.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import urlsplit

from quorum.console import say
from quorum.errors import StorageError, cut, masked

OBJECTS, MANIFEST = "objects", "manifest.json"
PATIENCE = 8.0  # seconds within which a storage has to answer when it is opened
GIGABYTE = 1e9

Manifest = dict[str, tuple[str, int]]
"""SHA-256 and bytes of each file, by its path within the folder."""


@dataclass(frozen=True)
class Storage:
    """A place for stored folders. Sent to another process, it is opened there anew.

    Attributes:
        url: absolute path, or URL such as `s3://bucket/prefix`.
        cache_bytes: what each machine may use for copies of what lies here, see `quorum.shared_folder`.
    """

    url: str
    cache_bytes: float = 20 * GIGABYTE

    @classmethod
    def at(cls, place: str, cache_gb: float) -> Self:
        """The storage at a path or URL, after something was written to it, read and removed.

        Raises:
            StorageError: within ten seconds, where that cannot be done.
        """
        opened = cls(place if "://" in place else str(Path(place).expanduser().resolve()), cache_gb * GIGABYTE)
        failed: list[StorageError] = []

        def check() -> None:
            try:
                opened._check()
            except StorageError as error:
                failed.append(error)

        # Drivers try again for minutes; the thread does not keep the process alive.
        thread = threading.Thread(target=check, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        if thread.is_alive():
            raise StorageError(f"storage {opened}: gives no answer within {PATIENCE:g} seconds")
        if failed:
            raise failed[0]
        return opened

    def __str__(self) -> str:
        return cut(masked(self.url))

    def manifest(self, key: str) -> Manifest | None:
        """What a stored folder holds; None if there is no such folder. A damaged manifest is reported and ignored."""
        content = self._read(f"{key}/{MANIFEST}")
        try:
            return None if content is None else parse_manifest(content)
        except ValueError:
            say(f"{self}/{key}: the manifest is damaged, so this folder is not used")
            return None

    def publish(self, key: str, files: Mapping[str, Path]) -> Manifest:
        """Make a stored folder hold these files and no others. Contents that it holds already are not sent again.

        Args:
            key: of the folder.
            files: by their paths within it.
        """
        after = {name: content_of(file) for name, file in files.items()}
        with self._told(f"write {key}"):
            before, there = self.manifest(key), self._objects(key)
            for name, (digest, size) in after.items():
                if there.get(digest) != size:
                    self._files.put_file(str(files[name]), self._path(key, OBJECTS, digest))
                    there[digest] = size
            self._commit(key, before, after)
        return after

    def add(self, key: str, name: str, text: str) -> None:
        """Put one more file into a stored folder, or another text into one that it holds."""
        content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        with self._told(f"write {key}/{name}"):
            before = self.manifest(key)
            self._write(self._path(key, OBJECTS, digest), content)
            self._commit(key, before, {**(before or {}), name: (digest, len(content))})

    def create(self, key: str) -> None:
        """Make an empty stored folder, unless there is one."""
        with self._told(f"write {key}"):
            if self.manifest(key) is None:
                self._commit(key, None, {})

    def text(self, key: str, name: str) -> str | None:
        """A small file of a stored folder; None where it is not there or does not have its checksum."""
        digest, _ = (self.manifest(key) or {}).get(name, ("", 0))
        content = self._read(f"{key}/{OBJECTS}/{digest}") if digest else None
        return content.decode() if content is not None and hashlib.sha256(content).hexdigest() == digest else None

    def fetch(self, key: str, name: str, content: tuple[str, int], file: Path) -> str:
        """Copy one file of a stored folder.

        Args:
            key: of the folder.
            name: of the file within it.
            content: that the manifest gives it.
            file: where to.

        Returns:
            What is wrong with it, in words; "" if it has its content.
        """
        with self._told(f"read {key}/{name}"):
            try:
                self._files.get_file(self._path(key, OBJECTS, content[0]), str(file))
            except FileNotFoundError:
                return f"{name} is missing"
        return "" if content_of(file) == content else f"{name} does not have its checksum"

    def discard(self, key: str) -> None:
        """Remove a stored folder and all below it: the manifests first, so that none names what is gone."""
        with self._told(f"remove {key}"), contextlib.suppress(FileNotFoundError):
            for path in self._files.find(self._path(key)):
                if path.endswith(f"/{MANIFEST}"):
                    self._files.rm_file(path)
            self._files.rm(self._path(key), recursive=True)

    def sizes(self, key: str) -> dict[str, int]:
        """Bytes that each folder below a key takes, by its name."""
        sizes: dict[str, int] = {}
        with self._told(f"list {key}"):
            for path, entry in self._files.find(self._path(key), detail=True).items():
                name, _, inner = path.removeprefix(self._path(key)).strip("/").partition("/")
                if inner and name != OBJECTS:
                    sizes[name] = sizes.get(name, 0) + int(entry["size"])
        return sizes

    @property
    def _files(self) -> Any:
        return _opened(self.url)[0]

    def _path(self, *parts: str) -> str:
        return "/".join((_opened(self.url)[1].rstrip("/"), *parts))

    def _objects(self, key: str) -> dict[str, int]:
        """Bytes of the objects of a stored folder, by name."""
        found = self._files.find(self._path(key, OBJECTS), detail=True)
        return {path.rpartition("/")[2]: int(entry["size"]) for path, entry in found.items()}

    def _commit(self, key: str, before: Manifest | None, after: Manifest) -> None:
        """Write a manifest, and remove what only the one before it named."""
        self._write(self._path(key, MANIFEST), json.dumps(after).encode())
        named = {digest for digest, _ in after.values()}
        for digest in {digest for digest, _ in (before or {}).values()} - named:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(key, OBJECTS, digest))

    def _read(self, name: str) -> bytes | None:
        with self._told(f"read {name}"):
            try:
                content: bytes = self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None
        return content

    def _write(self, path: str, content: bytes) -> None:
        """Write a small file at once: object stores do so, file systems rename."""
        if not _is_local(self._files):
            self._files.pipe_file(path, content)
            return
        part = f"{path}.{uuid.uuid4().hex}"
        self._files.pipe_file(part, content)
        Path(part).replace(path)

    def _check(self) -> None:
        key = f"check-{uuid.uuid4().hex}"
        self.create(key)
        self.discard(key)
        if self.manifest(key) is not None:
            raise StorageError(f"storage {self}: what is removed from it stays")

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except Exception as error:  # each of fsspec's drivers has errors of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            if password := urlsplit(self.url).password:
                reason = reason.replace(password, "***")
            raise StorageError(f"storage {self}: cannot {what} ({masked(reason)[:160]})") from error


def parse_manifest(content: bytes) -> Manifest:
    """A manifest from its file. Raises ValueError where it is none, or names a file outside its folder."""
    entries = json.loads(content)
    if not isinstance(entries, dict):
        raise ValueError("no manifest")
    manifest: Manifest = {}
    for name, entry in entries.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not isinstance(entry, list) or len(entry) != 2:
            raise ValueError(f"no file of a folder: {name!r}")
        manifest[name] = (str(entry[0]), int(entry[1]))
    return manifest


def content_of(file: Path) -> tuple[str, int]:
    """SHA-256 of a file, and its bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest(), file.stat().st_size


@functools.lru_cache(maxsize=8)
def _opened(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it."""
    shown = cut(masked(url))
    try:
        from fsspec.core import url_to_fs

        # Other machines write too: a listing is never taken from memory.
        files, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise StorageError(
            f"storage {shown}: needs a package that is not installed ({error}); pip install 'quorum[storage]' "
            "brings those for paths and s3://"
        ) from error
    except ValueError as error:
        raise StorageError(
            f"storage {shown}: {error}; give a path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
        ) from error
    if _is_local(files):
        files.auto_mkdir = True  # an object store has no folders to make first
    return files, str(root)


def _is_local(files: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(files, LocalFileSystem)
