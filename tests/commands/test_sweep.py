"""Sweeps in this process: kills, divergence, reuse, and the weights that are kept."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
from mlflow.tracking import MlflowClient

from quorum.models import build
from quorum.tracking import schema
from tests.commands.faults import Fault, interrupt_after, with_fault
from tests.commands.studies import STUDY, TREE, Swept, means, runs, sweep, sweep_words
from tests.conftest import Answer, Quorum

pytestmark = pytest.mark.slow


def test_a_sweep_is_three_levels_of_runs(swept: Swept) -> None:
    result = swept.result
    assert [[t["settings"] for t in s["trials"]] for s in result["stages"][:1]] == [[{"lr": 0.02}, {"lr": 0.05}]]
    [outer] = runs("sweep")
    trials, seeds = runs("trial"), runs("seed")
    assert outer.info.run_id == result["run_id"]
    assert {t["run_id"] for s in result["stages"] for t in s["trials"]} == {t.info.run_id for t in trials}
    assert len(trials) == 4
    assert len(seeds) == 6  # the second stage repeats a trial of the first, which is linked
    assert {t.data.tags[schema.PARENT] for t in trials} == {outer.info.run_id}
    assert {s.data.tags[schema.PARENT] for s in seeds} <= {t.info.run_id for t in trials}
    for run in (outer, *trials, *seeds):
        assert run.info.status == "FINISHED"
    for seed in seeds:
        history = MlflowClient().get_metric_history(seed.info.run_id, "val/accuracy")
        assert [m.step for m in history] == list(range(1, int(seed.data.params["epochs"]) + 1))
    for trial in trials:
        values = [
            MlflowClient().get_run(run_id).data.metrics["best/val_accuracy"]
            for run_id in json.loads(trial.data.tags[schema.SEED_RUNS]).values()
        ]
        assert trial.data.metrics["val_accuracy/mean"] == pytest.approx(pd.Series(values).mean())
        assert trial.data.metrics["val_accuracy/std"] == pytest.approx(pd.Series(values).std())
        assert trial.data.metrics["val_accuracy/n"] == 2


def test_the_sweeps_page_holds_the_table_beside_the_published_numbers(swept: Swept) -> None:
    result = swept.result
    [outer] = runs("sweep")
    note = outer.data.tags[schema.NOTE]
    assert "### Stage lr" in note
    assert "published" in note
    assert "0.5000" in note
    folder = swept.folder / "mlruns" / result["run_id"] / "artifacts"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == [
        "curves.png",
        "environment.json",
        *sorted(f"stages/{stage}{end}" for stage in ("epochs", "lr") for end in ("-curves.png", ".csv", ".md", ".png")),
    ]
    table = pd.read_csv(folder / "stages" / "lr.csv")
    assert list(table["mean"]) == pytest.approx(means(result)[0])
    assert table["difference"][1] == pytest.approx(table["mean"][1] - 0.5)
    [experiment] = [e for e in MlflowClient().search_experiments() if e.experiment_id == outer.info.experiment_id]
    for link in result["views"].values():
        assert f"mlflow.sharedViewState.{link.partition('viewStateShareKey=')[2].partition('&')[0]}" in experiment.tags


def test_a_sweep_with_other_settings_is_not_compared_with_the_published_numbers(
    quorum: Quorum, small_digits: Path
) -> None:
    text = STUDY.replace("[0.02, 0.05]", "[0.05]").replace("epochs: 2", "epochs: 1").replace("[1, 2]", "[1]")
    result = sweep(quorum, small_digits, text, batch_size=32, seeds=0)
    [outer] = runs("sweep")
    assert result["run_id"] == outer.info.run_id
    note = outer.data.tags[schema.NOTE]
    assert "Run with batch_size=32: not compared with what was published." in note
    assert "difference" not in note
    assert "0.5000" not in note


def test_a_setting_that_takes_the_place_of_one_that_cannot_be_had(quorum: Quorum, small_digits: Path) -> None:
    """Such as a network of a package that is not installed."""
    text = STUDY.replace("[0.02, 0.05]", "[0.05]").replace("[1, 2]", "[1]").replace("scratch-simple", "timm/no-network")
    result = sweep(quorum, small_digits, text, model="scratch-simple", seeds=0)
    assert [stage["trials"][0]["n"] for stage in result["stages"]] == [1, 1]
    [outer] = runs("sweep")
    assert "Run with model=scratch-simple: not compared with what was published." in outer.data.tags[schema.NOTE]


def test_a_base_that_could_not_be_run_by_itself_is_completed_by_the_stages(quorum: Quorum, small_digits: Path) -> None:
    text = """\
