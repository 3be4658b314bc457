"""Registries: things by name, in their order, each name once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from quorum.errors import ConfigError, DataError
from quorum.registry import Registry


@pytest.fixture
def colors() -> Registry[object]:
    registry: Registry[object] = Registry("color", "tint", DataError)
    registry.add("red", 1)
    registry.add("dark-blue", 2)
    return registry


def test_it_is_a_mapping_in_the_order_of_registration(colors: Registry[object]) -> None:
    assert dict(colors) == {"red": 1, "dark-blue": 2}
    assert list(colors) == ["red", "dark-blue"]
    assert colors.named("dark-blue") == 2


def test_a_decorator_leaves_what_it_registers_as_it_is(colors: Registry[object]) -> None:
    @colors.register("green")
    def green() -> int:
        return 3

    assert colors["green"] is green
    colors.remove("green")
    assert "green" not in colors


def test_an_unknown_name_is_one_line_with_the_nearest(colors: Registry[object]) -> None:
    with pytest.raises(
        DataError, match=r"no color 'rad' \(did you mean 'red'\?\); choose from dark-blue, red"
    ) as caught:
        colors.named("rad")
    assert caught.value.setting == "tint"


def test_a_name_is_taken_once(colors: Registry[object]) -> None:
    with pytest.raises(ConfigError, match="color 'red': is registered already"):
        colors.add("red", 5)
    assert colors["red"] == 1
    assert colors.add("red", 1) == 1  # a module that is imported again adds the same thing


@pytest.mark.parametrize("name", ["", "a b", "a|b", "a(1)", "../a", "-"])
def test_what_is_no_name(colors: Registry[object], name: str) -> None:
    with pytest.raises(ConfigError, match="is not a name"):
        colors.add(name, 5)


@pytest.mark.slow
def test_what_a_script_registers_is_part_of_the_code_version(tmp_path: Path) -> None:
    script = """
from quorum.registry import Registry, interactive_sources
from quorum.versions import code_version
before = code_version()
Registry("thing").add("mine", lambda: {value})
print(before, code_version(), len(interactive_sources()))
"""
    found = []
    for value in (1, 2):
        file = tmp_path / "script.py"
        file.write_text(script.replace("{value}", str(value)))
        done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=True)
        found.append(done.stdout.split())
    assert found[0][0] == found[1][0]
    assert len({found[0][0], found[0][1], found[1][1]}) == 3
    assert found[0][2] == "1"
