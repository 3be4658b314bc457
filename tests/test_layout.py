"""The architecture, kept by walking the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "quorum"
BASE = {
    "choices",
    "config",
    "console",
    "errors",
    "expressions",
    "plugins",
    "randomness",
    "recipe",
    "registry",
    "schedules",
    "source_code",
    "tuning",
    "versions",
}
# Everything that a package may import besides itself and the base.
BELOW = {
    "data": set(),
    "models": set(),
    "engine": set(),
    "report": set(),
    "study": set(),
    "ensemble": {"data", "models"},
    # the history it logs, and, in the scripts that registered models are loaded by, what they are made of
    "tracking": {"engine.history", "ensemble.classifier", "ensemble.vote", "data.images", "study.results"},
    "training": {"data", "models", "engine", "ensemble", "report", "study", "tracking"},
    "sweep": {"data", "models", "engine", "ensemble", "report", "study", "tracking", "training"},
    "comparison": {"data", "models", "engine", "ensemble", "report", "study", "tracking", "training"},
}


def imports(file: Path) -> set[str]:
    """Every module that a file names in an import, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("package", sorted(BELOW))
def test_imports_go_one_way(package: str) -> None:
    allowed = BASE | BELOW[package] | {package}
    for file in (PACKAGE / package).rglob("*.py"):
        for name in imports(file):
            if name.startswith("quorum."):
                inner = name.removeprefix("quorum.")
                assert any(inner == a or inner.startswith(f"{a}.") for a in allowed), f"{file} imports {name}"


def test_only_tracking_imports_mlflow() -> None:
    for file in PACKAGE.rglob("*.py"):
        uses = {name for name in imports(file) if name.split(".")[0] == "mlflow"}
        assert not uses or file.parent.name == "tracking", f"{file} imports {uses}"


def test_the_base_imports_no_part() -> None:
    for name in BASE:
        for module in imports(PACKAGE / f"{name}.py"):
            assert not module.startswith("quorum.") or module.removeprefix("quorum.") in BASE, f"{name}: {module}"


def test_configuration_knows_neither_torch_nor_mlflow() -> None:
    for name in ("choices", "config", "errors", "expressions", "recipe", "registry", "schedules"):
        assert not {m.split(".")[0] for m in imports(PACKAGE / f"{name}.py")} & {"torch", "mlflow", "torchvision"}


def test_only_the_command_line_reads_arguments_and_environment() -> None:
    for file in PACKAGE.rglob("*.py"):
        reads = [word for word in ("sys.argv", "environ.get", "environ[", "getenv") if word in file.read_text()]
        assert not reads or file.name == "cli.py", f"{file} reads {reads}"