dataset: folder
base: {input_size: 32, resize: 32, batch_size: 16, epochs: 1}
stages:
  - name: model
    vary: {model: [scratch-simple]}
"""
    assert (
        len(sweep(quorum, small_digits, text, seeds=0)["stages"][0]["trials"]) == 1
    )  # the default, AlexNet, takes no 32 pixels


@pytest.mark.parametrize("after", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_and_started_again_it_goes_on_in_the_same_runs(
    swept_study: Path, quorum: Quorum, small_digits: Path, after: int
) -> None:
    (quorum.folder / "study.yaml").write_text(STUDY)
    answer = with_fault(interrupt_after(after), quorum, sweep_words(small_digits))
    assert answer.status == 130
    assert answer.err.endswith("quorum: interrupted\n")
    begun = {run.info.run_id for kind in ("sweep", "trial", "seed") for run in runs(kind)}
    killed = [r.info.status for kind in ("sweep", "trial", "seed") for r in runs(kind)]
    assert killed.count("KILLED") == 3
    result = sweep(quorum, small_digits)
    assert begun <= {run.info.run_id for kind in ("sweep", "trial", "seed") for run in runs(kind)}
    assert (len(runs("sweep")), len(runs("trial")), len(runs("seed"))) == (1, 4, 6)
    assert {run.info.status for kind in ("sweep", "trial", "seed") for run in runs(kind)} == {"FINISHED"}
    stored = f"sqlite:///{quorum.folder}/optuna.db"
    for stage in ("lr", "epochs"):
        [name] = [name for name in optuna.get_all_study_names(stored) if f"/{stage} ({result['run_id'][:8]})" in name]
        assert [t.state.name for t in optuna.load_study(study_name=name, storage=stored).trials] == ["COMPLETE"] * 2
    for seed in runs("seed"):
        steps = [m.step for m in MlflowClient().get_metric_history(seed.info.run_id, "val/loss")]
        assert steps == list(range(1, int(seed.data.params["epochs"]) + 1))
    assert means(result) == means(json.loads((swept_study / "sweep.json").read_text()))
    assert not list((quorum.folder / ".quorum").glob("states/*"))
    assert not list((quorum.folder / ".quorum").glob("weights/*"))


def test_a_finished_sweep_is_linked_when_it_is_run_again(swept: Swept, small_digits: Path) -> None:
    first = swept.result
    assert [[t["reused"] for t in s["trials"]] for s in first["stages"][:1]] == [[0, 0]]
    second = sweep(swept.quorum, small_digits)
    assert second["run_id"] != first["run_id"]
    assert [[t["reused"] for t in s["trials"]] for s in second["stages"]] == [[2, 2], [2, 2]]
    assert means(second) == means(first)
    assert len(runs("seed")) == 6
    MlflowClient().update_run(second["run_id"], status="KILLED")  # as if it had been stopped just before its end
    assert sweep(swept.quorum, small_digits) == second


DIVERGES = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 1}
stages:
  - name: lr
    vary: {lr: [1e30, 0.05]}
"""


def test_a_diverged_trial_is_failed_with_the_reason_and_the_sweep_goes_on(quorum: Quorum, small_digits: Path) -> None:
    result = sweep(quorum, small_digits, DIVERGES)
    failed, good = result["stages"][0]["trials"]
    assert failed["mean"] is None
    assert failed["n"] == 0
    assert "loss is" in failed["failed"][0]
    assert good["n"] == 2
    statuses = {run.data.tags[schema.KEY]: run.info.status for run in (*runs("trial"), *runs("seed"))}
    assert sorted(statuses.values()) == ["FAILED"] * 3 + ["FINISHED"] * 3
    [trial] = [run for run in runs("trial") if run.info.status == "FAILED"]
    assert "seed 0: the training loss is" in trial.data.tags[schema.NOTE]
    [outer] = runs("sweep")
    assert outer.info.status == "FINISHED"
    assert "loss is" in outer.data.tags[schema.NOTE]


