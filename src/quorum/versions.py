"""What a result depends on besides its configuration and data: this code, its packages and the machine."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent
# The parts whose code decides what a training computes.
COMPUTING = ("config.py", "recipe.py", "randomness.py", "data", "models", "engine")
REPORTED = ("torch", "torchvision", "mlflow", "optuna", "numpy", "pandas", "scikit-learn", "pillow")


@functools.cache
def code_version() -> str:
    """Hash (16 hex digits) of the code that computes results and of torch's version."""
    hasher = hashlib.sha256(metadata.version("torch").encode())
    for part in COMPUTING:
        path = PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            hasher.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return hasher.hexdigest()[:16]


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of Python and the packages that matter, by name."""
    versions = {"python": platform.python_version()}
    for name in REPORTED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


@functools.cache
def git_commit() -> str:
    """The commit this code stands at, with `+changes` where the tree differs from it; "" outside a repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


@functools.cache
def machine() -> dict[str, str]:
    """Processor, cores and system."""
    return {"system": platform.platform(), "processor": _processor(), "cores": str(os.cpu_count())}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
