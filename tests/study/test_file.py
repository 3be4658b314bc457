"""Study files: every one of ours loads, and a wrong one is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.config import TrialConfig
from quorum.errors import ConfigError, StudyError
from quorum.study.file import load_study
from quorum.study.model import canonical
from tests.conftest import ROOT

STUDIES = sorted((ROOT / "sweeps").rglob("*.yaml"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_study_file_loads_and_says_how_it_is_run(file: Path) -> None:
    study = load_study(file).study
    assert study.dataset == file.parent.name
    assert "# Command: mlflow run . -e sweep" in file.read_text()
    first = study.first_config({})
    for stage in study.stages:
        for settings in stage.grid():
            assert isinstance(first.replace(**stage.set, **settings), TrialConfig)


def test_the_reports_tables_are_in_the_files() -> None:
    study = load_study(ROOT / "sweeps" / "caltech101" / "alexnet.yaml").study
    assert [stage.budget for stage in study.stages] == [5, 5, 5]
    assert study.stages[0].published[3].val_accuracy == 0.446


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    return file


GOOD = """\
dataset: digits
base: {model: scratch-simple}
stages:
  - name: lr
    vary: {lr: [1e-3, 0.01]}
    published:
      - {id: a, at: {lr: 0.001}, val_accuracy: 0.5, std: 0.1}
"""


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, GOOD)).study
    assert [canonical(settings) for settings in study.stages[0].grid()] == [{"lr": 0.001}, {"lr": 0.01}]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: scratch-simple", "modle: scratch-simple", "study.yaml:2: no setting 'modle' (did you mean 'model'?)"),
        ("model: scratch-simple", "lr: fast", "study.yaml:2: lr: 'fast' must be a valid number"),
        ("model: scratch-simple", "seed: 3", "study.yaml:2: no setting 'seed'"),
        ("    vary", "    varry", "study.yaml:5: no entry 'varry' (did you mean 'vary'?)"),
        ("0.01]", "0.01, 0.010]", "study.yaml:5: lr 0.01 is listed twice"),
        ("[1e-3, 0.01]", "[]", "study.yaml:5: lr has no values"),
        ("[1e-3, 0.01]", "[-1, 0.01]", "study.yaml:5: lr: -1"),
        ("lr: 0.001}, val", "lr: 0.002}, val", "study.yaml:7: published row at {'lr': 0.002}, which is not among"),
        ("at: {lr: 0.001}", "at: {gamma: 0.1}", "study.yaml:7: published row at gamma, which stage 'lr' does not vary"),
        ("val_accuracy: 0.5", "val_accuracy: 50", "study.yaml:7: val_accuracy"),
        ("dataset: digits\n", "", "study.yaml:1: 'dataset' is missing"),
        ("dataset: digits", "dataset: digits\ndataset: cifar10", "study.yaml:2: 'dataset' is given twice"),
        ("    vary: {lr: [1e-3, 0.01]}", "    set: {lr: 1}\n    vary: {lr: [1e-3, 0.01]}", "both sets and varies lr"),
        ("    vary: {lr: [1e-3, 0.01]}", "    search: tpe", "search: tpe takes ranges and trials"),
        ("    vary: {lr: [1e-3, 0.01]}", "    trials: 3", "ranges and trials go with search: tpe"),
        ("  - name: lr", "  - name: lr\n  - name: lr", "has two stages named lr"),
        ("stages:", "stages: [", "not YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(StudyError) as caught:
        load_study(written(tmp_path, GOOD.replace(old, new)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_study(tmp_path: Path) -> None:
    for text in ("", "- a\n- b", "just text"):
        with pytest.raises(StudyError, match=r"study\.yaml:1: a study is a mapping"):
            load_study(written(tmp_path, text))
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path / "absent.yaml")


def test_a_setting_that_a_stage_decides_cannot_be_given(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, GOOD)).study
    assert study.first_config({"epochs": "2"}).epochs == 2
    with pytest.raises(ConfigError, match="lr: is varied by stage 'lr'"):
        study.first_config({"lr": "1"})
