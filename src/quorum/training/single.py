"""One configuration with one seed, trained in a run of its own."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

from quorum.config import TrialConfig, digest_of
from quorum.console import say
from quorum.engine.states import States
from quorum.engine.training import Progress
from quorum.errors import DivergedError, OutOfTimeError
from quorum.study.results import SeedResult
from quorum.tracking import schema
from quorum.tracking.queries import Reuse, finished_training, unfinished
from quorum.tracking.records import TrainingRecord, training_identity
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run, point_adopted
from quorum.tracking.system_metrics import system_metrics
from quorum.training.folders import WorkFolders
from quorum.training.job import Job, Trained, train
from quorum.training.prepare import Preparer
from quorum.training.prepared import PreparedTraining
from quorum.training.progress import TrainingProgress
from quorum.training.run import (
    log_beginning,
    log_end,
    log_model,
    make_job,
    trained_before,
    trained_result,
    trial_metrics,
)

Work = Callable[[Job, Callable[[int], None]], Iterator[Progress | Trained]]


def train_one(
    config: TrialConfig,
    preparer: Preparer,
    folders: WorkFolders,
    *,
    reuse: Reuse = True,
    work: Work = train,
    until: float = math.inf,
    watched: bool = False,
) -> SeedResult:
    """Train a configuration, go on with it where it was interrupted, or return the run that holds it already.

    Args:
        config: the settings, seed included.
        preparer: prepares the training.
        folders: where it keeps what is not tracked yet.
        reuse: whether a stored result is returned, and which.
        work: does the job, see `quorum.training.job.train`.
        until: when it stops after the epoch that is trained, in seconds since 1970.
        watched: whether this machine's system metrics are logged in its run.

    Raises:
        OutOfTimeError: where it has stopped then.
        QuorumError: for settings that cannot be trained, a training that failed, or one that another process works on.
    """
    prepared, store = preparer.prepare(config), preparer.store
    identity = training_identity(prepared.config, prepared.data_digest, prepared.numerics)
    key = digest_of(identity)
    record = TrainingRecord(**identity, kind=schema.TRAIN_KIND, key=key, data_source=prepared.source)
    with store.leases.hold(key, "training"):
        stored = finished_training(store, record, reuse) if reuse else None
        if stored is not None and stored.model_id:  # one whose weights were not kept is no answer
            point_adopted(store, stored)
            say(f"run {stored.run_id} holds this result already; reuse=false trains it again")
            return stored.result(reused=True)
        name = f"{config.model} on {config.dataset}, seed {config.seed}"
        previous = unfinished(store, TrainingRecord, schema.TRAIN_KIND, key)
        with begin_run(store, name, record, previous=previous) as log, system_metrics(log, watched):
            return _train(prepared, log, name, folders, work, until)


def _train(
    prepared: PreparedTraining, log: RunLog, name: str, folders: WorkFolders, work: Work, until: float
) -> SeedResult:
    job = make_job(name, prepared, log.run_id, States(own=folders.state(log.run_id)), folders, until)
    trained = trained_before(log, job)
    if trained is None:
        log_beginning(log, prepared)
        trained = _do(job, log, work)
    # A single training is a trial of one seed, so that it can be promoted like any other.
    log.metrics(trial_metrics([trained.metrics]))
    log.set(model_id=log_model(log, prepared, folders), best_seed_run=log.run_id)
    folders.bundle(log.run_id).discard()
    folders.state(log.run_id).discard()
    return trained_result(job, trained)


def _do(job: Job, log: RunLog, work: Work) -> Trained:
    """Do a job, and log its progress and what came out."""
    trained: Trained | None = None
    with contextlib.closing(TrainingProgress(job, log)) as progress, _divergence_told(log):
        for event in work(job, progress.on_batch):
            if isinstance(event, Trained):
                trained = event
                log_end(log, job, trained)
            else:
                progress.on_progress(event)
                if event.paused:
                    epoch, epochs = event.records[-1].epoch, job.prepared.config.epochs
                    raise OutOfTimeError(
                        f"max_hours are over after epoch {epoch} of {epochs}; the same command goes on from here"
                    )
    assert trained is not None
    return trained


@contextlib.contextmanager
def _divergence_told(log: RunLog) -> Iterator[None]:
    """Let the run of a training that diverges say so, which other errors do not."""
    try:
        yield
    except DivergedError as error:
        log.set(diverged=str(error))
        raise
