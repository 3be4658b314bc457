"""The study file that one begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.errors import StudyError
from quorum.study.file import load_study
from quorum.study.template import write_template
from quorum.training.check import check_study
from tests.conftest import Quorum


def test_it_can_be_run_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "mine.yaml"
    write_template(file, "folder", "quorum sweep -P study=mine")
    source = load_study(file)
    check_study(source)
    assert [stage.name for stage in source.study.stages] == ["probe", "fine-tune"]
    assert source.study.vote is not None
    assert "# Command: quorum sweep -P study=mine\n" in file.read_text()


def test_what_it_shows_in_comments_can_be_run_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    write_template(file, "digits", "quorum sweep")
    file.write_text(file.read_text().replace("  # - name", "  - name").replace("  #   ", "    "))
    source = load_study(file)
    check_study(source)
    assert source.study.stages[-1].search == "tpe"


def test_one_that_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    with pytest.raises(StudyError, match="is there already, and is not overwritten"):
        write_template(file, "digits", "quorum sweep")
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "file", "command"),
    [
        (["-P", "name=pets"], "sweeps/pets/mine.yaml", "quorum sweep -P name=pets -P study=mine"),
        ([], "sweeps/folder/mine.yaml", "quorum sweep -P name=NAME -P study=mine"),
        (
            ["-P", "dataset=digits", "-P", "study=x"],
            "sweeps/digits/x.yaml",
            "quorum sweep -P dataset=digits -P study=x",
        ),
        (
            ["-P", "name=pets", "-P", "sweeps_dir=own"],
            "own/pets/mine.yaml",
            "quorum sweep -P name=pets -P study=mine -P sweeps_dir=own",
        ),
    ],
)
def test_the_command_says_where_it_is_and_how_it_is_run(
    quorum: Quorum, words: list[str], file: str, command: str
) -> None:
    (quorum.folder / "sweeps").unlink()
    answer = quorum("init-study", *words)
    assert answer.status == 0, answer.err
    assert answer.out == f"{file} is there to be edited; then: {command}\n"
    assert f"# Command: {command}\n" in (quorum.folder / file).read_text()
