"""A lock that keeps two processes from doing the same piece of work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from quorum.errors import QuorumError


@contextlib.contextmanager
def exclusively(work_dir: Path, key: str, what: str) -> Iterator[None]:
    """Hold the lock of a piece of work, so that it is done by one process. It ends with the process, however it ends.

    Raises:
        QuorumError: where another process holds it.
    """
    folder = work_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise QuorumError(f"this {what} is being worked on by another process") from error
    try:
        yield
    finally:
        lock.release()
