"""Finding study files: by name, and all that can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.errors import ConfigError, StudyError
from quorum.study.file import StudyFile
from quorum.study.find import find_studies, find_study

STUDY = "dataset: {dataset}\nstages:\n  - {{name: only, set: {{epochs: 1}}}}\n"


@pytest.fixture
def sweeps(tmp_path: Path) -> Path:
    for dataset, name in (("digits", "alexnet"), ("digits", "other"), ("cifar10", "vote")):
        (tmp_path / dataset).mkdir(exist_ok=True)
        (tmp_path / dataset / f"{name}.yaml").write_text(STUDY.format(dataset=dataset))
    return tmp_path


def test_the_study_that_is_meant(sweeps: Path) -> None:
    assert find_study(sweeps, "other", "digits").file == sweeps / "digits" / "other.yaml"
    assert find_study(sweeps, "vote", "cifar10").file == sweeps / "cifar10" / "vote.yaml"
    assert find_study(sweeps, str(sweeps / "cifar10" / "vote.yaml"), "cifar10").study.dataset == "cifar10"


def test_studies_of_a_kind_are_those_of_all_its_data_sets(sweeps: Path) -> None:
    """A data set's own study comes before one of the same name that is for all of its kind."""
    for dataset, name in (("folder", "common"), ("folder", "own"), ("pets", "own")):
        (sweeps / dataset).mkdir(exist_ok=True)
        (sweeps / dataset / f"{name}.yaml").write_text(STUDY.format(dataset=dataset))
    common = find_study(sweeps, "common", "pets", "folder")
    assert (common.file, common.study.dataset) == (sweeps / "folder" / "common.yaml", "pets")
    assert find_study(sweeps, "own", "pets", "folder").file == sweeps / "pets" / "own.yaml"
    found = find_studies(sweeps, "pets", kind="folder").good
    assert [(source.file, source.study.dataset) for source in found] == [
        (sweeps / "pets" / "own.yaml", "pets"),
        (sweeps / "folder" / "common.yaml", "pets"),
    ]
    with pytest.raises(StudyError, match=r"choose from common, own \(files in .*/pets/ and .*/folder/\)"):
        find_study(sweeps, "other", "pets", "folder")


@pytest.mark.parametrize(
    ("study", "dataset", "message"),
    [
        ("othr", "digits", "study: no study 'othr' (did you mean 'other'?); choose from alexnet, other (files in "),
        ("cifar10/vote.yaml", "digits", "vote.yaml:1: its dataset is cifar10, not digits"),
        ("absent.yaml", "digits", "absent.yaml: cannot be read"),
    ],
)
def test_a_study_that_is_not_there(
    sweeps: Path, monkeypatch: pytest.MonkeyPatch, study: str, dataset: str, message: str
) -> None:
    monkeypatch.chdir(sweeps)
    with pytest.raises(StudyError) as caught:
        find_study(sweeps, study, dataset)
    assert message in str(caught.value)


def test_all_studies_or_those_of_a_data_set(sweeps: Path) -> None:
    found = find_studies(sweeps, None)
    assert [source.file.stem for source in found.good] == ["vote", "alexnet", "other"]
    assert not found.broken
    assert [source.file.stem for source in find_studies(sweeps, "digits").good] == ["alexnet", "other"]
    for folder in (sweeps / "absent", sweeps / "digits"):
        with pytest.raises(StudyError, match=f"no study file in {folder}/"):
            find_studies(folder, None)


def test_a_broken_study_does_not_hide_the_others(sweeps: Path) -> None:
    def check(source: StudyFile) -> None:
        if source.file.stem == "vote":
            raise ConfigError("cannot be run")

    alexnet, vote = sweeps / "digits" / "alexnet.yaml", sweeps / "cifar10" / "vote.yaml"
    alexnet.write_text("dataset: [")
    found = find_studies(sweeps, None, check)
    assert [source.file.stem for source in found.good] == ["other"]
    assert list(found.broken) == [vote, alexnet]
    assert str(found.broken[alexnet]).startswith(f"{alexnet}:1: not YAML")
    with pytest.raises(ConfigError, match="cannot be run"):
        find_studies(sweeps, "cifar10", check)
