"""The code version changes with what a training computes with, and with nothing else."""

from __future__ import annotations

import ast
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorum import plugins, versions
from quorum.plugins import load_plugins
from quorum.versions import EXCLUDED, PACKAGE, ROOTS, code_version, computing_modules, digest_code, is_excluded
from tests.test_layout import BASE, imports

PACKAGES = {"torch": "2.11.0", "numpy": "2.0.0"}


def module_name(file: Path) -> str:
    """Name of a module within the package."""
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package. Tests leave it as it was."""
    folder = tmp_path_factory.mktemp("copy") / "quorum"
    return Path(shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture(scope="module")
def before() -> str:
    """Hash of the package as it is, wherever it is."""
    return digest(PACKAGE)


def digest(package: Path) -> str:
    return digest_code(package, [], PACKAGES)


@contextlib.contextmanager
def edited(file: Path, text: str) -> Iterator[None]:
    """Write another text into a file for a while."""
    original = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(original)


def with_code(file: Path) -> str:
    """A module's text with one more statement."""
    return file.read_text() + "\nADDED = 1\n"


@pytest.mark.family
@pytest.mark.parametrize(
    "module",
    [
        "config.py",
        "recipe.py",
        "randomness.py",
        "data/__init__.py",
        "data/preprocess.py",  # what evaluation sees
        "data/opened.py",
        "data/catalogue.py",
        "data/sources/digits.py",
        "data/sources/caltech101.py",
        "data/augment/color.py",
        "models/weights.py",
        "engine/training.py",
        "engine/epoch.py",
        "training/job.py",
    ],
)
def test_code_that_computes_changes_it(package: Path, before: str, module: str) -> None:
    file = package / module
    with edited(file, with_code(file)):
        assert digest(package) != before


@pytest.mark.family
@pytest.mark.parametrize(
    "module",
    [
        "__init__.py",
        "console.py",
        "errors.py",
        "versions.py",
        "data/sources/archives.py",  # excluded
        "data/summary.py",
        "reporting/figures.py",
        "tracking/store.py",
        "cli.py",  # not reached
        "study/plan.py",
        "sweeps/schedule.py",
        "training/progress.py",
    ],
)
def test_code_that_computes_no_result_leaves_it(package: Path, before: str, module: str) -> None:
    file = package / module
    with edited(file, with_code(file)):
        assert digest(package) == before


def test_text_leaves_it(package: Path, before: str) -> None:
    file = package / "data" / "preprocess.py"
    tree = ast.parse(file.read_text())
    assert isinstance(tree.body[0], ast.Expr)
    tree.body[0].value = ast.Constant("Another docstring.")
    with edited(file, ast.unparse(tree) + "\n# a comment\n"):  # other formatting, too
        assert digest(package) == before


def test_packages_change_it(before: str) -> None:
    assert digest_code(PACKAGE, [], {**PACKAGES, "numpy": "2.0.1"}) != before


def test_each_package_that_computes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "computing_modules", lambda _: {})
    real = versions.package_versions()
    found = set()
    for name in ("torch", "torchvision", "numpy", "pillow", "optuna"):
        monkeypatch.setattr(versions, "package_versions", lambda name=name: {**real, name: "0"})
        versions._code_version.cache_clear()
        found.add(code_version())
    monkeypatch.undo()
    versions._code_version.cache_clear()
    assert len(found) == 5


@pytest.mark.slow
def test_the_package_of_a_network_counts_for_that_network_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = versions.package_versions()
    before = [code_version(*models) for models in ((), ("alexnet",), ("timm/resnet18",), ("alexnet", "timm/vgg11"))]
    monkeypatch.setattr(versions, "package_versions", lambda: {**real, "timm": "0"})
    versions._code_version.cache_clear()
    after = [code_version(*models) for models in ((), ("alexnet",), ("timm/resnet18",), ("alexnet", "timm/vgg11"))]
    monkeypatch.undo()
    versions._code_version.cache_clear()
    assert before[0] == before[1] == after[0] == after[1]
    assert before[2] == before[3]
    assert after[2] == after[3] != before[2] != before[0]


@pytest.mark.slow
def test_plugins_change_it_by_their_code(tmp_path: Path, before: str) -> None:
    files = [tmp_path / "a" / "mine.py", tmp_path / "b" / "other.py"]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(f'"""A plugin."""\nNUMBER = {number}\n')
    loaded = digest_code(PACKAGE, files, PACKAGES)
    assert loaded != before
    assert loaded == digest_code(PACKAGE, reversed(files), PACKAGES)
    files[0].write_text("# a comment\nNUMBER = 0\n")
    assert loaded == digest_code(PACKAGE, [files[0].rename(tmp_path / "moved.py"), files[1]], PACKAGES)
    files[1].write_text("NUMBER = 2\n")
    assert loaded != digest_code(PACKAGE, [tmp_path / "moved.py", files[1]], PACKAGES)


@pytest.mark.slow
def test_a_plugin_counts_from_when_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_loaded", {})
    before = code_version()
    (tmp_path / "mine.py").write_text("NUMBER = 1\n")
    load_plugins([str(tmp_path / "mine.py")])
    assert code_version() != before


def test_every_module_that_may_compute_is_hashed_or_excluded() -> None:
    computing = computing_modules()
    used = set[str]().union(*(imports(file) for file in PACKAGE.rglob("*.py")))
    files = [file for part in ("data", "models", "engine") for file in (PACKAGE / part).rglob("*.py")]
    files += [PACKAGE / f"{name}.py" for name in BASE if f"quorum.{name}" in used]
    forgotten = [name for name in map(module_name, files) if name not in computing and not is_excluded(name)]
    assert not forgotten, "neither reached from the training nor excluded with a reason"


def test_every_exclusion_is_a_module_and_has_a_reason() -> None:
    modules = {module_name(file) for file in PACKAGE.rglob("*.py")}
    assert set(EXCLUDED) <= modules
    assert all(EXCLUDED.values())
    assert set(ROOTS) <= set(computing_modules())


def test_it_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(*arguments: Any) -> str:
        calls.append(arguments)
        return "0123456789abcdef"

    calls: list[Any] = []
    monkeypatch.setattr(versions, "digest_code", counted)
    versions._code_version.cache_clear()
    assert {code_version() for _ in range(3)} == {"0123456789abcdef"}
    versions._code_version.cache_clear()
    assert len(calls) == 1


def test_a_package_without_the_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no module data\.opened, training\.job"):
        computing_modules(tmp_path)
