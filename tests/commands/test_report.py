"""`quorum report` and `quorum studies`, and the vote of a study."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torchvision
from mlflow.tracking import MlflowClient

from quorum.commands.wiring import Command
from quorum.tracking import schema
from quorum.voting.vote import majority_vote
from tests.conftest import Answer, Quorum, words
from tests.imagenet import put_imagenet_file

LR = """\
description: Two <learning> rates.
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 2}
stages:
  - name: lr
    vary: {lr: [0.02, 0.05, 0.1]}
    published:
      - {id: low, at: {lr: 0.02}, val_accuracy: 0.123, std: 0.01}
      - {id: high, at: {lr: 0.05}, figure: 7}
      - {id: never-run, at: {lr: 0.1}, val_accuracy: 0.5, test_accuracy: 0.4}
"""
TRANSFER = """\
dataset: folder
base: {model: resnet18, weights: imagenet, input_size: 32, resize: 32, batch_size: 16}
stages:
  - name: published
    published:
      - {id: transfer, val_accuracy: 0.9}
"""
CLAIMS = """\
claims:
  - {id: of-one, says: One study., checks: [{mean: {id: transfer}, above: 0.5}]}
  - {id: of-both, says: Two studies., checks: [{difference: [{id: transfer}, {id: vote}], above: 0}]}
  - {id: of-none, says: None.}
"""
VOTE = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 1}
stages:
  - name: slow
    set: {lr: 0.01}
    published:
      - {id: slow, val_accuracy: 0.5}
  - name: fast
    set: {lr: 0.05}
  - name: wide
    set: {lr: 0.03}
vote:
  members: [slow, fast, wide]
  published:
    - {id: vote, val_accuracy: 0.9}
"""


@pytest.fixture
def studied(quorum: Quorum, small_digits: Path, monkeypatch: pytest.MonkeyPatch) -> Quorum:
    """Commands on few images with three study files, and a cache without ImageNet weights."""
    (quorum.folder / "sweeps").unlink()
    folder = quorum.folder / "sweeps" / "folder"
    folder.mkdir(parents=True)
    for name, text in (("lr", LR), ("transfer", TRANSFER), ("vote", VOTE)):
        (folder / f"{name}.yaml").write_text(text)
    monkeypatch.setattr("torch.hub._hub_dir", str(quorum.folder / "hub"))
    monkeypatch.setattr("quorum.study.folder._CHECKOUT", quorum.folder / "none")  # whose studies would be there too

    def call(arguments: Sequence[str], commands: Mapping[str, Command]) -> Answer:
        images = [] if arguments[0] == "studies" else ["-P", f"path={small_digits}"]
        return quorum.call([*arguments, "-P", "dataset=folder", *images], commands)

    return Quorum(quorum.folder, call)


