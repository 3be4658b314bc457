"""Runs: made with an explicit parent, written to in batches, and ended with an honest status."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from quorum.engine.history import EpochRecord
from quorum.errors import QuorumError
from quorum.tracking import tags
from quorum.tracking.store import Store

__all__ = [
    "FAILED",
    "FINISHED",
    "KILLED",
    "RUNNING",
    "Run",
    "RunLog",
    "end_run",
    "fail_adopted",
    "open_run",
    "point_adopted",
]

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
_BATCH = 100  # parameters that MLflow takes in one call


class RunLog:
    """Writes to one run.

    Attributes:
        store: the store, new runs going to this run's experiment.
        run_id: of the run.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.store = dataclasses.replace(store, experiment_id=run.info.experiment_id)
        self.run_id: str = run.info.run_id
        self._last_step: int | None = None

    @property
    def client(self) -> MlflowClient:
        """MLflow's client for the store."""
        return self.store.client

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters. Those the run has keep their text: `mlflow run` has logged 5e-2 as it was typed."""
        present = self.client.get_run(self.run_id).data.params
        new = [Param(key, str(value)) for key, value in values.items() if key not in present]
        for start in range(0, len(new), _BATCH):
            self.client.log_batch(self.run_id, params=new[start : start + _BATCH])

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log metrics at a step in one call; those that are None are left out."""
        now = int(time.time() * 1000)
        self.client.log_batch(
            self.run_id, [Metric(key, value, now, step) for key, value in values.items() if value is not None]
        )

    def epoch(self, record: EpochRecord) -> None:
        """Log an epoch, unless the run has it: an interrupted run may have logged epochs that it trains again."""
        if self._last_step is None:
            logged = self.client.get_metric_history(self.run_id, "epoch_seconds")
            self._last_step = max((metric.step for metric in logged), default=0)
        if record.epoch > self._last_step:
            self.metrics(record.metrics(), record.epoch)
            self._last_step = record.epoch

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags in one call; a value that is not text is written as JSON."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, _text(value)) for key, value in values.items()])

    def note(self, text: str) -> None:
        """Set the run's description, Markdown, as the UI shows it."""
        self.tags({tags.NOTE: text})

    def artifacts(self, folder: Path, where: str | None = None) -> None:
        """Log all files of a folder, into a folder of the run's artifacts if one is named."""
        self.client.log_artifacts(self.run_id, str(folder), where)

    def dataset(self, name: str, digest: str, source: str, counts: Mapping[str, int], context: str) -> None:
        """Log which data went in.

        Args:
            name: of the data set.
            digest: of its images, labels and splits.
            source: the folder or library that it was read from.
            counts: images by split.
            context: what it was used for, such as "training".
        """
        entity = Dataset(name, digest, "local", json.dumps({"uri": source}), profile=json.dumps(dict(counts)))
        self.client.log_inputs(self.run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", context)])])

    def first_weights(self, uri: str, run_id: str, model_id: str) -> None:
        """Log which model the first weights come from: as an input of the run, as a tag, and as a link in its note."""
        self.client.log_inputs(self.run_id, models=[LoggedModelInput(model_id)])
        self.tags({tags.WEIGHTS_RUN: run_id})
        origin = self.client.get_run(run_id)
        link = f"#/experiments/{origin.info.experiment_id}/runs/{run_id}"
        trained_on = origin.data.tags.get(tags.DATASET, "another data set")
        self.note(
            f"First weights: `{uri}`, trained on {trained_on} in run [{origin.info.run_name}]({link}), `{run_id}`."
        )


@contextlib.contextmanager
def open_run(
    store: Store,
    kind: str,
    name: str,
    values: Mapping[str, Any] | None = None,
    *,
    parent: str | None = None,
    previous: Run | None = None,
) -> Iterator[RunLog]:
    """A run from its start to its status.

    FINISHED when the body ends; FAILED with the reason as its note when it raises; KILLED on Ctrl-C or SIGTERM.
    Whatever was raised is raised again.

    Args:
        store: where. A run without a parent takes over the run that `mlflow run` made.
        kind: what it is, see `tags.KIND`.
        name: shown in the UI.
        values: further tags, set when it is made.
        parent: run id of the run that it belongs to.
        previous: a run that was begun before and goes on instead of a new one.
    """
    run = _begin(store, kind, name, values or {}, parent, previous)
    log = RunLog(store, run)
    try:
        yield log
    except KeyboardInterrupt:
        end_run(log, KILLED, "stopped before it was finished; the same command goes on from here")
        raise
    except QuorumError as error:
        end_run(log, FAILED, str(error))
        raise
    except BaseException as error:
        end_run(log, FAILED, f"{type(error).__name__}: {error}")
        raise
    log.client.set_terminated(run.info.run_id, FINISHED)


def end_run(log: RunLog, status: str, reason: str) -> None:
    """End a run that did not finish, with the reason as its note."""
    log.tags({tags.REASON: reason, tags.NOTE: reason})
    log.client.set_terminated(log.run_id, status)


def fail_adopted(store: Store, reason: str) -> None:
    """Mark the run that `mlflow run` made as FAILED, with the reason as its note, where nothing has taken it over."""
    if store.adopted is not None:
        end_run(RunLog(store, store.adopted), FAILED, reason)


def _begin(
    store: Store, kind: str, name: str, values: Mapping[str, Any], parent: str | None, previous: Run | None
) -> Run:
    client = store.client
    adopted = store.adopted if parent is None else None
    if previous is not None:
        client.update_run(previous.info.run_id, status=RUNNING)
        if tags.REASON in previous.data.tags:
            client.delete_tag(previous.info.run_id, tags.REASON)
            client.set_tag(previous.info.run_id, tags.NOTE, "")
        if adopted is not None and adopted.info.run_id != previous.info.run_id:
            _point(store, adopted, previous)
        return previous
    everything = {tags.KIND: kind, **{key: _text(value) for key, value in values.items()}}
    if adopted is not None:
        client.update_run(adopted.info.run_id, name=name)
        client.log_batch(adopted.info.run_id, tags=[RunTag(key, value) for key, value in everything.items()])
        return adopted
    if parent is not None:
        everything[tags.PARENT] = parent
    return client.create_run(store.experiment_id, tags=everything, run_name=name)


def point_adopted(store: Store, target: Run) -> None:
    """Let the run that `mlflow run` made, if there is one, say that the work stands in another run."""
    if store.adopted is not None and store.adopted.info.run_id != target.info.run_id:
        _point(store, store.adopted, target)


def _point(store: Store, adopted: Run, target: Run) -> None:
    link = f"#/experiments/{target.info.experiment_id}/runs/{target.info.run_id}"
    log = RunLog(store, adopted)
    log.tags({tags.KIND: "continued", tags.CONTINUES: target.info.run_id})
    log.note(f"This command's work is in run [{target.info.run_name}]({link}), `{target.info.run_id}`.")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
