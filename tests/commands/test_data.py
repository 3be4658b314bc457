"""`quorum data`: unpacking, verifying, picturing."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow.tracking import MlflowClient

from tests.conftest import Quorum, make_image


def test_digits_need_nothing(quorum: Quorum) -> None:
    answer = quorum("data", "--json")
    assert answer.status == 0
    result = json.loads(answer.out)
    assert result["splits"] == {"train": 1257, "val": 270, "test": 270}
    assert result["classes"] == [str(digit) for digit in range(10)]
    again = json.loads(quorum("data", "--json").out)
    assert again["digest"] == result["digest"]
    [run, *_] = MlflowClient().search_runs(["1"])
    assert {item.path for item in MlflowClient().list_artifacts(run.info.run_id)} == {
        "class_distribution.png",
        "classes.csv",
        "mean_images.png",
    }


def test_the_real_caltech_archives(quorum: Quorum, caltech_archives: list[Path]) -> None:
    listed = ",".join(map(str, caltech_archives))
    part = quorum("data", "-P", "dataset=caltech101", "-P", f"archive={caltech_archives[0]}")
    assert part.status == 2
    assert "where Caltech-101 has 9,145" in part.err
    assert not (quorum.folder / "data").exists()
    answer = quorum("data", "--json", "-P", "dataset=caltech101", "-P", f"archive={listed}")
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    assert result["splits"] == {"train": 2892, "val": 2892, "test": 2893}
    assert len(result["classes"]) == 101
    again = quorum("data", "--json", "-P", "dataset=caltech101", "-P", f"archive={listed}")
    assert json.loads(again.out)["digest"] == result["digest"]
    assert "already" in again.err
    assert [path.name for path in (quorum.folder / "data").iterdir()] == ["caltech101"]


def test_a_folder_from_an_archive(quorum: Quorum, image_tree: Path) -> None:
    with tarfile.open(quorum.folder / "tree.tar.gz", "w:gz") as tar:
        tar.add(image_tree, "flowers")
    arguments = ("data", "--json", "-P", "dataset=folder", "-P", "path=my-flowers")
    answer = quorum(*arguments, "-P", "archive=tree.tar.gz")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["classes"] == ["blue", "red"]
    assert json.loads(quorum(*arguments).out)["digest"] == json.loads(answer.out)["digest"]


def test_what_a_killed_command_left_is_removed(quorum: Quorum, image_tree: Path) -> None:
    with tarfile.open(quorum.folder / "tree.tar", "w") as tar:
        tar.add(image_tree, "flowers")
    make_image(quorum.folder / "data" / ".flowers.part" / "half" / "0.png", 0)
    (quorum.folder / "data" / ".flowers.lock").touch()
    answer = quorum("data", "-P", "dataset=folder", "-P", "path=data/flowers", "-P", "archive=tree.tar")
    assert answer.status == 0, answer.err
    assert [path.name for path in (quorum.folder / "data").iterdir()] == ["flowers"]


def test_two_commands_do_not_fill_one_place(quorum: Quorum, image_tree: Path) -> None:
    with tarfile.open(quorum.folder / "tree.tar", "w") as tar:
        tar.add(image_tree, "flowers")
    with FileLock(quorum.folder / ".flowers.lock"):
        answer = quorum("data", "-P", "dataset=folder", "-P", "path=flowers", "-P", "archive=tree.tar")
    assert (answer.status, answer.err) == (2, "quorum: flowers: another command is filling it\n")
    assert not (quorum.folder / "flowers").exists()


def test_what_cannot_be_downloaded_is_one_line(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("Error\ndownloading")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)
    answer = quorum("data", "-P", "dataset=cifar10", "-P", "download=true")
    assert answer.status == 2
    assert answer.err == "quorum: download: cifar10 cannot be fetched (Error downloading)\n"
    assert not (quorum.folder / "data").exists()


def test_bad_images_are_counted(quorum: Quorum, image_tree: Path) -> None:
    (image_tree / "red" / "05.png").write_bytes((image_tree / "red" / "05.png").read_bytes()[:100])
    arguments = ("data", "--json", "-P", "dataset=folder", "-P", f"path={image_tree}")
    assert quorum(*arguments).status == 2
    answer = quorum(*arguments, "-P", "skip_bad=true")
    assert answer.status == 0
    assert len(json.loads(answer.out)["skipped"]) == 1
    assert sum(json.loads(answer.out)["splits"].values()) == 39
