"""Temporary folders that a killed process does not leave for ever."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from quorum.processes import machine


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone at the end. Those of processes of this machine that are dead are removed first."""
    _remove_left()
    with tempfile.TemporaryDirectory(prefix=f"{_prefix()}{os.getpid()}-") as folder:
        yield Path(folder)


def lasting_folder() -> Path:
    """A new folder that is gone when this process ends. Those of processes that are dead are removed first."""
    _remove_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _prefix() -> str:
    """What the names of this machine's folders begin with, before the pid: others may see the same place."""
    # Without the start of the machine, which `machine` begins with: what is left from before is to be removed, too.
    here = f"{socket.gethostname()} {machine().rpartition(' ')[2]}"
    return f"quorum-{hashlib.sha256(here.encode()).hexdigest()[:8]}-"


def _remove_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        match = re.fullmatch(rf"{_prefix()}(\d+)-\w+", folder.name)
        if match and not _is_alive(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)  # another user's stays


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
