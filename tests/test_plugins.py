"""Plugins are found by name, as a file or as an entry point, and loaded once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorum import plugins
from quorum.errors import ConfigError
from quorum.plugins import load_plugins, loaded_plugins, plugin_sources

LOADED: list[str] = []  # what plugins of these tests have done
RECORD = "from tests.test_plugins import LOADED\nLOADED.append(__name__)\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Writes a plugin into the working folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(plugins, "_loaded", {})
    LOADED.clear()

    def write(name: str, text: str = RECORD) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    yield write
    for name, module in [*sys.modules.items()]:
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


Write = Callable[..., Path]


def test_a_module_of_the_working_folder(write: Write) -> None:
    file = write("my_module.py")
    load_plugins(["my_module"])
    assert LOADED == ["my_module"]
    assert plugin_sources() == (file,)
    assert loaded_plugins() == ("my_module",)


def test_a_file_relative_to_the_working_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("nets/my-file.v2.py")
    load_plugins(["nets/my-file.v2.py"])
    monkeypatch.chdir(file.parent)
    load_plugins(["my-file.v2.py", str(file)])
    assert len(LOADED) == 1
    assert plugin_sources() == (file,)
    assert loaded_plugins() == (str(file),)  # absolute: a worker may work elsewhere


def test_each_plugin_is_loaded_once_whatever_it_is_called(write: Write) -> None:
    write("my_module.py")
    load_plugins(["my_module", "my_module"])
    load_plugins(["my_module", "my_module.py", "./my_module.py"])
    assert LOADED == ["my_module"]


def test_files_of_one_name_in_two_folders_are_two(write: Write) -> None:
    files = (write("a/net.py"), write("b/net.py"))
    load_plugins(["a/net.py", "b/net.py"])
    assert plugin_sources() == files
    assert len(set(LOADED)) == 2
    assert all(name in sys.modules for name in LOADED)  # so that what they define can be sent to workers


def test_what_a_plugin_imports_from_its_own_folder_is_its_source(write: Write) -> None:
    package = [write("my_package/__init__.py", ""), write("my_package/nets.py", "from . import parts\n" + RECORD)]
    package += [write("my_package/parts.py", "import pytest\nimport quorum.errors\nimport helper\n")]
    write("quorum/errors.py", "")  # as where a plugin is beside quorum's own source
    helper = write("helper.py", "")
    write("my_package/unused.py")
    load_plugins(["my_package.nets"])
    assert plugin_sources() == tuple(sorted([*package, helper]))


def test_a_package_is_a_plugin(write: Write) -> None:
    files = [write("my_package/__init__.py", "from my_package import nets\n"), write("my_package/nets.py")]
    load_plugins(["my_package"])
    assert LOADED == ["my_package.nets"]
    assert plugin_sources() == tuple(files)


def install(write: Write, module: str, text: str = RECORD) -> Path:
    """A made-up installed distribution with one module and an entry point for it. Returns the module's file."""
    site = "installed/site-packages"
    file = write(f"{site}/{module}.py", text)
    write(f"{site}/neighbor.py", "")
    write(f"{site}/my_nets-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: my-nets\nVersion: 1.0\n")
    write(f"{site}/my_nets-1.0.dist-info/entry_points.txt", f"[quorum.plugins]\nnets = {module}:anything\n")
    sys.path.append(str(file.parent))
    return file


def test_an_installed_package_names_its_plugin(write: Write) -> None:
    file = install(write, "installed_nets", "import neighbor\n" + RECORD)
    load_plugins([])
    load_plugins(["installed_nets"])
    assert LOADED == ["installed_nets"]
    assert loaded_plugins() == ("installed_nets",)
    assert plugin_sources() == (file,)  # another package that it uses is not its own


def test_a_broken_installed_plugin_is_named_with_its_package(write: Write) -> None:
    install(write, "broken_nets", "raise ValueError('no')\n")
    with pytest.raises(ConfigError) as caught:
        load_plugins([])
    assert str(caught.value) == (
        "plugins: 'broken_nets' of the installed package my-nets cannot be imported (ValueError: no)"
    )


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("absent_module", "", "ModuleNotFoundError: no module of that name is installed or in "),
        ("absent.module", "", "ModuleNotFoundError: No module named 'absent'"),
        ("absent.py", "", "FileNotFoundError: no file "),
        ("folder", "", "ModuleNotFoundError: no module of that name is installed or in "),
        ("", "", "ValueError: "),
        ("wrong.py", "def f(:\n", "SyntaxError: invalid syntax (wrong.py, line 1)"),
        ("wrong", "def f(:\n", "SyntaxError: invalid syntax (wrong.py, line 1)"),
        ("wrong.py", "1 / 0\n", "ZeroDivisionError: division by zero"),
        ("wrong.py", "raise SystemExit('over')\n", "SystemExit: over"),
        ("wrong", "raise ValueError('one\\ntwo')\n", "ValueError: one two"),
        ("wrong.py", "raise ValueError('x' * 1000)\n", "ValueError: xxx"),
    ],
)
def test_what_cannot_be_imported_is_one_short_line(write: Write, name: str, text: str, reason: str) -> None:
    write("wrong.py", text)
    write("folder/readme.txt", "")
    with pytest.raises(ConfigError) as caught:
        load_plugins([name])
    message = str(caught.value)
    assert message.startswith(f"plugins: {name!r} cannot be imported ({reason}")
    assert "\n" not in message
    assert len(message) < 300
    assert caught.value.setting == "plugins"
    assert not loaded_plugins()


def test_a_plugin_that_failed_can_be_mended_and_loaded(write: Write) -> None:
    write("mine.py", "1 / 0\n")
    with pytest.raises(ConfigError):
        load_plugins(["mine.py"])
    file = write("mine.py", RECORD + "# mended\n")
    load_plugins(["mine.py"])
    assert plugin_sources() == (file,)


def test_a_worker_process_loads_the_same(write: Write, tmp_path: Path) -> None:
    write("nets/mine.py", "VALUE = 1\n")
    write("my_module.py", "VALUE = 2\n")
    load_plugins(["nets/mine.py", "my_module"])
    program = f"from quorum.plugins import *; load_plugins({loaded_plugins()!r}); print(*plugin_sources())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(file) for file in plugin_sources()]
