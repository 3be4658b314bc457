"""What is wrong with a study is said with file and line before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.errors import ModelError, QuorumError, StudyError
from quorum.study.file import load_study
from quorum.study.plan import plan
from quorum.training.check import check_settings, check_study, check_trials

STUDY = """\
dataset: digits
base: {model: scratch-simple, epochs: 2}
stages:
  - name: lr
    vary: {lr: [0.1, 0.2], phases: [all, classifier]}
"""


def write(tmp_path: Path, old: str = "", new: str = "") -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace(old, new) if old else STUDY)
    return file


def test_a_good_study_passes(tmp_path: Path) -> None:
    check_study(load_study(write(tmp_path)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scratch-simple", "scratch-smple", "study.yaml:2: no model 'scratch-smple'"),
        ("[all, classifier]", "[all, layer9]", "study.yaml:5: phases: no parameter group 'layer9'"),
        ("epochs: 2", "optimizer: sgdd", "study.yaml:2: no optimizer 'sgdd'"),
        ("epochs: 2", "input_size: 64", "study.yaml:2: input_size: 64 does not fit scratch-simple"),
    ],
)
def test_a_wrong_one_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(QuorumError) as caught:
        check_study(load_study(write(tmp_path, old, new)))
    assert message in str(caught.value)


def test_a_setting_of_the_command_line_has_no_line(tmp_path: Path) -> None:
    source = load_study(write(tmp_path))
    planned = plan(source.study, source.study.first_config({"model": "resnt18"}))
    with pytest.raises(StudyError, match=r"study\.yaml:"):
        check_trials(source, planned, check_settings)
    with pytest.raises(ModelError, match=r"^no model 'resnt18'"):
        check_trials(source, planned, check_settings, overrides=["model"])
