"""Beginning runs, or going on with them, and the run that `mlflow run` made for this process."""

from __future__ import annotations

import dataclasses

from mlflow.entities import RunTag

from quorum.tracking import context, schema
from quorum.tracking.records import Record
from quorum.tracking.run_log import RunLog, close_run, end_left, link
from quorum.tracking.store import TrackingStore


def begin_run(
    store: TrackingStore, name: str, record: Record, *, parent: str | None = None, previous: Record | None = None
) -> RunLog:
    """Begin a run, or go on with one. It ends with its `with`, or by `close_run`; several may be open at once.

    Args:
        store: where. A run without a parent takes over the run that `mlflow run` made, if that is in the experiment
            where the run belongs and can be the newest; else that one says where the work is.
        name: shown in the UI.
        record: what it is; its tags are set when the run is made.
        parent: run id of the run that it belongs to.
        previous: a run that was begun before and goes on instead of a new one.
    """
    adopted = store.adopted if parent is None else None
    log = _begun(store, adopted, name, record, parent, previous)
    try:
        if parent is None:
            store.leases.cover(log.run_id)
        log.own(store.own_tags, store.own_note if parent is None else "")
    except BaseException as error:  # nobody has the run yet who would end it
        close_run(log, error)
        raise
    if adopted is not None and adopted.run_id != log.run_id:
        store.leases.cover(adopted.run_id)
        log.pointing = adopted.run_id
    return log


def _begun(
    store: TrackingStore, adopted: Record | None, name: str, record: Record, parent: str | None, previous: Record | None
) -> RunLog:
    if previous is not None:
        _reopen(store, previous, parent)
        if adopted is not None and adopted.run_id != previous.run_id:
            _point(store, adopted, previous)
        return RunLog(store, previous)
    experiment_id, origin = store.experiment_of(record.dataset), {**context.of_process(), **store.origin}
    if adopted is not None and adopted.experiment_id == experiment_id and not store.starts.behind():
        store.client.update_run(adopted.run_id, name=name)
        taken = [RunTag(key, value) for key, value in {**origin, **record.tags()}.items()]
        store.client.log_batch(adopted.run_id, tags=taken)
        return RunLog(store, _placed(record, adopted, name))
    inherited = {} if parent is None else {schema.PARENT: parent}
    tags, start = {**origin, **record.tags(), **inherited}, store.starts.next()
    run = store.client.create_run(experiment_id, start, tags=tags, run_name=name)
    placed = _placed(record, Record.of(run), name)
    if adopted is not None:
        _point(store, adopted, placed)
    return RunLog(store, placed, new=True)


def _placed(record: Record, run: Record, name: str) -> Record:
    """A record with the place of the run that it was given."""
    place = {field: getattr(run, field) for field in ("run_id", "started", "experiment_id", "artifact_uri")}
    return dataclasses.replace(record, name=name, status=schema.RUNNING, **place)


def _reopen(store: TrackingStore, previous: Record, parent: str | None) -> None:
    if parent is not None:  # the run that began it may have ended; this one's is found if this process dies
        store.client.set_tag(previous.run_id, schema.PARENT, parent)
    store.client.update_run(previous.run_id, status=schema.RUNNING)
    for tag in (schema.REASON, schema.DIVERGED):
        if tag in previous.tags():
            store.client.delete_tag(previous.run_id, tag)
    if previous.reason:
        store.client.set_tag(previous.run_id, schema.NOTE, "")


def fail_adopted(store: TrackingStore, reason: str) -> None:
    """Mark the run that `mlflow run` made as FAILED, with the reason in its note, unless it has ended: what ended it
    knew better."""
    _end_adopted(store, schema.FAILED, reason)


def stop_adopted(store: TrackingStore, reason: str) -> None:
    """Mark it as KILLED in the same way: the signal that ends this process may have ended `mlflow run` too."""
    with store.client.once():  # nobody waits for a store that is away
        _end_adopted(store, schema.KILLED, reason)


def _end_adopted(store: TrackingStore, status: str, reason: str) -> None:
    if store.adopted is None:
        return
    adopted = Record.of(store.client.get_run(store.adopted.run_id))
    if adopted.status == schema.RUNNING:
        end_left(store, adopted, status, reason)


def point_adopted(store: TrackingStore, target: Record) -> None:
    """Let the run that `mlflow run` made, if there is one, say that the work is in another run."""
    if store.adopted is not None and store.adopted.run_id != target.run_id:
        _point(store, store.adopted, target)


def _point(store: TrackingStore, adopted: Record, target: Record) -> None:
    tags = {
        schema.KIND: schema.CONTINUED_KIND,
        schema.CONTINUES: target.run_id,
        schema.NOTE: f"This command's work is in run {link(target)}.",
    }
    store.client.update_run(adopted.run_id, name=f"in another run: {target.name}")
    store.client.log_batch(adopted.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
