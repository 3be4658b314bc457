"""The folder in which `mlflow run` was typed. It starts its command in the project's folder, which is a temporary clone
where the project is a URL: data, states and predictions would be lost there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path


def enter_folder_of(pid: str, environment: MutableMapping[str, str]) -> None:
    """Make the working folder of another process this one's. Where the system does not tell it, or it is gone, this
    process stays where it is.

    Args:
        pid: of the process.
        environment: of this one.
    """
    folder = _folder_of(pid)
    if not folder:
        return
    # MLproject gives src, by its relative path, to this process and to those that it starts.
    sys.path[:] = [str(Path(entry).absolute()) for entry in sys.path]
    if (given := environment.get("PYTHONPATH")) is not None:
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in given.split(os.pathsep))
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _folder_of(pid: str) -> str:
    """The working folder of a process, or ""."""
    try:
        if Path("/proc/self/cwd").exists():
            return str(Path("/proc", pid, "cwd").readlink())
        done = subprocess.run(
            ["lsof", "-a", "-p", pid, "-d", "cwd", "-F", "n"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return next((line[1:] for line in done.stdout.splitlines() if line.startswith("n/")), "")
