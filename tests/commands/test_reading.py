"""What is stored, read on the command line: tables of results, one run, two side by side."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import pytest
from mlflow.tracking import MlflowClient

import quorum as q
from quorum.engine.history import EpochRecord
from quorum.tracking.queries import run_beginning
from quorum.tracking.records import Record, SweepRecord, TrainingRecord, TrialRecord
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum

SEED_VALUES = {"0.1": (0.5, 0.6), "0.2": (0.7, 0.9)}


def train(store: TrackingStore, sweep: str, lr: str, seed: int, accuracy: float, epochs: int = 12) -> str:
    """A finished training."""
    record = TrainingRecord(kind="seed", dataset="digits", fingerprint=f"{lr}/{seed}", seed=seed, sweep_run_id=sweep)
    with begin_run(store, f"seed {seed}, lr={lr}", record, parent=sweep) as log:
        log.params({"model": "scratch-simple", "lr": lr, "epochs": epochs, "seed": seed})
        values = {"train/loss": 1.0, "val/loss": 2.0, "train/accuracy": 0.5, "lr": 0.001}
        log.epochs([EpochRecord(e, {**values, "val/accuracy": accuracy * e / epochs}) for e in range(1, epochs + 1)])
        final = {"best/val_accuracy": accuracy, "last/val_accuracy": accuracy, "test/accuracy": accuracy - 0.1}
        log.metrics({**final, "best/epoch": 12.0}, step=epochs)
    return log.run_id


def trial(store: TrackingStore, sweep: str, number: int, lr: str, values: Sequence[float]) -> str:
    """A finished trial, a training for each value."""
    seeds = {str(seed): train(store, sweep, lr, seed, value) for seed, value in enumerate(values)}
    record = TrialRecord(
        kind="trial", dataset="digits", trial_fingerprint=lr, sweep_run_id=sweep, stage="lr", number=number,
        code_version=f"code {number}", seed_runs=seeds,
    )  # fmt: skip
    with begin_run(store, f"lr={lr}", record, parent=sweep) as log:
        log.params({"model": "scratch-simple", "lr": lr, "epochs": 12})
        mean = sum(values) / len(values)
        log.metrics({"val_accuracy/mean": mean, "val_accuracy/std": 0.01, "val_accuracy/n": len(values)})
    return log.run_id


@pytest.fixture
def filled(quorum: Quorum) -> list[str]:
    """A sweep of two trials over two seeds: ids of the sweep and of its trials."""
    store = connect()
    with begin_run(store, "sweep digits/rates", SweepRecord(kind="sweep", dataset="digits")) as log:
        log.metrics({"epochs_trained": 48.0})
        trials = [trial(store, log.run_id, i, lr, values) for i, (lr, values) in enumerate(SEED_VALUES.items())]
    return [log.run_id, *trials]


@pytest.mark.slow
def test_results_as_a_table_as_csv_and_as_json(quorum: Quorum, filled: list[str]) -> None:
    text = quorum("results").out
    assert filled[1][:8] in text
    assert [line.split("|")[4].strip() for line in text.splitlines()] == ["lr", ":-----", "0.2", "0.1"]  # newest first
    assert "epochs" not in text  # the same in all
    assert "0.5500" in text
    rows = list(csv.DictReader(io.StringIO(quorum("results", "--csv").out)))
    assert [(row["run_id"], row["lr"], row["epochs"]) for row in rows] == [
        (filled[2], "0.2", "12"),
        (filled[1], "0.1", "12"),
    ]
    found = json.loads(quorum("results", "--json", "-P", "level=seed").out)
    assert [(row["lr"], row["seed"]) for row in found] == [(0.2, 1), (0.2, 0), (0.1, 1), (0.1, 0)]
    assert found[0]["best/val_accuracy"] == 0.9
    assert len(json.loads(quorum("results", "--json", "-P", "level=epoch").out)) == 4 * 12
    assert "| epoch " in quorum("results", "-P", "level=epoch").out


def test_a_data_set_without_results_is_no_mistake(quorum: Quorum) -> None:
    answer = quorum("results", "-P", "dataset=cifar10")
    assert (answer.status, answer.out) == (0, "no results of cifar10 yet; quorum sweep makes some\n")
    assert json.loads(quorum("results", "--json").out) == []
    assert quorum("results", "--csv").out == "\n"


def test_a_sweep_a_trial_and_a_training_are_shown(quorum: Quorum, filled: list[str]) -> None:
    sweep = quorum("show", filled[0]).out
    assert sweep.startswith(f"sweep {filled[0]}: sweep digits/rates on digits, FINISHED\n")
    assert "| epochs_trained | 48 " in sweep
    assert sweep.index(filled[1][:8]) < sweep.index(filled[2][:8])
    shown = quorum("show", filled[2][:12]).out
    assert "-P model=scratch-simple -P lr=0.2 -P epochs=12" in shown
    [mean] = [line.split("|")[2:4] for line in shown.splitlines() if line.startswith("| val_accuracy ")]
    assert [cell.strip() for cell in mean] == ["0.8000", "0.0100"]
    epochs = [line.split("|")[1].strip() for line in shown.split("| epoch")[1].splitlines()[2:]]
    assert epochs == ["1", "2", "3", "5", "6", "7", "8", "10", "11", "12"]
    assert shown.splitlines()[-1].split("|")[4].strip() == "0.8000"  # the seeds' mean
    data = json.loads(quorum("show", "--json", "-P", f"run={filled[2]}").out)
    assert [row["best/val_accuracy"] for row in data["runs"]] == [0.7, 0.9]
    seed = data["runs"][0]["run_id"]
    training = q.show(seed)
    assert (training.kind, training.settings["lr"], len(training.history)) == ("seed", "0.2", 12)
    assert training.metrics["best/val_accuracy"] == 0.7
    assert training.runs.empty


def test_a_run_of_nothing_but_a_reason_is_shown(quorum: Quorum) -> None:
    with pytest.raises(KeyboardInterrupt), begin_run(connect(), "a vote", Record(kind="ensemble")) as log:
        raise KeyboardInterrupt
    reason = "stopped before it was finished; the same command goes on from here"
    assert quorum("show", log.run_id).out == f"ensemble {log.run_id}: a vote, KILLED ({reason})\n"


def test_an_ambiguous_beginning_is_told(filled: list[str]) -> None:
    with pytest.raises(q.QuorumError, match="several runs begin with"):
        run_beginning(connect(), "")


def test_two_trials_are_compared_seed_by_seed(quorum: Quorum, filled: list[str]) -> None:
    _, first, second = filled
    found = q.compare(first, second[:8])
    assert found.settings.to_dict("records") == [
        {"setting": "lr", "a": "0.1", "b": "0.2"},
        {"setting": "code", "a": "code 0", "b": "code 1"},
    ]
    validation = found.differences.set_index("metric").loc["best/val_accuracy"]
    assert (validation["a"], validation["b"], validation["n"]) == (pytest.approx(0.55), pytest.approx(0.8), 2)
    assert validation["difference"] == pytest.approx(0.25)
    half = 12.7062 * 0.0707107 / 2**0.5  # Student's t for one degree of freedom; differences 0.2 and 0.3
    assert (validation["low"], validation["high"]) == (
        pytest.approx(0.25 - half, 1e-4),
        pytest.approx(0.25 + half, 1e-4),
    )
    assert [curve["val/accuracy"].iloc[-1] for curve in found.curves.values()] == [
        pytest.approx(0.55),
        pytest.approx(0.8),
    ]
    answer = quorum("compare", first, second, "-P", "output=made/curves.png")
    assert answer.out.startswith(f"a: lr=0.1 ({first[:8]})\nb: lr=0.2 ({second[:8]})\n")
    assert "val/accuracy b" in answer.out
    assert (quorum.folder / "made" / "curves.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads(quorum("compare", first, second, "--json").out)
    assert data["differences"][0]["n"] == 2


def test_what_cannot_be_compared_is_told(quorum: Quorum, filled: list[str]) -> None:
    sweep, first, _ = filled
    answer = quorum("compare", first, sweep)
    assert (answer.status, answer.err) == (
        2,
        f"quorum: run {sweep} (sweep digits/rates) is no finished trial or training; "
        "quorum results lists those that are\n",
    )
    answer = quorum("compare", first, first[:8])
    assert (answer.status, answer.err) == (2, f"quorum: other: {first[:8]} is the same run as {first}\n")


def test_one_seed_in_common_has_a_difference_without_an_interval(quorum: Quorum, filled: list[str]) -> None:
    single = train(connect(), filled[0], "0.3", 1, 0.8, epochs=2)
    text = quorum("compare", filled[1], single).out
    [row] = [line for line in text.splitlines() if "best/val_accuracy" in line]
    assert [cell.strip() for cell in row.split("|")[2:8]] == ["0.6000", "0.8000", "0.2000", "–", "–", "1"]
    [last] = [line for line in text.splitlines() if line.startswith("| 12 ")]
    assert last.split("|")[7].strip() == "–"  # it has ended


def test_a_deleted_run_is_not_found(quorum: Quorum, filled: list[str]) -> None:
    MlflowClient().delete_run(filled[1])
    assert f"no run's id begins with {filled[1]} in sqlite:///" in quorum("show", filled[1]).err
