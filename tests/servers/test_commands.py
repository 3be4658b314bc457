"""Every command of the README against MLflow's server on PostgreSQL, its artifacts in S3, from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine, text

from quorum.tracking.leases import presences
from tests.commands.studies import STUDY, sweep_words
from tests.conftest import Quorum
from tests.servers.conftest import Site

pytestmark = pytest.mark.slow
LONG = STUDY.replace("epochs: 2", "epochs: 40").replace("[1, 2]", "[40, 60]")


def answer(quorum: Quorum, *words: str) -> dict[str, Any]:
    """What a command says as JSON, which is all that it prints."""
    done = quorum(*words, "--json")
    assert done.status == 0, done.err
    data: dict[str, Any] = json.loads(done.out)
    return data


def tables(result: dict[str, Any]) -> list[Any]:
    """What two sweeps of one study have in common: their settings and figures."""
    names = ("settings", "mean", "std", "n", "test_mean", "test_std")
    return [[[trial[name] for name in names] for trial in stage["trials"]] for stage in result["stages"]]


def test_every_command_works(on_site: Quorum, small_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (on_site.folder / "study.yaml").write_text(STUDY)
    swept = answer(on_site, *sweep_words(small_digits))
    settings = ["-P", "dataset=folder", "-P", f"path={small_digits}"]
    network = ["-P", "model=scratch-simple", "-P", "resize=32", "-P", "batch_size=16", "-P", "epochs=1"]
    promoted = answer(on_site, "promote", "-P", "name=small-digits", "-P", "top=2")
    assert set(promoted) == {"best-1", "best-2"}
    voted = answer(on_site, "ensemble", *settings, "-P", "output=predictions.csv")
    assert voted["images"] == len((on_site.folder / "predictions.csv").read_text().splitlines()) - 1
    answer(on_site, "promote", "-P", "name=small-digits", "--rollback")
    trained = answer(on_site, "train", *settings, *network, "-P", "threads=1")
    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"]).experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {swept["run_id"], trained["run_id"]} <= {run.info.run_id for run in runs}
    assert client.download_artifacts(swept["run_id"], "environment.json", str(on_site.folder))
    assert presences(client) == []
    assert (on_site.folder / ".quorum" / "optuna.db").is_file(), "the server's database cannot be reached"
    # The same sweep on a store of its own in a file gives the same figures.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{on_site.folder}/another.db")
    assert tables(answer(on_site, *sweep_words(small_digits))) == tables(swept)


def start(folder: Path, words: list[str], uri: str, experiment: str) -> subprocess.Popen[str]:
    """A command in a process and a folder of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(LONG)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": experiment}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "quorum", *words, "--json"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def steps(client: MlflowClient, experiment: str) -> tuple[dict[str, str], Counter[tuple[str, int]]]:
    """The statuses of an experiment's runs, and how often each has each epoch's loss."""
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    statuses = {run.info.run_id: run.info.status for run in runs}
    counted = [(run, metric.step) for run in statuses for metric in client.get_metric_history(run, "val/loss")]
    return statuses, Counter(counted)


def test_two_folders_that_sweep_the_same_on_one_database(site: Site, tmp_path: Path, small_digits: Path) -> None:
    """PostgreSQL itself is the store, so Optuna's studies are in it too."""
    words = sweep_words(small_digits)
    one = start(tmp_path / "one", words, site.database.uri, tmp_path.name)
    time.sleep(3)
    other = start(tmp_path / "other", words, site.database.uri, tmp_path.name)
    answers = {process.returncode: told for process in (one, other) if (told := process.communicate(timeout=300))}
    assert sorted(answers) == [0, 2], answers
    assert "this sweep is being worked on by process" in answers[2][1]
    statuses, counted = steps(MlflowClient(site.database.uri), tmp_path.name)
    assert len(statuses) == 1 + 4 + 3 * 2, "a sweep, four trials, and three trainings of two seeds: one is reused"
    assert set(statuses.values()) == {"FINISHED"}
    assert set(counted.values()) == {1}
    assert sorted({step for _, step in counted}) == list(range(1, 61))
    with create_engine(site.database.uri).connect() as database:
        states = database.execute(text("SELECT state, count(*) FROM optuna.trials GROUP BY state")).all()
    assert [tuple(row) for row in states] == [("COMPLETE", 4)]


def test_a_sweep_outlives_its_server_and_its_database(
    site: Site, on_site: Quorum, tmp_path: Path, small_digits: Path
) -> None:
    words = [*sweep_words(small_digits), "-P", "jobs=2", "-P", "reuse=false"]  # nothing of the other tests'
    sweeping = start(tmp_path / "one", words, site.server.uri, tmp_path.name)
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(sweeping.stderr or ()))
    reader.start()
    until(lambda: any("epoch 5 of" in line for line in told), sweeping, told)
    site.server.stop()
    time.sleep(4)
    site.server.start()
    seen = len(told)
    until(lambda: any("epoch" in line for line in told[seen:]), sweeping, told)
    site.database.stop()
    time.sleep(4)
    site.database.start()
    assert sweeping.stdout is not None
    result = json.loads(sweeping.stdout.read())
    reader.join()
    assert sweeping.wait(timeout=300) == 0, told
    assert any("tracking store does not answer" in line for line in told)
    statuses, counted = steps(MlflowClient(site.server.uri), tmp_path.name)
    assert set(statuses.values()) == {"FINISHED"}
    assert len(statuses) == 1 + 4 + 3 * 2
    assert set(counted.values()) == {1}
    undisturbed = start(tmp_path / "another", words, f"sqlite:///{tmp_path}/another.db", "undisturbed")
    assert tables(json.loads(undisturbed.communicate(timeout=300)[0])) == tables(result)


def until(seen: Callable[[], bool], sweeping: subprocess.Popen[str], told: list[str]) -> None:
    deadline = time.monotonic() + 300
    while not seen():
        assert sweeping.poll() is None, "".join(told)
        assert time.monotonic() < deadline, "".join(told)
        time.sleep(0.05)
