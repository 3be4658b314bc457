"""Locks: one keeps two processes from doing the same piece of work, the other lets them do it in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from quorum.errors import QuorumError

LOCKS = "locks"  # folder of the locks, in a working folder
PATIENCE = 120.0  # seconds to wait for one's turn


@contextlib.contextmanager
def in_turn(file: Path, what: str) -> Iterator[None]:
    """Wait for the lock of a piece of work and hold it, so that processes do it one after the other.

    Args:
        file: of the lock, which all of them see.
        what: the work, in words.

    Raises:
        QuorumError: where it does not come free within two minutes.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise QuorumError(f"another process has been at the {what} for {PATIENCE:g} seconds") from error
    try:
        yield
    finally:
        lock.release()


def is_held(work_dir: Path, key: str) -> bool | None:
    """Whether a process works on a piece of work; None where it was never begun in this working folder."""
    file = work_dir / LOCKS / f"{key}.lock"
    if not file.exists():
        return None
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


@contextlib.contextmanager
def exclusively(work_dir: Path, key: str, what: str) -> Iterator[None]:
    """Hold the lock of a piece of work, so that it is done by one process. It ends with the process, however it ends.

    Raises:
        QuorumError: where another process holds it.
    """
    folder = work_dir / LOCKS
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
