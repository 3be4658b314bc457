"""Runs: made with an explicit parent, written to in batches, and ended with an honest status."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, Run, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from quorum.engine.history import EPOCH_SECONDS, EpochRecord
from quorum.errors import QuorumError
from quorum.tracking import schema
from quorum.tracking.store import Store

__all__ = [
    "FAILED",
    "FINISHED",
    "KILLED",
    "RUNNING",
    "Run",
    "RunLog",
    "begin_run",
    "close_run",
    "end_run",
    "fail_adopted",
    "point_adopted",
]

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
_BATCH = 100  # parameters that MLflow takes in one call
_METRICS = 1000  # metrics that MLflow takes in one call
SHARE = 0.005  # of a training's time that the writing of its epochs may take


class RunLog:
    """Writes to one run. As a context, it is a run from its start to its status, see `close_run`.

    Attributes:
        store: the store, new runs going to this run's experiment.
        run_id: of the run.
    """

    def __init__(self, store: Store, run: Run, *, new: bool = False) -> None:
        """A log of a run.

        Args:
            store: the store that holds it.
            run: the run.
            new: it was made by this process just now, so that it need not be asked what it has.
        """
        self.store = dataclasses.replace(store, experiment_id=run.info.experiment_id)
        self.run_id: str = run.info.run_id
        self._artifact_uri: str = run.info.artifact_uri
        self._params: set[str] | None = set() if new else None  # names of those it has; None: not known
        self._last_step: int | None = 0 if new else None
        self._waiting: list[list[Metric]] = []  # epochs that are not written yet
        self._written = 0.0  # when epochs were last written, and how many seconds it took
        self._cost = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        close_run(self, error)

    @property
    def client(self) -> MlflowClient:
        """MLflow's client for the store."""
        return self.store.client

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters. Those the run has keep their text: `mlflow run` has logged 5e-2 as it was typed."""
        if self._params is None:
            self._params = set(self.client.get_run(self.run_id).data.params)
        new = [Param(key, str(value)) for key, value in values.items() if key not in self._params]
        for start in range(0, len(new), _BATCH):
            self.client.log_batch(self.run_id, params=new[start : start + _BATCH])
        self._params.update(values)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log metrics at a step in one call; those that are None are left out."""
        self.results(values, step=step)

    def results(
        self, metrics: Mapping[str, float | None], values: Mapping[str, Any] | None = None, *, step: int = 0
    ) -> None:
        """Log metrics, as `metrics` does, and tags, as `tags` does, in one call. Epochs that wait go with metrics."""
        now = int(time.time() * 1000)
        rows = [Metric(key, value, now, step) for key, value in metrics.items() if value is not None]
        waiting = [metric for epoch in self._waiting for metric in epoch]
        together = bool(rows) and len(rows) + len(waiting) <= _METRICS
        tagged = [RunTag(key, _text(value)) for key, value in (values or {}).items()]
        self.client.log_batch(self.run_id, waiting + rows if together else rows, tags=tagged)
        if together:
            self._waiting.clear()

    def epoch(self, record: EpochRecord) -> None:
        """Log an epoch, unless the run has it: an interrupted run may have logged epochs that it trains again."""
        self.epochs([record])

    def epochs(self, records: Sequence[EpochRecord]) -> None:
        """Log epochs, in order. Those up to the last one that the run has are left out.

        They are written at once, unless that would cost more than its share of the time: then they wait for later
        ones, or for the end of the run, to be written together.
        """
        if self._last_step is None:
            logged = self.client.get_metric_history(self.run_id, EPOCH_SECONDS)
            self._last_step = max((metric.step for metric in logged), default=0)
        now = int(time.time() * 1000)
        for record in records:
            if record.epoch > self._last_step:
                self._waiting.append([Metric(key, value, now, record.epoch) for key, value in record.values.items()])
                self._last_step = record.epoch
        if time.perf_counter() - self._written >= self._cost / SHARE:
            self.flush()

    def flush(self) -> None:
        """Write the epochs that wait, in as few calls as MLflow allows."""
        started = time.perf_counter()
        while self._waiting:
            whole = max(1, _METRICS // len(self._waiting[0]))  # no epoch is divided between two calls
            self.client.log_batch(self.run_id, [metric for epoch in self._waiting[:whole] for metric in epoch])
            del self._waiting[:whole]
        self._written = time.perf_counter()
        self._cost = self._written - started

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags in one call; a value that is not text is written as JSON."""
        self.results({}, values)

    def note(self, text: str) -> None:
        """Set the run's description, Markdown, as the UI shows it."""
        self.tags({schema.NOTE: text})

    def artifacts(self, folder: Path, where: str | None = None) -> None:
        """Log all files of a folder, into a folder of the run's artifacts if one is named."""
        # The client would read the whole run first, to learn where its artifacts are.
        repository = get_artifact_repository(self._artifact_uri, tracking_uri=self.store.uri)
        repository.log_artifacts(str(folder), where)

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
        origin = self.client.get_run(run_id)
        link = f"#/experiments/{origin.info.experiment_id}/runs/{run_id}"
        trained_on = origin.data.tags.get(schema.DATASET, "another data set")
        note = f"First weights: `{uri}`, trained on {trained_on} in run [{origin.info.run_name}]({link}), `{run_id}`."
        self.tags({schema.WEIGHTS_RUN: run_id, schema.NOTE: note})


def begin_run(
    store: Store,
    kind: str,
    name: str,
    values: Mapping[str, Any] | None = None,
    *,
    parent: str | None = None,
    previous: Run | None = None,
) -> RunLog:
    """Begin a run, or go on with one. It ends with its `with`, or by `close_run`; several may be open at once.

    Args:
        store: where. A run without a parent takes over the run that `mlflow run` made.
        kind: what it is, see `schema.KIND`.
        name: shown in the UI.
        values: further tags, set when it is made.
        parent: run id of the run that it belongs to.
        previous: a run that was begun before and goes on instead of a new one.
    """
    run = _begin(store, kind, name, values or {}, parent, previous)
    taken = previous is not None or run is store.adopted
    return RunLog(store, run, new=not taken)


def close_run(log: RunLog, error: BaseException | None) -> None:
    """End a run with the status that is true of it.

    FINISHED when its work was done; FAILED with the reason as its note; KILLED on Ctrl-C or SIGTERM.

    Args:
        log: of the run.
        error: what was raised while it was open; None where its work was done. It is not raised again here.
    """
    if error is None:
        log.flush()
        log.client.set_terminated(log.run_id, FINISHED)
    elif isinstance(error, KeyboardInterrupt):
        end_run(log, KILLED, "stopped before it was finished; the same command goes on from here")
    elif isinstance(error, QuorumError):
        end_run(log, FAILED, str(error))
    else:
        end_run(log, FAILED, f"{type(error).__name__}: {error}")


def end_run(log: RunLog, status: str, reason: str) -> None:
    """End a run that did not finish, with the reason as its note."""
    log.flush()
    log.tags({schema.REASON: reason, schema.NOTE: reason})
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
        if schema.REASON in previous.data.tags:
            client.delete_tag(previous.info.run_id, schema.REASON)
            client.set_tag(previous.info.run_id, schema.NOTE, "")
        if adopted is not None and adopted.info.run_id != previous.info.run_id:
            _point(store, adopted, previous)
        return previous
    everything = {schema.KIND: kind, **{key: _text(value) for key, value in values.items()}}
    if adopted is not None:
        client.update_run(adopted.info.run_id, name=name)
        client.log_batch(adopted.info.run_id, tags=[RunTag(key, value) for key, value in everything.items()])
        return adopted
    if parent is not None:
        everything[schema.PARENT] = parent
    return client.create_run(store.experiment_id, tags=everything, run_name=name)


def point_adopted(store: Store, target: Run) -> None:
    """Let the run that `mlflow run` made, if there is one, say that the work stands in another run."""
    if store.adopted is not None and store.adopted.info.run_id != target.info.run_id:
        _point(store, store.adopted, target)


def _point(store: Store, adopted: Run, target: Run) -> None:
    link = f"#/experiments/{target.info.experiment_id}/runs/{target.info.run_id}"
    log = RunLog(store, adopted)
    log.tags({schema.KIND: "continued", schema.CONTINUES: target.info.run_id})
    log.note(f"This command's work is in run [{target.info.run_name}]({link}), `{target.info.run_id}`.")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
