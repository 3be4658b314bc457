"""Files that repeat one another agree."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

from quorum import __version__

ROOT = Path(__file__).parents[1]


def test_conda_and_pip_need_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    pip = next(entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert pip == project["dependencies"]
    assert project["version"] == __version__


def test_mlproject_declares_the_entry_points_and_the_template_defaults() -> None:
    from quorum.commands.wiring import COMMANDS
    from quorum.config import TrialConfig, parse_config

    project = yaml.safe_load((ROOT / "MLproject").read_text())
    assert project["conda_env"] == "conda.yaml"
    assert set(project["entry_points"]) == {"main", *(name for name, command in COMMANDS.items() if command.tracked)}
    declared = {name: spec["default"] for name, spec in project["entry_points"]["train"]["parameters"].items()}
    assert parse_config(TrialConfig, declared, "MLproject") == TrialConfig()
