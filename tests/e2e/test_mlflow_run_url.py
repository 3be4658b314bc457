"""`mlflow run URL` in an empty folder: MLflow clones the project to a temporary folder, and all stays with the user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_mlflow_run import STUDY, Project, answer, wait_for_epochs

pytestmark = pytest.mark.e2e

URL = "https://host.invalid/quorum"


class Cloned(Project):
    """The project at a URL that git takes from a folder, and a user's own folder."""

    def __init__(self, folder: Path) -> None:
        origin = folder / "origin"
        origin.mkdir()
        super().__init__(origin)
        (origin / "sweeps" / "digits" / "small.yaml").write_text(STUDY)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        for words in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
            subprocess.run([*git, *words], cwd=origin, check=True)
        self.folder = folder / "user"
        self.folder.mkdir()
        (folder / "temporary").mkdir()
        self.environment |= {
            "TMPDIR": str(folder / "temporary"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{origin}.insteadOf",
            "GIT_CONFIG_VALUE_0": URL,
        }

    def command(self, entry: str, *parameters: str) -> list[str]:
        words = super().command(entry, *parameters)
        return [*words[:2], URL, *words[3:]]


def test_a_sweep_of_a_url_is_killed_and_goes_on_and_leaves_everything_with_the_user(tmp_path: Path) -> None:
    project = Cloned(tmp_path)
    started = project.start("sweep", "study=small", "seeds=0", "threads=1")
    wait_for_epochs(started, 4)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    done = project.run("sweep", "study=small", "seeds=0", "threads=1", "json=true")
    [sweep] = project.runs("sweep")  # the one that was killed goes on
    assert answer(done)["run_id"] == sweep.info.run_id
    assert len(project.runs("seed")) == 3
    answer(project.run("promote", "json=true"))
    voted = json.loads(project.run("ensemble", "json=true").stdout)
    assert voted["predictions"] == str(project.folder / "predictions.csv")
    names = {path.name for path in project.folder.iterdir()} - {"mlflow.db-shm", "mlflow.db-wal"}
    files = {"mlflow.db", "mlflow.db.lock", "optuna.db", "optuna.db.lock", "mlruns"}
    assert names == {*files, ".quorum", "predictions.csv"}
    clones = [path.parent for path in (tmp_path / "temporary").glob("*/MLproject")]
    assert clones
    for clone in clones:
        assert not {".quorum", "data", "mlruns", "mlflow.db", "optuna.db"} & {path.name for path in clone.iterdir()}
    for run in project.search(""):
        assert run.info.artifact_uri.startswith(str(project.folder))
        assert run.data.tags["mlflow.source.name"] in (URL, "quorum")
