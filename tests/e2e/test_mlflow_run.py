"""The commands as users type them: `mlflow run . --env-manager local`, in a copy of the project, with real SQLite."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from PIL import Image
from sklearn.datasets import load_digits

from quorum.tracking import schema
from tests.conftest import ROOT

# One project, whose tests follow one another.
pytestmark = pytest.mark.e2e

STUDY = """\
dataset: digits
base: {model: scratch-simple, batch_size: 32, epochs: 3}
stages:
  - name: lr
    vary: {lr: [0.01, 0.02, 0.05]}
"""
TREE = """\
dataset: digits
base: {model: scratch-simple, batch_size: 32, lr: 0.03, step_size: 0}
stages:
  - name: epochs
    vary: {epochs: [2, 3, 7]}
"""


class Project:
    """A copy of the project, and `mlflow run` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("MLproject", "conda.yaml"):
            shutil.copy(ROOT / name, folder)
        for name in ("src", "sweeps"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "sweeps" / "digits" / "small.yaml").write_text(STUDY)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def command(self, entry: str, *parameters: str) -> list[str]:
        given = [word for parameter in parameters for word in ("-P", parameter)]
        return ["mlflow", "run", ".", "--env-manager", "local", "-e", entry, *given]

    def run(self, entry: str, *parameters: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(entry, *parameters), cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def start(self, entry: str, *parameters: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(entry, *parameters),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder}/mlflow.db")

    def runs(self, kind: str) -> list[Run]:
        return self.search(f"tags.`{schema.KIND}` = '{kind}'")

    def search(self, condition: str) -> list[Run]:
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, condition))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


def wait_for_epochs(started: subprocess.Popen[str], count: int) -> None:
    assert started.stderr is not None
    for line in started.stderr:
        count -= ": epoch " in line
        if not count:
            return
    raise AssertionError("it ended before it was stopped")


def test_a_sweep_that_is_killed_goes_on(project: Project) -> None:
    started = project.start("sweep", "study=small", "seeds=0,1", "threads=1")
    wait_for_epochs(started, 8)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    [outer] = project.runs("sweep")
    assert outer.info.status == "RUNNING"
    result = answer(project.run("sweep", "study=small", "seeds=0,1", "threads=1", "json=true"))
    assert result["run_id"] == outer.info.run_id
    assert [len(stage["trials"]) for stage in result["stages"]] == [3]
    assert (len(project.runs("sweep")), len(project.runs("trial")), len(project.runs("seed"))) == (1, 3, 6)
    for kind in ("sweep", "trial", "seed"):
        assert {run.info.status for run in project.runs(kind)} == {"FINISHED"}
    # The runs that `mlflow run` made in its own experiment, of both commands, point at the one that holds the work.
    first, second = sorted(project.runs("continued"), key=lambda run: run.info.start_time)
    assert {run.data.tags[schema.CONTINUES] for run in (first, second)} == {outer.info.run_id}
    assert second.info.status == "FINISHED"
    for seed in project.runs("seed"):
        steps = [m.step for m in project.client.get_metric_history(seed.info.run_id, "train/loss")]
        assert steps == [1, 2, 3]


def test_a_sweep_of_several_jobs_that_is_killed_goes_on_with_what_it_kept(project: Project) -> None:
    (project.folder / "sweeps" / "digits" / "tree.yaml").write_text(TREE)
    started = project.start("sweep", "study=tree", "seeds=0,1", "jobs=2")
    wait_for_epochs(started, 11)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    [outer] = [run for run in project.runs("sweep") if run.info.status == "RUNNING"]
    result = answer(project.run("sweep", "study=tree", "seeds=0,1", "threads=1", "json=true"))
    assert result["run_id"] == outer.info.run_id
    assert result["epochs"] == {"written": 24, "trained": 14, "shared": 10, "reused": 0, "spared": 0}
    seeds = [run for run in project.runs("seed") if run.data.tags[schema.SWEEP] == outer.info.run_id]
    assert len(seeds) == 6
    for seed in seeds:
        assert seed.info.status == "FINISHED"
        steps = [m.step for m in project.client.get_metric_history(seed.info.run_id, "train/loss")]
        assert steps == list(range(1, int(seed.data.params["epochs"]) + 1))
    assert not (project.folder / ".quorum" / "kept" / outer.info.run_id).exists()


