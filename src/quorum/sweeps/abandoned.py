"""Sweeps that nobody will go on with: code, data or first weights changed since they were stopped."""

from __future__ import annotations

from quorum.console import say
from quorum.tracking import schema
from quorum.tracking.queries import family, search
from quorum.tracking.records import SweepRecord
from quorum.tracking.run_log import RunLog, end_run
from quorum.tracking.store import TrackingStore
from quorum.training.folders import WorkFolders


def end_abandoned(store: TrackingStore, record: SweepRecord, folders: WorkFolders) -> None:
    """End the runs of unfinished sweeps that are the same but for code, data or first weights, and remove what they
    left on disk.

    Only those whose run says that it is running, or whose states are in this working folder, and none that another
    process works on. One of another class of machine may go on there.

    Args:
        store: the tracking store.
        record: the sweep that is begun.
        folders: where trainings keep what is not tracked yet.
    """
    unfinished = f"attributes.status != '{schema.FINISHED}'"
    for old in search(store, SweepRecord, having=[unfinished], kind=schema.SWEEP_KIND, study_key=record.study_key):
        changed = [
            what
            for what, then, now in (
                ("code", old.code_version, record.code_version),
                ("data", old.data_digest, record.data_digest),
            )
            if then != now
        ]
        if not changed and old.key != record.key:
            changed = ["first weights"]  # the key has nothing else
        if not changed or old.numerics != record.numerics or store.leases.is_held(old.key):
            continue
        if old.status != schema.RUNNING and not folders.checkpoints(old.run_id).exists():
            continue
        reason = f"stopped, and its {' and '.join(changed)} changed before it was finished, so a new sweep begins"
        say(f"sweep {old.run_id}: {reason}")
        for run in family(store, old.run_id):
            for left in (folders.state(run.run_id), folders.bundle(run.run_id), folders.artifacts(run.run_id)):
                left.discard()
            if run.status == schema.RUNNING:
                end_run(RunLog(store, run), schema.KILLED, reason)
        folders.checkpoints(old.run_id).discard()
        end_run(RunLog(store, old), schema.KILLED, reason)
