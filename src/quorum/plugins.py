"""A user's own networks, data sets, operations, optimizers, schedules, losses and metrics, from files of their own.

A plugin is a Python module that calls `quorum.register_...`. It is found by name (`plugins=my_module`), as a file
(`plugins=path/to/file.py`), or because an installed package names it under the entry point group `quorum.plugins`. Its
source is part of the code version, so a changed plugin makes other results.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from quorum.errors import ConfigError

GROUP = "quorum.plugins"
_loaded: dict[str, Path | None] = {}  # source by the name that a plugin was asked for by


def load_plugins(names: Iterable[str]) -> None:
    """Import plugins, each once, after those of installed packages.

    Args:
        names: importable modules or paths of files.

    Raises:
        ConfigError: for one that is not there or cannot be imported.
    """
    installed = [entry.value for entry in metadata.entry_points(group=GROUP)]
    for name in [*installed, *names]:
        if name not in _loaded:
            module = _import_file(Path(name)) if name.endswith(".py") else _import_module(name)
            _loaded[name] = Path(module.__file__) if module.__file__ else None


def loaded_plugins() -> tuple[str, ...]:
    """The names of all plugins that were loaded, for a worker process to load them too."""
    return tuple(_loaded)


def plugin_sources() -> tuple[Path, ...]:
    """The source files of all plugins that were loaded, in the order of their names."""
    return tuple(file for _, file in sorted(_loaded.items()) if file is not None)


def _import_module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:  # as `python -m` has it, and a console script has not
        sys.path.append(folder)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise _refused(name, error) from error


def _import_file(file: Path) -> ModuleType:
    file = file.resolve()
    spec = importlib.util.spec_from_file_location(f"quorum_plugin_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _refused(str(file), error) from error
    return module


def _refused(name: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())
    return ConfigError(f"plugins: {name} cannot be imported ({type(error).__name__}: {reason[:160]})")
