"""Trials that no study lists, run by the machinery of sweeps: shared beginnings, jobs, going on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quorum.config import digest_of
from quorum.engine.training import Progress
from quorum.study.results import TrialRequest, TrialResult
from quorum.sweeps.executors import Executor
from quorum.sweeps.progress import SweepProgress
from quorum.sweeps.run import SweepSettings, make_runner
from quorum.tracking import schema
from quorum.tracking.queries import unfinished
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.training.folders import WorkFolders
from quorum.training.job import Job, Trained
from quorum.training.prepare import Preparer
from quorum.versions import code_version


def run_trials(
    name: str,
    requests: Sequence[TrialRequest],
    settings: SweepSettings,
    preparer: Preparer,
    folders: WorkFolders,
    make_executor: Callable[[], Executor[Job, Progress | Trained]],
    parent: str,
) -> list[TrialResult]:
    """Run trials over their seeds, or go on with them where they were interrupted.

    Args:
        name: of the run that holds them.
        requests: the trials.
        settings: seeds and what is kept.
        preparer: prepares their trainings.
        folders: where they keep what is not tracked yet.
        make_executor: makes what does the trainings, once it is known that they can be done.
        parent: id of the run that asks for them.

    Returns:
        Their results, in the order of the requests.

    Raises:
        QuorumError: for trials that cannot be run, or that another process works on.
    """
    prepared, *_ = [preparer.prepare(request.config) for request in requests]
    identity = [request.config.trial_fingerprint() for request in requests]
    code = code_version(*(request.config.model for request in requests))
    asked = [name, identity, settings.seeds, settings.keep, settings.reuse]
    record = Record(
        kind=schema.CONFIRM_KIND,
        key=digest_of([*asked, prepared.data_digest, code, prepared.numerics]),
        dataset=prepared.config.dataset,
        data_digest=prepared.data_digest,
        code_version=code,
        numerics=prepared.numerics,
    )
    store = preparer.store
    with store.leases.hold(record.key, name):
        previous = unfinished(store, Record, record.kind, record.key)
        with begin_run(store, name, record, parent=parent, previous=previous) as log:
            log.params({"seeds": ",".join(map(str, settings.seeds)), "trials": len(requests)})
            progress = SweepProgress(settings.seeds)
            runner = make_runner(log, settings, preparer, folders, make_executor(), progress, schema.FRESH_KIND)
            with runner:
                results = list(runner.execute(requests, lambda _ended: [], lambda _request: None))
            runner.weights.log()
            return sorted(results, key=lambda result: result.request.number)