def answer(quorum: Quorum, *arguments: str) -> Any:
    done = quorum(*arguments, "--json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def row(result: dict[str, Any], identity: str) -> dict[str, Any]:
    [found] = [row for row in result["rows"] if row["id"] == identity]
    return dict(found)


def train(quorum: Quorum, seed: int, **changes: object) -> dict[str, Any]:
    values = {"model": "scratch-simple", "resize": 32, "batch_size": 16, "epochs": 2, "lr": 0.02, "seed": seed}
    return dict(answer(quorum, *words("train", **{**values, **changes})))


def test_nothing_was_run(studied: Quorum) -> None:
    result = answer(studied, "report")
    assert result["verdicts"] == {"not run": 8}
    assert row(result, "transfer")["reason"] == "needs ImageNet weights: resnet18-f37072fd.pth is not here"
    assert row(result, "low")["reason"] == "not run yet"
    assert row(result, "vote")["reason"] == "not run yet: slow, fast, wide"


@pytest.mark.slow
def test_ours_beside_theirs(studied: Quorum) -> None:
    trained = [train(studied, seed) for seed in (0, 1)]
    train(studied, 0, lr=0.05)
    train(studied, 0, lr=0.05, epochs=1)  # another protocol, which no row asks for
    result = answer(studied, "report")
    low = row(result, "low")
    values = pd.Series([run["best_val_accuracy"] for run in trained])
    assert (low["mean"], low["std"], low["n"]) == (pytest.approx(values.mean()), pytest.approx(values.std()), 2)
    assert low["verdict"] == "higher"
    assert row(result, "high")["verdict"] == "no number"
    assert row(result, "high")["n"] == 1
    assert row(result, "never-run")["verdict"] == "not run"
    [run] = MlflowClient().search_runs(["1"], f"tags.`{schema.KIND}` = 'report'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["rows/higher"] == 1
    assert "0.1230 ± 0.0100" in run.data.tags[schema.NOTE]
    logged = studied.folder / "mlruns" / run.info.run_id / "artifacts"
    written = studied.folder / "reports"
    for name in ("small-digits.html", "small-digits.md", "small-digits.csv", "small-digits/lr-lr.png"):
        assert (logged / name).read_bytes() == (written / name).read_bytes()


@pytest.mark.slow
def test_the_page_is_self_contained_and_the_markdowns_figures_are_there(studied: Quorum) -> None:
    train(studied, 0)
    result = answer(studied, "report", "-P", "output=here")
    html, text = Path(result["html"]).read_text(), Path(result["markdown"]).read_text()
    sources = re.findall(r'<img[^>]*src="([^"]+)"', html)
    assert len(sources) == 5  # bars, curves, confusion matrix, class distribution, mean images
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r'(href|src)="(?!#|data:)', html)
    assert "Two &lt;learning&gt; rates." in html
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(links) == 5
    assert all((studied.folder / "here" / link).is_file() for link in links)
    for expected in ("torch 2", "seed", "reproduced:", "`mlflow run . -e sweep -P dataset=small-digits -P study=lr`"):
        assert expected in html.replace("<code>", "`").replace("</code>", "`")
        assert expected in text


@pytest.mark.slow
def test_the_page_opens_in_a_browser(studied: Quorum, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("there is no Chromium on this machine")
    train(studied, 0)
    page = Path(answer(studied, "report")["html"]).read_text()
    probe = """<script>addEventListener("load", () => {
        const broken = [...document.images].filter(image => !image.complete || !image.naturalWidth).length;
        const wide = document.documentElement.scrollWidth > innerWidth;
        document.title = `${document.images.length} images, ${broken} broken, ${wide ? "too wide" : "fits"}`;
    })</script>"""
    probed = tmp_path / "page.html"
    probed.write_text(page.replace("</head>", f"{probe}</head>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--virtual-time-budget=5000"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [browser, *options, profile, "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "<title>5 images, 0 broken, fits</title>" in done.stdout


@pytest.mark.slow
def test_a_row_that_failed_says_why(studied: Quorum) -> None:
    failing = LR.replace("[0.02, 0.05, 0.1]", "[0.02, 0.05, 1e20]").replace("lr: 0.1}", "lr: 1e20}")
    (studied.folder / "sweeps" / "folder" / "lr.yaml").write_text(failing)
    assert studied("sweep", "-P", "study=lr", "-P", "seeds=0,1").status == 0
    found = row(answer(studied, "report"), "never-run")
    assert found["n"] == 0
    assert found["reason"].startswith("seed 0 failed: the ")
    assert "seed 1 failed" in found["reason"]
    assert "in epoch 1" in found["reason"]


@pytest.mark.slow
def test_a_transfer_study_runs_where_its_weights_are(studied: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = studied.folder / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    damaged.parent.mkdir(parents=True)
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), damaged)
    refused = studied("sweep", "-P", "study=transfer")
    assert refused.status == 2
    assert "resnet18-f37072fd.pth is damaged or another file: its SHA-256 begins with" in refused.err
    put_imagenet_file(torchvision.models.resnet18(weights=None), "resnet18", monkeypatch)
    assert row(answer(studied, "report"), "transfer")["reason"] == "not run yet"
    text = TRANSFER.replace("input_size: 32", "input_size: 32, epochs: 2, phases: '1:layer4+fc,2:all'")
    (studied.folder / "sweeps" / "folder" / "transfer.yaml").write_text(text)
    answer(studied, "sweep", "-P", "study=transfer", "-P", "seeds=0")
    assert row(answer(studied, "report"), "transfer")["n"] == 1
    [run] = MlflowClient().search_runs(["1"], f"tags.`{schema.KIND}` = 'seed'")
    assert run.data.params["normalize"] == "imagenet"
    assert len(run.data.params["weights_digest"]) == 16


def test_one_study_alone_and_wrong_words(studied: Quorum) -> None:
    (studied.folder / "sweeps" / "small-digits.yaml").write_text(CLAIMS)
    assert [claim["id"] for claim in answer(studied, "report")["claims"]] == ["of-one", "of-both", "of-none"]
    alone = answer(studied, "report", "-P", "study=transfer")
    assert len(alone["rows"]) == 1
    assert [claim["id"] for claim in alone["claims"]] == ["of-one"]
    assert "no study 'trasnfer' (did you mean 'transfer'?)" in studied("report", "-P", "study=trasnfer").err


@pytest.mark.slow
def test_a_study_votes_seed_by_seed(studied: Quorum) -> None:
    result = answer(studied, "sweep", "-P", "study=vote", "-P", "seeds=0,1")
    means = {stage["name"]: stage["trials"][0]["mean"] for stage in result["stages"]}
    vote = result["vote"]
    assert vote["members"] == sorted(means, key=lambda name: -means[name])
    assert {name: vote["val"][name]["mean"] for name in means} == pytest.approx(means)
    # the vote again, from what the trainings predicted
    client = MlflowClient()
    accuracies = []
    for seed in (0, 1):
        frames = []
        for name in vote["members"]:
            trial = next(s["trials"][0]["run_id"] for s in result["stages"] if s["name"] == name)
            run_id = json.loads(client.get_run(trial).data.tags[schema.SEED_RUNS])[str(seed)]
            frame = pd.read_csv(studied.folder / "mlruns" / run_id / "artifacts" / "predictions.csv")
            frames.append(frame[frame["split"] == "test"])
        decided = majority_vote(pd.concat([f["predicted"] for f in frames]).to_numpy().reshape(3, -1))
        accuracies.append((decided == frames[0]["true"].to_numpy()).mean())
    assert vote["test"]["vote"]["mean"] == pytest.approx(pd.Series(accuracies).mean())
    assert vote["test"]["vote"]["std"] == pytest.approx(pd.Series(accuracies).std())
    run = client.get_run(result["run_id"])
    assert run.data.metrics["vote/test_accuracy/mean"] == pytest.approx(vote["test"]["vote"]["mean"])
    assert "### Vote" in run.data.tags[schema.NOTE]
    found = row(answer(studied, "report"), "vote")
    assert (found["mean"], found["n"]) == (pytest.approx(vote["val"]["vote"]["mean"]), 2)
    assert "vote-vote.png" in (studied.folder / "reports" / "small-digits.md").read_text()


def test_studies_are_listed_with_what_they_cost(studied: Quorum) -> None:
    listed = {entry["study"]: entry for entry in answer(studied, "studies")}
    assert listed["vote"] == {
        "dataset": "folder",
        "study": "vote",
        "trials": 3,
        "seeds": 3,
        "epochs_written": 9,
        "epochs_to_train": 9,
        "needs_imagenet": False,
        "published_ids": ["slow", "vote"],
    }
    assert listed["transfer"]["needs_imagenet"]
    assert listed["lr"]["published_ids"] == ["low", "high", "never-run"]
    text = studied("studies", "-P", "seeds=0").out
    assert "0.123 to 0.5 in 2 rows, figure 7" in text


WRONG = {
    "model: scratch-simple": ("model: scratch-smple", ":3: no model 'scratch-smple' (did you mean 'scratch-simple'?)"),
    "batch_size: 16": (
        "augment: flp",
        ":3: augment: 'flp' at character 1: no augmentation operation 'flp' (did you mean 'flip'?)",
    ),
    "epochs: 2": ("phases: '1:classifier,2:layer4'", ":3: phases: no parameter group 'layer4'"),
    "lr: [0.02, 0.05, 0.1]": (
        "lr: [0.02, 0.05, 0.1], phases: [all, layer9]",
        ":6: phases: no parameter group 'layer9'",
    ),
    "lr: [0.02,": ("input_size: [64], lr: [0.02,", ":6: input_size: 64 does not fit scratch-simple"),
    "at: {lr: 0.1}": ("at: {lr: 0.3}", ":10: published row at {'lr': 0.3}, which is not among"),
    "id: high, at: {lr: 0.05}": ("id: low, at: {lr: 2e-2}", ":9: published row at {'lr': 0.02} is given twice"),
    "lr: [0.02, 0.05": ("lr: [0.02, 2e-2, 0.05", ":6: lr 0.02 is listed twice"),
    "base: {": ("base: {phases: '3:all', ", ":3: phases: '3:all' starts its phases"),
}


@pytest.mark.parametrize(
    ("command", "old"),
    [*(("sweep -P study=lr", old) for old in WRONG), ("report -P study=lr", "epochs: 2")],
    ids=[*(new for new, _ in WRONG.values()), "report"],
)
def test_a_wrong_study_is_refused_with_file_and_line(studied: Quorum, command: str, old: str) -> None:
    new, message = WRONG[old]
    file = studied.folder / "sweeps" / "folder" / "lr.yaml"
    text = LR.replace(old, new, 1)
    if new.count(": [") > old.count(": ["):  # published rows name every varied setting
        text = text[: text.index("    published")]
    file.write_text(text)
    done = studied(*command.split())
    assert done.status == 2
    assert f"sweeps/folder/lr.yaml{message}" in done.err
    assert done.err.count("\n") == 1
    assert not MlflowClient().search_runs(["1"])


def test_a_broken_study_does_not_hide_the_others(studied: Quorum) -> None:
    folder = studied.folder / "sweeps" / "folder"
    (folder / "lr.yaml").write_text(LR.replace("model: scratch-simple", "model: scratch-smple"))
    (folder / "vote.yaml").write_text("stages: [")
    (studied.folder / "sweeps" / "small-digits.yaml").write_text(CLAIMS)
    listed = answer(studied, "studies")
    assert [entry["study"] for entry in listed] == ["transfer", "lr", "vote"]
    assert "lr.yaml:3: no model 'scratch-smple'" in listed[1]["error"]
    assert "vote.yaml:1: not YAML" in listed[2]["error"]
    assert "\n\nBroken: sweeps/folder/lr.yaml:3: no model" in studied("studies").out
    done = studied("report")
    assert done.status == 0
    assert "left out: sweeps/folder/lr.yaml:3: no model" in done.err
    # What is concluded of a row of the broken study is not run; one study's report is of what is in it.
    claims = answer(studied, "report")["claims"]
    assert {claim["id"]: claim["outcome"] for claim in claims} == dict.fromkeys(
        ("of-one", "of-both", "of-none"), "not run"
    )
    assert [claim["id"] for claim in answer(studied, "report", "-P", "study=transfer")["claims"]] == ["of-one"]
    (folder / "transfer.yaml").unlink()
    for command in ("studies", "report"):
        done = studied(command)
        assert done.status == 2
        assert "sweeps/folder/lr.yaml:3: no model 'scratch-smple'" in done.err


def test_a_batch_that_the_data_cannot_fill_is_told_with_its_line(studied: Quorum) -> None:
    (studied.folder / "sweeps" / "folder" / "lr.yaml").write_text(LR.replace("batch_size: 16", "batch_size: 5000"))
    assert "lr.yaml:3: batch_size: 5000 is more than the 48" in studied("sweep", "-P", "study=lr").err
    # the command line has no line
    (studied.folder / "sweeps" / "folder" / "lr.yaml").write_text(LR)
    told = studied("sweep", "-P", "study=lr", "-P", "batch_size=5000").err
    assert told.startswith("quorum: batch_size: 5000 is more")
    told = studied("sweep", "-P", "study=transfer").err
    assert "transfer.yaml:2: weights: the ImageNet weights of resnet18 cannot be downloaded" in told
