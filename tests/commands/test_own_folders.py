"""Folders of the user's own: each has a name, by which runs and the registry know it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from quorum.registry import interactive_sources
from quorum.tracking import schema
from tests.commands.studies import runs
from tests.conftest import Answer, Quorum, make_image, words

pytestmark = pytest.mark.slow

SMALL = {"model": "scratch-simple", "resize": 32, "batch_size": 8, "epochs": 1, "lr": 0.01, "threads": 1}


def train(quorum: Quorum, **settings: object) -> Answer:
    return quorum(*words("train", **{**SMALL, **settings}), "--json")


def trained(quorum: Quorum, **settings: object) -> dict[str, Any]:
    answer = train(quorum, **settings)
    assert answer.status == 0, answer.err
    return dict(json.loads(answer.out))


def test_a_path_is_given_once(quorum: Quorum, image_tree: Path) -> None:
    first = trained(quorum, path=image_tree, name="pets")
    run = MlflowClient().get_run(first["run_id"])
    assert run.data.tags[schema.DATASET] == run.data.params["dataset"] == "pets"
    for named in ({"name": "pets"}, {"dataset": "pets"}, {"dataset": "folder", "name": "pets"}):
        assert trained(quorum, **named) == {**first, "reused": True}


def test_a_folder_has_its_own_name_by_default(quorum: Quorum, image_tree: Path) -> None:
    trained(quorum, path=image_tree)
    [run] = runs(schema.TRAIN_KIND)
    assert run.data.tags[schema.DATASET] == image_tree.name


def test_a_name_beside_the_other_data_sets_is_enough(quorum: Quorum, image_tree: Path) -> None:
    shutil.copytree(image_tree, quorum.folder / "data" / "pets")
    trained(quorum, name="pets")
    [run] = runs(schema.TRAIN_KIND)
    assert run.data.tags[schema.DATA_SOURCE] == str(quorum.folder / "data" / "pets")


def test_two_folders_never_have_one_name(quorum: Quorum, image_tree: Path, tmp_path: Path) -> None:
    trained(quorum, path=image_tree, name="pets")
    other = Path(shutil.copytree(image_tree, tmp_path / "other"))
    answer = train(quorum, path=other, name="pets")
    assert answer.status == 2
    assert answer.err == f"quorum: name: pets is the folder {image_tree} already; give {other} another name=\n"


def test_a_folder_that_has_moved_is_told_once(quorum: Quorum, image_tree: Path, tmp_path: Path) -> None:
    first = trained(quorum, path=image_tree, name="pets")
    moved = image_tree.rename(tmp_path / "moved")
    answer = train(quorum, name="pets")
    assert answer.status == 2
    assert f"{image_tree}: no such folder; path= " in answer.err
    told = train(quorum, path=moved, name="pets", lr=0.02)
    assert told.status == 0
    assert f"pets: the folder was {image_tree} and is {moved} now" in told.err
    again = train(quorum, name="pets")
    assert json.loads(again.out) == {**first, "reused": True}
    assert "the folder was" not in again.err


def test_a_folder_in_another_place_with_other_classes_is_another(
    quorum: Quorum, image_tree: Path, tmp_path: Path
) -> None:
    trained(quorum, path=image_tree, name="pets")
    moved = image_tree.rename(tmp_path / "moved")
    (moved / "red").rename(moved / "green")
    answer = train(quorum, path=moved, name="pets")
    assert answer.status == 2
    assert "which had other classes than" in answer.err
    assert "(without: red; new: green); give it another name=" in answer.err


def test_what_is_registered_keeps_its_classes(
    quorum: Quorum, image_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(quorum, path=image_tree, name="pets")
    assert quorum(*words("promote", name="pets", top=1)).status == 0
    assert MlflowClient().get_model_version_by_alias("quorum-pets", "best-1").version == 1
    for i in range(20):
        make_image(image_tree / "green" / f"{i}.png", 300 + i, tint=60)
    line = "quorum-pets: the classes are not those of version 1 (new: green); give the images another name"
    answer = train(quorum, name="pets")
    assert answer.status == 2
    assert line in answer.err
    # trained before the first promotion, and promoted after it
    monkeypatch.setattr("quorum.api.computing.check_classes", lambda *_given: None)
    trained(quorum, name="pets")
    answer = quorum(*words("promote", name="pets", top=1))
    assert answer.status == 2
    assert line in answer.err
    assert len(MlflowClient().search_model_versions("name = 'quorum-pets'")) == 1


def test_a_name_does_not_change_what_a_script_computes_with(quorum: Quorum, image_tree: Path) -> None:
    """A folder with a name brings no code along, as a data set that a script registers does."""
    before = interactive_sources()
    trained(quorum, path=image_tree, name="pets")
    assert interactive_sources() == before
