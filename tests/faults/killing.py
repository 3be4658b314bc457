"""A sweep that is killed at one of its writes, to the store or to the disk, and is given again.

Everything happens in children of this process, forked when all is imported, so that a sweep takes a second or two. One
thread of torch, since a process that has used more cannot be forked.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - opening a store imports it, which would be in each child
import optuna
import torch
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import MlflowClient

import quorum.api.sweep  # noqa: F401 - the command imports it when it is called
from quorum.cli import main
from tests.commands.studies import sweep_words

STUDY = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 2, lr: 0.05}
stages:
  - name: short
    vary: {epochs: [1]}
  - name: long
    vary: {epochs: [2]}
"""
KEEP = 1  # the weights of the second trial take the place of the first's, which are deleted
CLIENT = (
    "create_run",
    "log_batch",
    "log_inputs",
    "log_outputs",
    "set_terminated",
    "update_run",
    "set_experiment_tag",
    "set_tag",
    "delete_tag",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "delete_logged_model",
)
WRITES: list[tuple[Any, str]] = [
    *((MlflowClient, name) for name in CLIENT),
    (LocalArtifactRepository, "log_artifacts"),
    (optuna.storages.RDBStorage, "create_new_study"),
    (optuna.storages.RDBStorage, "create_new_trial"),
    (optuna.storages.RDBStorage, "set_trial_state_values"),
    (torch, "save"),
    (Path, "replace"),
    (Path, "rename"),
    (Path, "write_text"),
    (shutil, "rmtree"),
]


@dataclass
class Writes:
    """Counts writes, and kills this process just before or just after one of them.

    Attributes:
        at: number of the write, from 1; 0 for none.
        after: whether it is done first.
        names: of the writes so far.
    """

    at: int = 0
    after: bool = False
    names: list[str] | None = None

    def __enter__(self) -> Writes:
        self.names = []
        for owner, name in WRITES:
            setattr(owner, name, self._counted(name, getattr(owner, name)))
        return self

    def __exit__(self, *_: object) -> None:
        """The process ends with it, so nothing is put back."""

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            assert self.names is not None
            self.names.append(name)
            mine = len(self.names) == self.at
            if mine and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = call(*arguments, **named)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return counted


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked process. Returns its status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(start_child(work), 0)[1])


def start_child(work: Callable[[], object]) -> int:
    """Begin to do something in a forked process. Returns its id."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def sweep(folder: Path, images: Path, at: int = 0, *, after: bool = False) -> int:
    """Sweep STUDY in a folder, in a process of its own; the names of its writes go into `writes.json` there."""

    def work() -> None:
        with Writes(at, after) as writes:
            status = _sweep(folder, images)
        if status:
            os._exit(status)
        (folder / "writes.json").write_text(json.dumps(writes.names))

    return in_child(work)


def start_sweep(folder: Path, images: Path, jobs: int) -> int:
    """Begin to sweep STUDY in a folder. Returns the id of the process, which is that of its group too, and which ends
    with the command's status."""

    def work() -> None:
        os.setsid()
        os._exit(_sweep(folder, images, jobs))

    return start_child(work)


def _sweep(folder: Path, images: Path, jobs: int = 1) -> int:
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "Default"
    with (
        contextlib.redirect_stdout(io.StringIO()),
        (folder / "told.txt").open("a", buffering=1) as told,
        contextlib.redirect_stderr(told),
    ):
        return main([*sweep_words(images, threads=1, jobs=jobs, keep=KEEP), "--json"])


def begin(folder: Path, store: Path) -> Path:
    """A new folder with the study and an empty store."""
    folder.mkdir(parents=True)
    shutil.copy(store, folder / "mlflow.db")
    (folder / "study.yaml").write_text(STUDY)
    return folder


def sweep_finished(folder: Path) -> bool:
    """Whether the sweep's run has its last status, so that the command given again would begin another."""
    if not (folder / "mlflow.db").exists():
        return False
    query = "SELECT 1 FROM runs JOIN tags USING (run_uuid) WHERE key = 'quorum.kind' AND value = 'sweep' AND status = ?"
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return database.execute(query, ["FINISHED"]).fetchone() is not None


