"""Writing to one run, each step of each metric once, and ending it with an honest status."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from quorum.console import say
from quorum.engine.history import EpochRecord
from quorum.errors import OutOfTimeError, QuorumError, masked
from quorum.tracking import schema
from quorum.tracking.patience import PatientClient, passing
from quorum.tracking.records import Record, as_text
from quorum.tracking.store import TrackingStore

_BATCH = 100  # parameters that MLflow takes in one call
_METRICS = 1000  # metrics that MLflow takes in one call
AWAY_SECONDS = 5.0  # between two tries to write epochs while the store is away
SHARE = 0.005  # of a training's time that the writing of its epochs may take


class RunLog:
    """Writes to one run. As a context, it is a run from its start to its status, see `close_run`.

    Attributes:
        store: the store, new runs going to this run's experiment.
        record: what the run held when it was opened; its class says which fields `set` takes.
        pointing: id of a run of `mlflow run`'s that says that the work is in this one, and ends with the command; "".
    """

    pointing = ""

    def __init__(self, store: TrackingStore, record: Record, *, new: bool = False) -> None:
        """A log of a run.

        Args:
            store: the store that holds it.
            record: the run.
            new: it was made by this process just now, so that it need not be asked what it has.
        """
        self.store = dataclasses.replace(store, experiment_id=record.experiment_id)
        self.record = record
        self._params: set[str] | None = set() if new else None  # names of those it has; None: not known
        self._last_step: int | None = 0 if new else None
        self._metrics: set[str] | None = set() if new else None  # names of those it had when it was opened
        self._own_note = ""
        self._waiting: list[list[Metric]] = []  # epochs that are not written yet
        self._written = 0.0  # when epochs were last written, and how many seconds it took
        self._cost = 0.0
        self._away_since: float | None = None  # since when the store does not answer

    @property
    def run_id(self) -> str:
        """Of the run."""
        return self.record.run_id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        close_run(self, error)

    @property
    def _client(self) -> PatientClient:
        """For writing, which is over where another process has taken over this one's work."""
        self.store.leases.check()
        return self.store.client

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters. Those the run has keep their text: `mlflow run` has logged 5e-2 as it was typed."""
        if self._params is None:
            self._params = set(self._client.get_run(self.run_id).data.params)
        new = [Param(key, str(value)) for key, value in values.items() if key not in self._params]
        for start in range(0, len(new), _BATCH):
            self._client.log_batch(self.run_id, params=new[start : start + _BATCH])
        self._params.update(values)

    def metrics(
        self, values: Mapping[str, float | None], step: int = 0, *, changed: bool = False, **fields: Any
    ) -> None:
        """Log metrics at a step, and fields of the run's record, in one call, together with epochs that wait.

        Args:
            values: the metrics. Those that are None are left out, and so are those that a run that goes on has at that
                step.
            step: the step.
            changed: whether those are logged, too, that it has at that step with another value.
            fields: of the run's record.
        """
        now = int(time.time() * 1000)
        rows = [Metric(key, value, now, step) for key, value in values.items() if value is not None]
        logged = {row.key: self._values(row.key).get(step) for row in rows}
        rows = [row for row in rows if logged[row.key] is None or (changed and logged[row.key] != row.value)]
        if len(rows) + sum(map(len, self._waiting)) > _METRICS:
            self.flush()  # first: a training whose last metrics are there counts as written
        waiting = [metric for epoch in self._waiting for metric in epoch] if rows else []
        tags = [RunTag(key, as_text(value)) for key, value in self._tagged(fields).items()]
        self._client.log_batch(self.run_id, waiting + rows, tags=tags)
        if rows:
            self._waiting.clear()

    def _values(self, key: str) -> dict[int, float]:
        """The values of a metric that the run had when it was opened, by step, the last of each."""
        if self._metrics is None:
            self._metrics = set(self._client.get_run(self.run_id).data.metrics)
        if key not in self._metrics:
            return {}
        return {metric.step: metric.value for metric in self._client.get_metric_history(self.run_id, key)}

    def epoch(self, record: EpochRecord) -> None:
        """Log an epoch, unless the run has it: an interrupted run may have logged epochs that it trains again."""
        self.epochs([record])

    def epochs(self, records: Sequence[EpochRecord]) -> None:
        """Log epochs, in order. Those up to the last one that the run has are left out.

        They are written at once, unless that would cost more than its share of the time: then they wait for later
        ones, or for the end of the run, to be written together.
        """
        if self._last_step is None:
            self._last_step = max(self._values("epoch_seconds"), default=0)
        now = int(time.time() * 1000)
        for record in records:
            if record.epoch > self._last_step:
                self._waiting.append([Metric(key, value, now, record.epoch) for key, value in record.values.items()])
                self._last_step = record.epoch
        if time.perf_counter() - self._written >= self._cost / SHARE:
            self._flush_unless_away()

    def _flush_unless_away(self) -> None:
        """Write the epochs that wait. While the store is away they wait on, and the training goes on.

        Raises:
            Exception: MLflow's, where the store is away for longer than `PatientClient` waits.
        """
        try:
            with self._client.once():
                self.flush()
        except Exception as error:
            now = time.perf_counter()
            reason, since = passing(error), self._away_since or now
            if not reason or now - since >= self._client.limit:
                raise
            if self._away_since is None:
                say(f"the tracking store does not answer ({reason}); epochs wait, and training goes on")
            self._away_since, self._written, self._cost = since, now, AWAY_SECONDS * SHARE
        else:
            if self._away_since is not None:
                say("the tracking store answers again, and the epochs that waited are written")
            self._away_since = None

    def flush(self) -> None:
        """Write the epochs that wait, in as few calls as MLflow allows."""
        started = time.perf_counter()
        while self._waiting:
            whole = max(1, _METRICS // len(self._waiting[0]))  # no epoch is divided between two calls
            self._client.log_batch(self.run_id, [metric for epoch in self._waiting[:whole] for metric in epoch])
            del self._waiting[:whole]
        self._written = time.perf_counter()
        self._cost = self._written - started

    def end(self, status: str) -> None:
        """Give the run its last status."""
        # A start may be after this machine's time, see `run_starts.py`.
        self._client.set_terminated(self.run_id, status, max(int(time.time() * 1000), self.record.started))
        if self.pointing and status == schema.FINISHED:  # what else ends the command ends it
            self._client.set_terminated(self.pointing, status)
        self.store.leases.uncover(self.run_id, self.pointing)

    def set(self, **values: Any) -> None:
        """Set fields of the run's record, in one call."""
        self._tags(self._tagged(values))

    def unset(self, *names: str) -> None:
        """Take fields of the run's record away. One that is gone already stays so."""
        tags = self._client.get_run(self.run_id).data.tags
        for tag in map(self.record.tag_of, names):
            if tag in tags:
                self._client.delete_tag(self.run_id, tag)

    def own(self, tags: Mapping[str, str], note: str) -> None:
        """Set what the user wants the run to carry: tags, and a note that stands before whatever else is noted."""
        self._own_note = note
        if tags or note:
            self._tags({**tags, **({schema.NOTE: note} if note else {})})

    def note(self, text: str) -> None:
        """Set the run's description, Markdown, as the UI shows it."""
        self._tags({schema.NOTE: "\n\n".join(part for part in (self._own_note, text) if part)})

    def promotion(self, entry: Mapping[str, Any]) -> None:
        """Set the entry of the ledger that this run wrote."""
        self._tags({schema.PROMOTION: entry})

    def _tags(self, values: Mapping[str, Any]) -> None:
        tags = [RunTag(key, as_text(value)) for key, value in values.items()]
        self._client.log_batch(self.run_id, tags=tags)

    def _tagged(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self.record.tag_of(name): value for name, value in values.items()}

    def artifacts(self, folder: Path, where: str | None = None) -> None:
        """Log all files of a folder, into a folder of the run's artifacts if one is named."""
        # The client would read the whole run first, to learn where its artifacts are.
        repository = get_artifact_repository(self.record.artifact_uri, tracking_uri=self.store.uri)
        self._client.patiently(lambda: repository.log_artifacts(str(folder), where))

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
        self._client.log_inputs(self.run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", context)])])
        # MLflow keeps one entity of a name and digest, with the source that it was first logged with.
        if self.record.data_source != source:
            self.set(data_source=source)

    def first_weights(self, uri: str, run_id: str, model_id: str) -> None:
        """Log which model the first weights come from: as an input of the run, as a tag, and as a link in its note."""
        self._client.log_inputs(self.run_id, models=[LoggedModelInput(model_id)])
        origin = Record.of(self._client.get_run(run_id))
        trained_on = origin.dataset or "another data set"
        note = f"First weights: `{uri}`, trained on {trained_on} in run {link(origin)}."
        self._tags({schema.WEIGHTS_RUN: run_id})
        self.note(note)


def close_run(log: RunLog, error: BaseException | None) -> None:
    """End a run with the status that is true of it.

    FINISHED when its work was done; FAILED with the reason as its note; KILLED on Ctrl-C or SIGTERM, where its time was
    up, or where the store was away for too long. A run that cannot be ended, as on a second Ctrl-C, is left to the next
    command.

    Args:
        log: of the run.
        error: what was raised while it was open; None where its work was done. It is not raised again here.
    """
    try:
        _close_run(log, error)
    except BaseException:
        with contextlib.suppress(Exception):  # of a store that is away, or a lease that is lost
            log.store.leases.cover(log.run_id, wait=False)
        raise


def _close_run(log: RunLog, error: BaseException | None) -> None:
    if error is None:
        log.flush()
        log.end(schema.FINISHED)
    elif isinstance(error, KeyboardInterrupt | OutOfTimeError) or passing(error):
        reason = "the store was away" if passing(error) else "stopped before it was finished"
        with log.store.client.once():  # nobody waits for it any more; the next command ends what is left
            end_run(log, schema.KILLED, f"{reason}; the same command goes on from here")
    elif isinstance(error, QuorumError):
        end_run(log, schema.FAILED, str(error))
    else:
        end_run(log, schema.FAILED, masked(f"{type(error).__name__}: {error}"))


def end_run(log: RunLog, status: str, reason: str) -> None:
    """End a run that did not finish, with the reason as its note."""
    log.flush()
    log.set(reason=reason)
    log.note(reason)
    log.end(status)


def end_left(store: TrackingStore, run: Record, status: str, reason: str) -> None:
    """End a run that this process does not write, with the reason below what its note says."""
    log = RunLog(store, run)
    log.own({}, store.client.get_run(run.run_id).data.tags.get(schema.NOTE, ""))
    end_run(log, status, reason)


def artifact_url(run_id: str, path: str) -> str:
    """One of a run's artifacts as a note shows it: relative to the page of MLflow's server."""
    return f"get-artifact?path={quote(path)}&run_uuid={run_id}"


def link(run: Record) -> str:
    """A run as a note links to it."""
    return f"[{run.name}](#/experiments/{run.experiment_id}/runs/{run.run_id}), `{run.run_id}`"
