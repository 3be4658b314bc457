"""Runs of processes that ended without a word: found by what these have left in the store, and ended honestly."""

from __future__ import annotations

import functools

from quorum.console import say
from quorum.tracking import schema
from quorum.tracking.leases import TURN, Presence, presences
from quorum.tracking.queries import find_active, search
from quorum.tracking.records import Record
from quorum.tracking.run_log import end_left
from quorum.tracking.store import TrackingStore
from quorum.tracking.stored_models import delete_models_of


def end_runs_of_dead_processes(store: TrackingStore) -> None:
    """End as KILLED what dead processes were writing, now and whenever one is found to be dead later. Their commands,
    given again, go on in these runs."""
    store.leases.on_dead = functools.partial(_end_runs, store)
    for presence in store.leases.dead():
        _end_runs(store, presence)


def _end_runs(store: TrackingStore, presence: Presence) -> None:
    with store.leases.hold(f"end {presence.tag}", "ending of runs", TURN):
        known = presences(store.leases.client)
        if presence.tag not in {one.tag for one in known}:
            return  # another process was faster, and may be going on in these runs
        reason = f"{presence.process} ended without a word; the same command goes on from here"
        taken = {run_id for one in known if one.tag != presence.tag for run_id in one.runs}
        for run_id in presence.runs:
            run = find_active(store, run_id)
            if run is not None and not _is_below(store, run, taken):
                _end(store, run, reason)
        store.leases.forget(presence)


def _is_below(store: TrackingStore, run: Record, taken: set[str]) -> bool:
    """Whether a run is one of those that other processes go on with, or belongs to one."""
    above: Record | None = run
    while above is not None and above.run_id not in taken:
        above = find_active(store, above.parent) if above.parent else None
    return above is not None


def _end(store: TrackingStore, run: Record, reason: str) -> None:
    """End a run and those below it, as far as they are running, without the halves of models that they have logged."""
    for child in search(store, Record, having=[f"tags.`{schema.PARENT}` = '{run.run_id}'"]):
        _end(store, child, reason)
    if run.status == schema.RUNNING:
        delete_models_of(store, run.run_id, unfinished=True)
        end_left(store, run, schema.KILLED, reason)
        say(f"run {run.run_id}, {run.name}: {reason}")