def test_sigterm_leaves_killed_runs(project: Project) -> None:
    environment = {**project.environment, "PYTHONPATH": "src"}
    command = [sys.executable, "-m", "quorum", "sweep", "--study", "small", "--seeds", "7", "--threads", "1"]
    started = subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for_epochs(started, 1)
    started.terminate()
    _, errors = started.communicate()
    assert started.returncode == 143
    assert errors.endswith("quorum: terminated\n")
    killed = project.search("attributes.status = 'KILLED'")
    kinds = {run.data.tags[schema.KIND] for run in killed}
    assert kinds - {schema.CONTINUED_KIND} == {"seed", "sweep", "trial"}


def test_the_report_has_every_trial_of_the_sweep(project: Project) -> None:
    result = answer(project.run("report", "json=true"))
    small = [row for row in result["rows"] if row["study"] == "small"]
    assert [row["settings"] for row in small] == [{"lr": 0.01}, {"lr": 0.02}, {"lr": 0.05}]
    assert [row["n"] for row in small] == [2, 2, 2]
    assert {row["verdict"] for row in small} == {"no number"}
    [run] = project.runs("report")
    assert (run.info.run_id, run.info.status) == (result["run_id"], "FINISHED")
    assert Path(result["html"]).parent == project.folder / "reports"


def test_promote_and_ensemble(project: Project, tmp_path: Path) -> None:
    promoted = answer(project.run("promote", "json=true"))
    assert list(promoted) == ["best-1", "best-2", "best-3"]
    voted = answer(project.run("ensemble", "json=true"))
    assert len(voted["members"]) == 3
    assert voted["vote"] > 0.8
    assert Path(voted["predictions"]).parent == project.folder
    assert project.client.get_model_version("quorum-digits-vote", "1").run_id == voted["run_id"]
    for kind in ("promote", "ensemble"):
        [run] = project.runs(kind)
        assert run.info.status == "FINISHED"


def test_parameters_keep_the_text_that_was_typed(project: Project) -> None:
    done = project.run("train", "model=scratch-simple", "lr=5e-2", "epochs=1", "batch_size=64", "json=true")
    result = answer(done)
    run = project.client.get_run(result["run_id"])
    assert run.data.params["lr"] == "0.05"  # as every run has it, to be compared
    assert run.info.status == "FINISHED"
    [typed] = [one for one in project.runs("continued") if one.data.tags[schema.CONTINUES] == run.info.run_id]
    assert typed.data.params["lr"] == "5e-2"  # MLflow's own, which cannot be given another


def test_the_vote_is_served(project: Project) -> None:
    buffer = io.BytesIO()
    Image.fromarray(load_digits().images[0].astype("uint8") * 15).save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**project.environment, "MLFLOW_TRACKING_URI": f"sqlite:///{project.folder}/mlflow.db"}
    served = subprocess.Popen(
        ["mlflow", "models", "serve", "-m", "models:/quorum-digits-vote/1", "-p", str(port), "--env-manager", "local"],
        cwd=project.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_records": [{"image": encoded}]}).encode(),
            {"Content-Type": "application/json"},
        )
        reply = ask(request, 120)
    finally:
        os.killpg(served.pid, signal.SIGKILL)
        served.wait()
    [prediction] = reply["predictions"]
    assert prediction["label"] == "0"
    assert len(prediction["votes"]) == 3


def ask(request: urllib.request.Request, seconds: float) -> dict[str, Any]:
    """The answer of a server that may still be starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                result = json.loads(response.read())
                assert isinstance(result, dict)
                return result
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