def test_only_the_best_trials_weights_are_kept(quorum: Quorum, small_digits: Path) -> None:
    text = STUDY.replace("[0.02, 0.05]", "[0.001, 0.02, 0.05]")
    result = sweep(quorum, small_digits, text, keep=2, seeds=0)
    trials = [trial for stage in result["stages"] for trial in stage["trials"]]
    distinct: dict[str, float] = {}
    for trial in trials:
        run = MlflowClient().get_run(trial["run_id"])
        distinct[run.data.tags[schema.TRIAL_FINGERPRINT]] = trial["mean"]
    best = sorted(distinct.values(), reverse=True)[:2]
    kept = [run for run in runs("trial") if schema.MODEL_ID in run.data.tags]
    assert sorted({run.data.metrics["val_accuracy/mean"] for run in kept}, reverse=True) == sorted(
        set(best), reverse=True
    )
    models = {model.model_id for model in MlflowClient().search_logged_models(["1"])}
    assert models == {run.data.tags[schema.MODEL_ID] for run in kept}
    weights = list((quorum.folder / "mlruns" / "models").rglob("weights.pt"))
    assert len(weights) == len(models) <= 2


REPEATED = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 1, lr: 0.05}
stages:
  - {name: lr, vary: {lr: [0.05]}}
  - {name: momentum, vary: {momentum: [0.9]}}
  - {name: epochs, vary: {epochs: [6]}}
"""


def test_no_trial_points_at_weights_that_are_gone(quorum: Quorum, small_digits: Path) -> None:
    """The first two trials are one training, whose weights are kept for both until the third is better."""
    (quorum.folder / "study.yaml").write_text(REPEATED)
    assert quorum(*sweep_words(small_digits, seeds=0, keep=1)).status == 0
    client = MlflowClient()
    pointing = [run for run in client.search_runs(["1"]) if schema.MODEL_ID in run.data.tags]
    trials = {run.data.tags[schema.KEY] for run in pointing if run.data.tags[schema.KIND] == schema.TRIAL_KIND}
    assert trials == {"epochs/0"}
    assert [client.get_logged_model(run.data.tags[schema.MODEL_ID]).status for run in pointing] == ["READY"] * 2


def test_two_processes_do_not_work_on_the_same_sweep_from_whatever_folder(quorum: Quorum, small_digits: Path) -> None:
    (quorum.folder / "study.yaml").write_text(STUDY.replace("epochs: 2", "epochs: 1").replace("[1, 2]", "[1]"))
    command = sweep_words(small_digits, seeds=0)
    others: list[Answer] = []

    def start_another(*_: object) -> None:
        if not others:
            others.append(quorum(*command, "-P", "work_dir=another"))

    assert with_fault(Fault(start_another), quorum, command).status == 0
    assert others[0].status == 2
    assert f"this sweep is being worked on by process {os.getpid()} of " in others[0].err
    assert others[0].err.count("\n") == 1


SAME = """\
dataset: folder
base: {model: scratch-simple, batch_size: 16, epochs: 1}
stages:
  - name: resize
    vary: {resize: [32, 36], input_size: [auto, 32]}
"""


def test_settings_that_resolve_to_the_same_are_trained_once(quorum: Quorum, small_digits: Path) -> None:
    result = sweep(quorum, small_digits, SAME, seeds=0)
    trials = result["stages"][0]["trials"]
    assert [trial["reused"] for trial in trials] == [0, 1, 0, 1]
    assert trials[0]["mean"] == trials[1]["mean"]
    assert result["epochs"] == {"written": 4, "trained": 2, "shared": 0, "reused": 2, "spared": 0}
    assert len(runs("seed")) == 2


ONE_BEST_FITS = """\
dataset: digits
base: {model: scratch-simple, batch_size: 128, schedule: cosine}
stages:
  - name: epochs
    vary: {epochs: [6, 3]}
  - name: schedule
    vary: {schedule: [cosine, "warmup(epochs=5) | cosine"]}
