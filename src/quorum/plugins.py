"""A user's own networks, data sets, operations, optimizers, schedules, losses and metrics, from files of their own.

A plugin is a Python module that calls `quorum.register_...`. It is found by name (`plugins=my_module`), as a file
(`plugins=path/to/file.py`), or because an installed package names it under the entry point group `quorum.plugins`. Its
source is part of the code version, so a changed plugin makes other results.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from quorum.errors import ConfigError, cut, shown
from quorum.source_code import module_file, reached

GROUP = "quorum.plugins"


@dataclass(frozen=True)
class _Plugin:
    """A plugin that was loaded.

    Attributes:
        name: what another process loads it by.
        sources: its file, and those that it imports from its own folder.
    """

    name: str
    sources: frozenset[Path]


_loaded: dict[str, _Plugin] = {}  # by file, or by name where there is no source file


def load_plugins(names: Iterable[str]) -> None:
    """Import plugins, each once, after those of installed packages.

    Args:
        names: importable modules (of the working folder, too) or paths of files.

    Raises:
        ConfigError: for one that does not exist or cannot be imported.
    """
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.value):
        _load(entry.module, f" of the installed package {entry.dist.name}" if entry.dist else "")
    for name in names:
        _load(name)


def loaded_plugins() -> tuple[str, ...]:
    """Names and absolute paths of all plugins that were loaded, for a worker process to load them too."""
    return tuple(plugin.name for plugin in _loaded.values())


def plugin_sources() -> tuple[Path, ...]:
    """Source files of all plugins that were loaded, and of what they import from their own folder, sorted."""
    return tuple(sorted(set[Path]().union(*(plugin.sources for plugin in _loaded.values()))))


def _load(name: str, origin: str = "") -> None:
    try:
        if name.endswith(".py"):
            _load_file(Path(name).resolve())
        else:
            _load_module(name)
    except (Exception, SystemExit) as error:
        reason = cut(f"{type(error).__name__}: {' '.join(str(error).split())}", 160)
        raise ConfigError(f"plugins: {shown(name)}{origin} cannot be imported ({reason})", setting="plugins") from error


def _load_file(file: Path) -> None:
    if str(file) in _loaded:
        return
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    folder = hashlib.sha256(str(file.parent).encode()).hexdigest()[:8]  # two folders may have files of one name
    spec = importlib.util.spec_from_file_location(f"quorum_plugin_{folder}_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    _loaded[str(file)] = _Plugin(str(file), _sources(file, file.parent, file.stem))


def _load_module(name: str) -> None:
    folder = str(Path.cwd())
    if folder not in sys.path:  # as `python -m` has it, and a console script has not
        sys.path.append(folder)
    importlib.invalidate_caches()  # a file may be younger than Python's list of its folder
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:  # None is the origin of a folder without __init__.py
        raise ModuleNotFoundError(f"no module of that name is installed or in {folder}")
    if spec.origin in _loaded:
        return
    importlib.import_module(name)
    file = Path(spec.origin)
    levels = name.count(".") + (spec.submodule_search_locations is not None)
    sources = _sources(file, file.parents[levels], name) if spec.has_location else frozenset[Path]()
    _loaded[spec.origin] = _Plugin(name, sources)


def _sources(file: Path, root: Path, name: str) -> frozenset[Path]:
    """The file of a plugin, and those of its own that it imports.

    Its own are all modules of its folder; among installed packages, those of its package. Quorum's are none.

    Args:
        file: the plugin's file.
        root: folder that holds its top-level module or package.
        name: its full name there.
    """
    top = name.partition(".")[0]
    installed = root.name in ("site-packages", "dist-packages")

    def follow(module: str) -> bool:
        first = module.partition(".")[0]
        return first == top if installed else first != "quorum"

    found = (module_file(root, module) for module in reached(root, [name], follow))
    return frozenset([file, *filter(None, found)])
