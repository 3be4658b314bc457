"""Finding runs. Every query names its tags, so it costs what it returns and not what the store holds."""

from __future__ import annotations

import functools
import itertools
import posixpath
import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from quorum import metric_names
from quorum.config import TrialConfig
from quorum.errors import RegistryError, cut, masked, shown
from quorum.tracking import schema
from quorum.tracking.downloads import download
from quorum.tracking.patience import passing
from quorum.tracking.records import Record, TrainingRecord, TrialRecord
from quorum.tracking.store import TrackingStore
from quorum.tuning import no_garbage_collection

R = TypeVar("R", bound=Record)

TRAINING = f"tags.`{schema.FINGERPRINT}` LIKE '%'"  # a condition: the run is a training, not a trial or a sweep
_PAGES = (10, 50, 200, 1000)  # runs of the first pages, and of all further ones: many callers want the first run alone


def search(
    store: TrackingStore,
    record: type[R],
    *,
    having: Sequence[str] = (),
    status: str | None = None,
    order_by: str | None = None,
    **wanted: str,
) -> Iterator[R]:
    """Runs of all experiments as records, newest first unless another order is asked for, read page by page.

    Args:
        store: the tracking store.
        record: the class of records.
        having: further conditions in MLflow's language. One on a metric leaves out the runs that have none.
        status: their status, if it matters.
        order_by: an order in MLflow's language.
        wanted: fields of the record and their values.
    """
    clauses = [f"tags.`{record.tag_of(name)}` = '{value}'" for name, value in wanted.items()] + [*having]
    if status is not None:
        clauses.append(f"attributes.status = '{status}'")
    token = None
    for size in itertools.chain(_PAGES, itertools.repeat(_PAGES[-1])):
        with no_garbage_collection():
            page = store.client.search_runs(
                store.experiments,
                " AND ".join(clauses),
                max_results=size,
                order_by=[order_by or "attributes.start_time DESC"],
                page_token=token,
            )
        yield from map(record.of, page)
        token = page.token
        if not token:
            return


def unfinished(store: TrackingStore, record: type[R], kind: str, key: str) -> R | None:
    """The newest run of a kind and key that was begun and not finished."""
    having = [f"attributes.status != '{schema.FINISHED}'"]
    return next(search(store, record, having=having, kind=kind, key=key), None)


Reuse = bool | Literal["any"]
"""Whether stored trainings are used in the place of new ones: those that would be the same bit for bit, or with `any`
those of another numerics class too."""


def finished_training(store: TrackingStore, wanted: TrainingRecord, reuse: Reuse = True) -> TrainingRecord | None:
    """The newest FINISHED training of a configuration and seed that may be used, see `finished_trainings`."""
    return next(_finished(store, wanted, reuse, fingerprint=wanted.fingerprint), None)


def finished_trainings(store: TrackingStore, wanted: TrialRecord, reuse: Reuse = True) -> dict[int, TrainingRecord]:
    """The newest FINISHED training of each seed of a configuration that may be used.

    It costs as much as `finished_training` does for one seed.

    Args:
        store: the tracking store.
        wanted: the identity of the trial: data, code and configuration are the same, and the numerics class.
        reuse: with `any`, the numerics class may differ; one of the same comes first.
    """
    found: dict[int, TrainingRecord] = {}
    for training in _finished(store, wanted, reuse, trial_fingerprint=wanted.trial_fingerprint):
        found.setdefault(training.seed, training)
    return found


def _finished(store: TrackingStore, wanted: TrialRecord, reuse: Reuse, **which: str) -> Iterator[TrainingRecord]:
    identity = {"data_digest": wanted.data_digest, "code_version": wanted.code_version, **which}
    stored = functools.partial(search, store, TrainingRecord, having=[TRAINING], status=schema.FINISHED, **identity)
    yield from stored(numerics=wanted.numerics)
    if reuse == "any":
        yield from stored()


def trainings(store: TrackingStore, dataset: str) -> Iterator[TrainingRecord]:
    """All trainings of a data set, newest first."""
    return search(store, TrainingRecord, having=[TRAINING], dataset=dataset)


def trials(
    store: TrackingStore,
    dataset: str,
    *,
    metric: str | None = None,
    having: Sequence[str] = (),
    order_by: str | None = None,
) -> Iterator[TrialRecord]:
    """Trials and single trainings of a data set, newest first unless another order is asked for.

    Args:
        store: the tracking store.
        dataset: its name.
        metric: only finished ones that have this metric. A trial's seeds have none of its means.
        having: further conditions in MLflow's language.
        order_by: an order in MLflow's language.
    """
    having = [*having, *([] if metric is None else [f"metrics.`{metric}` >= 0"])]
    status = None if metric is None else schema.FINISHED
    for record in search(store, TrialRecord, having=having, status=status, order_by=order_by, dataset=dataset):
        if record.kind in (schema.TRIAL_KIND, schema.TRAIN_KIND):
            yield record


def data_source(store: TrackingStore, dataset: str) -> str | None:
    """Where the newest run that read a data set found it; None where no run did."""
    having = [f"tags.`{Record.tag_of('data_source')}` LIKE '%'"]
    return next((run.data_source for run in search(store, Record, having=having, dataset=dataset)), None)


def has_vote(store: TrackingStore, dataset: str) -> bool:
    """Whether a finished sweep of a data set has ended in a vote."""
    voted = [f"metrics.`{metric_names.vote_metric('val')}{metric_names.MEAN}` >= 0"]
    sweeps = search(store, Record, having=voted, status=schema.FINISHED, kind=schema.SWEEP_KIND, dataset=dataset)
    return next(sweeps, None) is not None