def contents(folder: Path) -> dict[str, Any]:
    """All that a finished sweep left, without names that are drawn and times that pass: to be compared with another."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        rows = database.execute
        ids = dict(
            rows("SELECT r.run_uuid, t.value FROM runs r JOIN tags t USING (run_uuid) WHERE t.key = 'quorum.key'")
        )
        kinds = dict(rows("SELECT run_uuid, value FROM tags WHERE key = 'quorum.kind'"))
        name = {run: "sweep" if kinds[run] == "sweep" else ids[run] for run in kinds}
        timed = ("epoch_seconds", "images_per_second", "kept_states_peak_gb")
        epochs = ("epochs_trained", "epochs_shared", "epochs_reused")
        metrics = sorted(
            (name[run], key, step, value)
            for run, key, step, value in rows("SELECT run_uuid, key, step, value FROM metrics")
            if key not in timed + epochs
        )
        counts = sorted((name[run], key, step) for run, key, step in rows("SELECT run_uuid, key, step FROM metrics"))
        statuses = sorted((name.get(run, run), status) for run, status in rows("SELECT run_uuid, status FROM runs"))
        models = sorted(
            (name[run], status)
            for run, status in rows("SELECT source_run_id, status FROM logged_models WHERE lifecycle_stage = 'active'")
        )
        marked = sorted(
            (name[run], key) for run, key in rows("SELECT run_uuid, key FROM tags WHERE key LIKE 'quorum.%'")
        )
    with contextlib.closing(sqlite3.connect(folder / "optuna.db")) as database:
        trials = sorted(database.execute("SELECT number, state FROM trials").fetchall())
        values = sorted(value for (value,) in database.execute("SELECT value FROM trial_values"))
    quorum = folder / ".quorum"
    parts = ("states", "kept", "weights", "artifacts")
    left = sorted(_files(*(quorum / part for part in parts)))
    artifacts = sorted({path for path in _files(folder / "mlruns") if path.endswith((".csv", ".json", ".md"))})
    return {
        "metrics": metrics,
        "counts": counts,
        "statuses": statuses,
        "models": models,
        "tags": marked,
        "trials": trials,
        "values": values,
        "left": left,
        "artifacts": artifacts,
    }


def _files(*folders: Path) -> list[str]:
    return [path.name for folder in folders for path in folder.rglob("*") if path.is_file()]


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What two contents do not share, a line for each kind."""
    lines = []
    for kind, values in expected.items():
        if found[kind] != values:
            missing = [value for value in values if value not in found[kind]]
            more = [value for value in found[kind] if found[kind].count(value) > values.count(value)]
            lines.append(f"{kind}: missing {missing[:4]}, too many {more[:4]}")
    return lines


def killed_and_given_again(
    folder: Path, images: Path, store: Path, at: int, *, after: bool, expected: dict[str, Any]
) -> list[str]:
    """Kill a sweep at a write and give its command again, unless all of it was done. What went wrong, or is otherwise
    than expected."""
    begin(folder, store)
    if (status := sweep(folder, images, at, after=after)) != -signal.SIGKILL:
        return [f"was not killed, status {status}"]
    if not sweep_finished(folder) and (status := sweep(folder, images)) != 0:
        return [f"given again, it ended with status {status}: {(folder / 'told.txt').read_text()[-300:]}"]
    return differences(contents(folder), expected)


def every(
    points: Sequence[tuple[int, bool]], folder: Path, images: Path, store: Path, *, only_count: bool = False
) -> tuple[list[str], list[str]]:
    """Kill a sweep at some of its writes.

    Args:
        points: number of the write, and whether it is done first.
        folder: to work in.
        images: that the sweep trains on.
        store: an empty one.
        only_count: whether nothing is killed.

    Returns:
        Names of all writes of an undisturbed sweep, and a line for each point at which something went wrong.
    """
    begin(folder / "undisturbed", store)
    assert sweep(folder / "undisturbed", images) == 0, (folder / "undisturbed" / "told.txt").read_text()
    names = json.loads((folder / "undisturbed" / "writes.json").read_text())
    if only_count:
        return names, []
    expected, wrong = contents(folder / "undisturbed"), []
    for at, after in points:
        place = folder / f"{at}-{'after' if after else 'before'}"
        if problems := killed_and_given_again(place, images, store, at, after=after, expected=expected):
            wrong.append(f"{'after' if after else 'before'} write {at}, {names[at - 1]}: {'; '.join(problems)}")
        print(f"{place.name} ({names[at - 1]}): {'otherwise' if problems else 'as undisturbed'}", flush=True)
        shutil.rmtree(place)
    return names, wrong
