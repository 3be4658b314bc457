"""Where study files are looked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from quorum.engine.metrics import METRICS
from quorum.study.claims import load_claims
from quorum.study.find import find_studies, find_study
from quorum.study.folder import SWEEPS_DIR, study_folders
from tests.conftest import ROOT


def test_a_folder_that_is_given_is_the_only_one(tmp_path: Path) -> None:
    assert study_folders(tmp_path / "absent") == (tmp_path / "absent",)


def test_behind_sweeps_of_the_working_folder_are_those_that_quorum_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert study_folders(SWEEPS_DIR) == (SWEEPS_DIR, ROOT / "sweeps")
    own = tmp_path / "sweeps" / "digits" / "demo.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("dataset: digits\nstages:\n  - {name: lr, vary: {lr: [0.1]}}\n")
    assert find_study(SWEEPS_DIR, "demo", "digits").file == SWEEPS_DIR / "digits" / "demo.yaml"
    assert find_study(SWEEPS_DIR, "alexnet", "digits").file == ROOT / "sweeps" / "digits" / "alexnet.yaml"
    found = {source.file.stem: source.file for source in find_studies(SWEEPS_DIR, "digits").good}
    assert found["demo"] == SWEEPS_DIR / "digits" / "demo.yaml"
    assert found["alexnet"] == ROOT / "sweeps" / "digits" / "alexnet.yaml"
    assert {source.study.dataset for source in find_studies(SWEEPS_DIR, None).good} >= {"digits", "cifar10"}
    claims = find_studies(SWEEPS_DIR, "cifar10").good
    assert load_claims(SWEEPS_DIR, "cifar10", claims, METRICS)


def test_in_the_checkout_both_are_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert study_folders(SWEEPS_DIR) == (SWEEPS_DIR,)


@pytest.mark.slow
def test_the_wheel_brings_every_study_file(tmp_path: Path) -> None:
    """Installed into a folder of its own, it finds them in an empty working folder."""
    source = tmp_path / "source"  # a build leaves files where it is made
    for folder in ("src", "sweeps"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    found = {str(file.relative_to(ROOT / "sweeps")) for file in (ROOT / "sweeps").rglob("*") if file.is_file()}
    brought = tmp_path / "site" / "quorum" / "study_files"
    assert {str(file.relative_to(brought)) for file in brought.rglob("*") if file.is_file()} == found
    (tmp_path / "empty").mkdir()
    studies = "from quorum.study.folder import *; print(study_folders(SWEEPS_DIR)[1])"
    told = subprocess.run(
        [sys.executable, "-c", studies],
        cwd=tmp_path / "empty",
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(told.stdout.strip()) == brought