def newest_training(store: TrackingStore, dataset: str) -> TrainingRecord | None:
    """The newest finished training of a data set; None where there is none."""
    return next(search(store, TrainingRecord, having=[TRAINING], status=schema.FINISHED, dataset=dataset), None)


def family(store: TrackingStore, sweep_run_id: str) -> list[TrainingRecord]:
    """The trial and seed runs of a sweep, newest first. A trial leaves the fields of a training empty."""
    return list(search(store, TrainingRecord, sweep_run_id=sweep_run_id))


def find_active(store: TrackingStore, run_id: str) -> Record | None:
    """A run by id; None where there is none, or where it was deleted."""
    try:
        run = store.client.get_run(run_id)
    except MlflowException:
        return None
    return Record.of(run) if run.info.lifecycle_stage == LifecycleStage.ACTIVE else None


def get_training(store: TrackingStore, run_id: str) -> TrainingRecord:
    """A training by the id of its run. Raises RegistryError where there is none."""
    return get_record(store, TrainingRecord, run_id)


def get_record(store: TrackingStore, record: type[R], run_id: str) -> R:
    """A run by id. Raises RegistryError where there is none."""
    try:
        return record.of(store.client.get_run(run_id))
    except MlflowException as error:
        raise RegistryError(f"no run {run_id!r} in {masked(store.uri)}") from error


def epoch_seconds(store: TrackingStore, config: TrialConfig, numerics: str) -> float | None:
    """Median time of an epoch in the last runs of a network at its input size, on the same data set and kind of
    machine; None where there are none."""
    having = [TRAINING, *(f"params.`{name}` = '{getattr(config, name)}'" for name in ("model", "input_size"))]
    where = {"dataset": config.dataset, "numerics": numerics}
    found = search(store, TrainingRecord, having=having, status=schema.FINISHED, **where)
    seconds = [run.metrics[metric_names.EPOCH_SECONDS] for run in itertools.islice(found, _PAGES[0])]
    return statistics.median(seconds) if seconds else None


def run_beginning(store: TrackingStore, beginning: str) -> TrainingRecord:
    """The run whose id begins so, of whatever kind; fields that its kind does not have are empty.

    Raises:
        RegistryError: where there is none, or more than one.
    """
    if not re.fullmatch("[0-9a-f]*", beginning):
        raise RegistryError(f"no run's id begins with {shown(beginning)}: ids are of hex digits")
    found = list(itertools.islice(search(store, TrainingRecord, having=[f"attributes.run_id LIKE '{beginning}%'"]), 2))
    if len(found) != 1:
        which = "several runs begin" if found else "no run's id begins"
        raise RegistryError(f"{which} with {beginning} in {masked(store.uri)}")
    return found[0]


def seeds_of(store: TrackingStore, record: TrialRecord) -> dict[int, TrainingRecord]:
    """The trainings of a trial by seed, or a training alone. Empty for another kind of run, and for a trial whose
    seeds have not all ended."""
    ids = record.seed_runs.values() if record.seed_runs else [record.run_id]
    found = [get_training(store, run_id) for run_id in ids]
    return {training.seed: training for training in found if training.fingerprint}


def mean_history(store: TrackingStore, run_ids: Sequence[str]) -> pd.DataFrame:
    """Epochs as `history_frame` has them, each metric the mean of the trainings that have the epoch."""
    frames = [history_frame(store, run_id) for run_id in run_ids]
    if not frames:
        return pd.DataFrame({"epoch": []})
    return pd.concat(frames).groupby("epoch", as_index=False).mean()


def artifact(store: TrackingStore, run_id: str, path: str) -> Path | None:
    """One of a run's artifacts on this machine, until this process ends; None where it has none by that path.

    Raises:
        RegistryError: for one that is there and cannot be had.
        Exception: MLflow's, where the store is away for longer than `PatientClient` waits.
    """
    try:
        uri = store.client.get_run(run_id).info.artifact_uri
        repository = get_artifact_repository(uri, tracking_uri=store.uri)
    except MlflowException as error:
        if passing(error):
            raise
        return None
    try:
        return store.patiently(lambda: _download_if_there(repository, path))
    except (MlflowException, OSError) as error:
        if passing(error):
            raise
        reason = cut(" ".join(str(error).split()), 200)
        raise RegistryError(f"run {run_id}: {path} cannot be read ({reason})") from error


def _download_if_there(repository: ArtifactRepository, path: str) -> Path | None:
    try:
        return download(repository, path)
    except (MlflowException, OSError):
        # What was raised does not tell: MLflow's server says of a missing file in S3 that something broke.
        if path in {file.path for file in repository.list_artifacts(posixpath.dirname(path) or None)}:
            raise
        return None


def predictions(store: TrackingStore, run_id: str) -> pd.DataFrame:
    """What a training predicted for each image of its validation and test split: split, file, true, predicted and
    probability.

    Raises:
        RegistryError: where it did not keep them.
    """
    file = artifact(store, run_id, schema.PREDICTIONS)
    if file is None:
        raise RegistryError(f"run {run_id} has no {schema.PREDICTIONS}; train it again with reuse=false")
    return pd.read_csv(file, dtype={"split": str, "file": str, "true": str, "predicted": str}, keep_default_na=False)


def history_frame(store: TrackingStore, run_id: str, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The epochs that a training logged: `epoch`, and a column for each metric.

    Args:
        store: the tracking store.
        run_id: of the training.
        names: the metrics; by default all that it logged by epoch.
    """
    if names is None:
        logged = get_training(store, run_id).metrics
        names = [name for name in logged if metric_names.is_of_epochs(name)]
    histories = {name: store.client.get_metric_history(run_id, name) for name in names}
    columns = {name: {metric.step: metric.value for metric in history} for name, history in histories.items()}
    return pd.DataFrame(columns).rename_axis("epoch").reset_index().sort_values("epoch")