"""


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_stage_that_could_not_go_on_from_every_trial_is_refused_at_once(quorum: Quorum, more: list[str]) -> None:
    (quorum.folder / "study.yaml").write_text(ONE_BEST_FITS)
    answer = quorum("sweep", "-P", "study=study.yaml", "-P", "seeds=0", *more)
    assert answer.status == 2
    assert answer.err.startswith("quorum: study.yaml:7: schedule: ")
    assert answer.err.count("\n") == 1
    assert not runs("sweep")


@pytest.mark.parametrize("killed", [True, False])  # SIGKILL leaves runs that seem to run, Ctrl-C does not
def test_a_sweep_whose_data_changed_is_ended_with_the_reason(
    quorum: Quorum, small_digits: Path, tmp_path: Path, killed: bool
) -> None:
    images = Path(shutil.copytree(small_digits, tmp_path / "images"))
    (quorum.folder / "study.yaml").write_text(STUDY)
    command = sweep_words(images)
    assert with_fault(interrupt_after(3), quorum, command).status == 130
    client = MlflowClient()
    for kind in ("sweep", "trial", "seed") if killed else ():
        for run in runs(kind):
            if run.info.status == "KILLED":
                client.update_run(run.info.run_id, status="RUNNING")
    [old] = runs("sweep")
    assert (quorum.folder / ".quorum" / "kept" / old.info.run_id).exists()
    file = next((images / "0").iterdir())
    file.unlink()
    answer = quorum(*command)
    assert answer.status == 0, answer.err
    reason = "stopped, and its data changed before it was finished, so a new sweep begins"
    assert f"sweep {old.info.run_id}: {reason}" in answer.err
    ended = client.get_run(old.info.run_id)
    assert ended.info.status == "KILLED"
    assert ended.data.tags["mlflow.note.content"] == reason
    assert not [run for kind in ("sweep", "trial", "seed") for run in runs(kind) if run.info.status == "RUNNING"]
    assert not (quorum.folder / ".quorum" / "kept" / old.info.run_id).exists()
    assert not list((quorum.folder / ".quorum" / "states").glob("*"))


def test_a_sweep_whose_first_weights_changed_is_ended_with_the_reason(quorum: Quorum, small_digits: Path) -> None:
    (quorum.folder / "study.yaml").write_text(STUDY)
    file = quorum.folder / "first.pt"
    command = sweep_words(small_digits, weights=file)
    torch.save(build("scratch-simple", 4, seed=1).state_dict(), file)
    assert with_fault(interrupt_after(3), quorum, command).status == 130
    [old] = runs("sweep")
    torch.save(build("scratch-simple", 4, seed=2).state_dict(), file)
    answer = quorum(*command, "--json")
    assert answer.status == 0, answer.err
    reason = "stopped, and its first weights changed before it was finished, so a new sweep begins"
    assert f"sweep {old.info.run_id}: {reason}" in answer.err
    assert not list((quorum.folder / ".quorum" / "states").glob("*"))
    again = json.loads(quorum(*command, "--json", "-P", "reuse=false").out)
    assert means(json.loads(answer.out)) == means(again), "nothing of the first weights before is in it"


def test_a_dry_run_says_what_the_sweep_then_does(quorum: Quorum, small_digits: Path) -> None:
    (quorum.folder / "study.yaml").write_text(TREE)
    command = sweep_words(small_digits)
    told = json.loads(quorum(*command, "--dry-run", "--json").out)
    assert [*runs("sweep"), *runs("trial"), *runs("seed")] == []
    assert not list((quorum.folder / ".quorum").glob("kept/*"))
    text = quorum(*command, "--dry-run").out
    assert f"small-digits/study: 14 trainings, {told['epochs']['written']} epochs written: " in text
    assert "time: not known: no finished run of scratch-simple on small-digits by this kind of machine" in text
    result = json.loads(quorum(*command, "--json").out)
    assert result["epochs"] == {**told["epochs"], "spared": 0}
    again = quorum(*command, "--dry-run")
    counted = f"0 to train, 0 shared with another training of this sweep, {told['epochs']['written']} reused from"
    assert counted in again.out
    assert "time: about 0 s, by the last runs on this kind of machine" in again.out


def test_a_sweep_tells_how_far_it_is_and_shows_its_tables_once(quorum: Quorum, small_digits: Path) -> None:
    (quorum.folder / "study.yaml").write_text(STUDY)
    answer = quorum(*sweep_words(small_digits))
    assert "training 1 of 8 (seed 0, lr=0.02): epoch 1 of 2, loss" in answer.err
    assert answer.err.count("left in all") == 2 * (2 + 2)  # the second stage repeats those epochs
    assert "stage lr is done: lr=0.0" in answer.err
    assert "|" not in answer.err
    assert answer.out.count("### Stage lr") == 1
