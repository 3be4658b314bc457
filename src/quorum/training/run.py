"""A training in its run: what is logged when it begins, and what when it has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from quorum import metric_names
from quorum.console import detail, say
from quorum.data.opened import example_image
from quorum.engine.states import States
from quorum.errors import StorageError
from quorum.reporting.runs import changed_settings
from quorum.study.results import SeedResult
from quorum.summary import summarize
from quorum.tracking.logged_models import log_classifier
from quorum.tracking.run_log import RunLog
from quorum.training.folders import WorkFolders
from quorum.training.job import Job, Trained
from quorum.training.prepared import PreparedTraining
from quorum.voting.classifier import WEIGHTS


def make_job(
    name: str,
    prepared: PreparedTraining,
    run_id: str,
    states: States,
    folders: WorkFolders,
    until: float = math.inf,
) -> Job:
    """The job of a training for its run."""
    return Job(name, run_id, prepared, states, folders.artifacts(run_id), folders.bundle(run_id), until)


def log_beginning(log: RunLog, prepared: PreparedTraining) -> None:
    """Log what is trained, on which data, from which weights."""
    config = prepared.config
    changed = changed_settings({name: str(value) for name, value in config.model_dump().items()})
    detail(f"run {log.run_id} ({prepared.numerics}, data {prepared.data_digest}): {changed}")
    log.params(config.model_dump())
    log_data(log, prepared)
    if prepared.weights is not None and (origin := prepared.weights.origin) is not None:
        log.first_weights(origin.uri, origin.run_id, origin.model_id)


def log_data(log: RunLog, prepared: PreparedTraining) -> None:
    """Log which data a training, or a trial's, is on."""
    log.dataset(prepared.pixels.name, prepared.data_digest, prepared.source, prepared.counts, "training")


def log_end(log: RunLog, job: Job, trained: Trained) -> None:
    """Log what came out, and take over the files that the job has written for its run."""
    if trained.numerics != job.prepared.numerics:
        log.set(numerics=trained.numerics)
    if trained.stopped:
        log.set(stopped=trained.stopped)
        say(f"{job.name}: {trained.stopped}")
    log.metrics(trained.metrics, step=trained.last_epoch)
    with job.artifacts.reading() as folder:
        if folder is None:
            raise StorageError(f"{job.artifacts}: what {job.name} wrote is gone; the same command writes it again")
        log.artifacts(folder)
    job.artifacts.discard()


def trained_before(log: RunLog, job: Job) -> Trained | None:
    """The result of a training that was killed after its end, if its metrics, files and weights are all there."""
    metrics = {name: value for name, value in log.record.metrics.items() if _is_final(name)}
    if not metrics or job.artifacts.exists():
        return None
    with job.bundle.reading() as folder:
        there = folder is not None and (folder / WEIGHTS).is_file()
    return Trained(metrics, job.prepared.numerics) if there else None


def _is_final(name: str) -> bool:
    return name in (metric_names.BEST_EPOCH, metric_names.LAST_EPOCH) or name.startswith(metric_names.OF_TRAININGS)


def log_model(log: RunLog, prepared: PreparedTraining, folders: WorkFolders) -> str:
    """Log the weights of a finished training as a model of its run. Returns the model's id; "" if they are gone."""
    example = example_image(prepared.pixels)
    with folders.bundle(log.run_id).reading() as bundle:
        return log_classifier(log, bundle, example, prepared.config.model_dump()) if bundle is not None else ""


def trained_result(job: Job, trained: Trained, shared_epochs: int = 0) -> SeedResult:
    """The result of a job that has just been done."""
    elsewhere = trained.numerics if trained.numerics != job.prepared.numerics else ""
    seed = job.prepared.config.seed
    return SeedResult(seed, job.run_id, trained.metrics, elsewhere=elsewhere, shared_epochs=shared_epochs)


def trial_metrics(trainings: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Mean and std of every metric of a trial's finished trainings, and their number, under the names that trials have.

    Args:
        trainings: the metrics of each of them; there may be none.
    """
    metrics: dict[str, float | None] = {}
    for name in trainings[0] if trainings else ():
        if name.startswith(metric_names.OF_TRAININGS):
            found, short = summarize([values[name] for values in trainings]), metric_names.trial_metric(name)
            metrics |= {f"{short}{metric_names.MEAN}": found.mean, f"{short}{metric_names.STD}": found.std}
    return metrics | {metric_names.TRIAL_N: len(trainings)} if trainings else {}
