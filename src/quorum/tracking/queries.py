"""Finding runs. Every query names its tags, so it costs what it returns and not what the store holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from quorum.errors import RegistryError, masked
from quorum.tracking import schema
from quorum.tracking.runs import FINISHED
from quorum.tracking.store import Store
from quorum.tuning import no_garbage_collection

TRAINING = f"tags.`{schema.FINGERPRINT}` LIKE '%'"  # a condition: the run is a training, not a trial or a sweep
_PAGES = (10, 50, 200, 1000)  # runs of the first pages, and of all further ones: many callers want the first run alone


def search(
    store: Store,
    wanted: Mapping[str, str],
    *,
    having: Sequence[str] = (),
    status: str | None = None,
    order_by: str | None = None,
) -> Iterator[Run]:
    """Runs of all experiments, newest first unless told otherwise, read page by page.

    Args:
        store: the tracking store.
        wanted: tags that they carry.
        having: further conditions in MLflow's language. One on a metric leaves out the runs that have none.
        status: their status, if it matters.
        order_by: an order in MLflow's language.
    """
    clauses = [f"tags.`{key}` = '{value}'" for key, value in wanted.items()] + [*having]
    if status is not None:
        clauses.append(f"attributes.status = '{status}'")
    experiments = [experiment.experiment_id for experiment in store.client.search_experiments()]
    token = None
    for size in itertools.chain(_PAGES, itertools.repeat(_PAGES[-1])):
        with no_garbage_collection():
            page = store.client.search_runs(
                experiments,
                " AND ".join(clauses),
                max_results=size,
                order_by=[order_by or "attributes.start_time DESC"],
                page_token=token,
            )
        yield from page
        token = page.token
        if not token:
            return


def unfinished(store: Store, kind: str, key: str) -> Run | None:
    """The newest run of a kind and key that was begun and not finished, and did not diverge."""
    having = [f"attributes.status != '{FINISHED}'"]
    return next(search(store, {schema.KIND: kind, schema.KEY: key}, having=having), None)


def finished_training(store: Store, fingerprint: str, digest: str, code: str) -> Run | None:
    """The newest FINISHED training of a configuration, seed included, on the same data by the same code."""
    wanted = {schema.FINGERPRINT: fingerprint, schema.DATA_DIGEST: digest, schema.CODE_VERSION: code}
    return next(search(store, wanted, status=FINISHED), None)


def finished_trainings(store: Store, trial_fingerprint: str, digest: str, code: str) -> dict[int, Run]:
    """The newest FINISHED training of each seed of a configuration on the same data by the same code.

    It costs as much as `finished_training` does for one seed.
    """
    wanted = {schema.TRIAL_FINGERPRINT: trial_fingerprint, schema.DATA_DIGEST: digest, schema.CODE_VERSION: code}
    found: dict[int, Run] = {}
    for run in search(store, wanted, having=[TRAINING], status=FINISHED):
        found.setdefault(int(run.data.tags[schema.SEED]), run)
    return found


def family(store: Store, sweep_run_id: str) -> dict[str, Run]:
    """The trial and seed runs of a sweep by their key."""
    return {run.data.tags[schema.KEY]: run for run in search(store, {schema.SWEEP: sweep_run_id})}


def get_run(store: Store, run_id: str) -> Run:
    """A run by id. Raises RegistryError where there is none."""
    try:
        return store.client.get_run(run_id)
    except MlflowException as error:
        raise RegistryError(f"no run {run_id!r} in {masked(store.uri)}") from error


def artifact(store: Store, run_id: str, path: str) -> Path | None:
    """A local copy of one of a run's artifacts, or None where it has none by that path."""
    try:
        uri = store.client.get_run(run_id).info.artifact_uri
        return Path(get_artifact_repository(uri, tracking_uri=store.uri).download_artifacts(path))
    except (MlflowException, OSError):
        return None


def history_frame(store: Store, run_id: str) -> pd.DataFrame:
    """The epochs that a training logged: epoch, train_loss, train_accuracy, val_loss and val_accuracy."""
    columns = {
        name.replace("/", "_"): {m.step: m.value for m in store.client.get_metric_history(run_id, name)}
        for name in ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
    }
    return pd.DataFrame(columns).rename_axis("epoch").reset_index().sort_values("epoch")
