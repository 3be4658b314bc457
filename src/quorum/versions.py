"""What a result depends on besides its configuration and data: this code, its packages and the machine."""

from __future__ import annotations

import ast
import functools
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from quorum.config import digest_of
from quorum.plugins import plugin_sources
from quorum.registry import interactive_sources
from quorum.source_code import code_digest, file_digest, reached

PACKAGE = Path(__file__).parent
# What a training is done by, and what its batches are made by.
ROOTS = ("training.job", "data.opened")
# Modules and packages that those import and that cannot change a result, with the reason. What they import does not
# count either, unless it is also reached another way.
EXCLUDED = {
    "": "names for users: what a training needs is imported by module",
    "console": "messages and progress bars",
    "data.sources.archives": "unpacks files; what comes out is in the data set's digest",
    "data.summary": "describes a data set to people",
    "voting.vote": "uses predictions of trained networks",
    "inference": "statistics of results",
    "errors": "classes of errors and their messages",
    "plugins": "finds plugins, which are hashed themselves",
    "processes": "which process this is",
    "reporting": "tables and figures of results",
    "rounding": "numbers in names, notes and tables",
    "shared_folder": "where files lie; contents are checked",
    "source_code": "finds and hashes modules",
    "storage": "where files lie; contents are checked",
    "summary": "mean and std of results",
    "tracking": "stores results",
    "temporary": "folders that are gone at the end",
    "tuning": "changes speed alone",
    "versions": "names results",
}
COMPUTING_PACKAGES = ("torch", "torchvision", "numpy", "pillow")
# Packages that compute only in networks whose names begin so.
NETWORK_PACKAGES = {"timm/": "timm"}
REPORTED = ("torch", "torchvision", "timm", "mlflow", "optuna", "numpy", "pandas", "scikit-learn", "pillow")


def code_version(*models: str) -> str:
    """Hash (16 hex digits) of all code that a training computes with: quorum's, its packages', that of loaded plugins,
    and that of scripts and notebook cells that have registered something.

    Args:
        models: names of the networks that are trained; the packages that they are from count too.
    """
    return _code_version(plugin_sources(), interactive_sources(), (*COMPUTING_PACKAGES, *network_packages(models)))


def network_packages(models: Iterable[str]) -> tuple[str, ...]:
    """The packages that some networks, given by name, are from, beside those that all need."""
    names = tuple(models)
    return tuple(
        package for start, package in NETWORK_PACKAGES.items() if any(name.startswith(start) for name in names)
    )


@functools.cache
def _code_version(plugins: tuple[Path, ...], interactive: tuple[str, ...], packages: tuple[str, ...]) -> str:
    version = digest_code(PACKAGE, plugins, {name: package_versions()[name] for name in packages})
    return digest_of([version, *interactive]) if interactive else version


def digest_code(package: Path, plugins: Iterable[Path], packages: Mapping[str, str]) -> str:
    """Hash (16 hex digits) of the code that a training computes with, read from its files.

    Comments, docstrings, formatting and the place of a file do not change it.

    Args:
        package: folder of a copy of quorum.
        plugins: source files of plugins, in any order.
        packages: versions by name of the packages that compute.
    """
    own = {name: code_digest(tree) for name, tree in computing_modules(package).items()}
    return digest_of([own, sorted(map(file_digest, plugins)), dict(packages)])


def computing_modules(package: Path = PACKAGE) -> dict[str, ast.Module]:
    """Syntax trees, by name within the package, of all modules whose code can change a training's result.

    Raises:
        FileNotFoundError: where a module of `ROOTS` does not exist.
    """
    prefix = f"{package.name}."
    found = reached(package.parent, [prefix + name for name in ROOTS], lambda name: _counts(name, package.name))
    own = {name.removeprefix(prefix): tree for name, tree in found.items()}
    if missing := set(ROOTS) - set(own):
        raise FileNotFoundError(f"{package}: no module {', '.join(sorted(missing))}")
    return own


def is_excluded(name: str) -> bool:
    """Whether a module of quorum, named without `quorum.`, is or belongs to one that cannot change a result."""
    return name in EXCLUDED or any(name.startswith(f"{part}.") for part in EXCLUDED if part)


def _counts(name: str, package: str) -> bool:
    top, _, inner = name.partition(".")
    return top == package and not is_excluded(inner)


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
    """The commit of this code, with `+changes` where the working tree differs from it; "" outside a repository."""
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
