"""The architecture, kept by walking the imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "quorum"
BASE = {
    "averages",
    "checksums",
    "choices",
    "config",
    "console",
    "errors",
    "expressions",
    "inference",
    "metric_names",
    "plugins",
    "processes",
    "randomness",
    "recipe",
    "registry",
    "rounding",
    "schedules",
    "shared_folder",
    "source_code",
    "storage",
    "summary",
    "temporary",
    "tuning",
    "versions",
}
PARTS = {"data", "models", "engine", "reporting", "study", "voting", "tracking"}
# Everything that a package may import besides itself and the base.
BELOW = {
    "data": set(),
    "models": set(),
    "engine": set(),
    "reporting": set(),
    "study": set(),
    "voting": {"data", "models"},
    # the history it logs, the results it returns, and, in the scripts that load registered models, what those need
    "tracking": {
        "engine.history",
        "voting.answers",
        "voting.classifier",
        "voting.rules",
        "data.images",
        "study.results",
    },
    "training": PARTS,
    "sweeps": PARTS | {"training"},
    "comparison": PARTS | {"training"},
    "promotion": PARTS | {"training", "sweeps"},
    "api": PARTS | {"training", "sweeps", "comparison", "promotion"},
    "commands": PARTS | {"training", "sweeps", "comparison", "promotion", "api"},
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
    for name in ("averages", "choices", "config", "errors", "expressions", "recipe", "registry", "schedules"):
        assert not {m.split(".")[0] for m in imports(PACKAGE / f"{name}.py")} & {"torch", "mlflow", "torchvision"}


def test_only_the_command_line_reads_arguments_and_environment() -> None:
    for file in PACKAGE.rglob("*.py"):
        reads = [word for word in ("sys.argv", "environ.get", "environ[", "getenv") if word in file.read_text()]
        assert not reads or file.name == "cli.py", f"{file} reads {reads}"


def test_only_tracking_sees_what_mlflow_returns() -> None:
    """Everything above reads records: see quorum/tracking/records.py."""
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name != "tracking":
            seen = {
                node.attr
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Attribute) and node.attr in ("info", "client", "_client")
            }
            assert not seen, f"{file} reads .{', .'.join(seen)}"
            assert not re.search(r"\.data\.(tags|params|metrics)\b", file.read_text()), file


def test_commands_do_not_import_each_other() -> None:
    shared = {f"quorum.commands.{name}" for name in ("arguments", "caller", "links", "result", "wiring")}
    for file in (PACKAGE / "commands").glob("*.py"):
        own = {name for name in imports(file) if name.startswith("quorum.commands.")}
        assert own <= shared, f"{file} imports {own - shared}"


def test_names_are_written_once() -> None:
    """Tags are in tracking/schema.py and metrics in metric_names.py, and nowhere else."""
    for file in PACKAGE.rglob("*.py"):
        if file.name not in ("schema.py", "metric_names.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = node.value
                    assert not re.fullmatch(r"quorum\.[a-z_]+", text) or _is_module(text), f"{file}: {text!r}"
                    assert not re.match(r"(best|last|test|val|train)/(val_)?[a-z_]*$", text), f"{file}: {text!r}"


def _is_module(name: str) -> bool:
    path = PACKAGE.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()
