"""Finding runs. Every query names its tags, so it costs what it returns and not what the store holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import mlflow.artifacts
import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from quorum.errors import RegistryError
from quorum.tracking import tags
from quorum.tracking.runs import FINISHED
from quorum.tracking.store import Store

_PAGE = 200


def search(
    store: Store, wanted: Mapping[str, str], *, status: str | None = None, order_by: str | None = None
) -> Iterator[Run]:
    """Runs of all experiments that carry some tags, newest first unless told otherwise, read page by page."""
    clauses = [f"tags.`{key}` = '{value}'" for key, value in wanted.items()]
    if status is not None:
        clauses.append(f"attributes.status = '{status}'")
    experiments = [experiment.experiment_id for experiment in store.client.search_experiments()]
    token = None
    while True:
        page = store.client.search_runs(
            experiments,
            " AND ".join(clauses),
            max_results=_PAGE,
            order_by=[order_by or "attributes.start_time DESC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def unfinished(store: Store, kind: str, key: str) -> Run | None:
    """The newest run of a kind and key that was begun and not finished, and did not diverge."""
    runs = search(store, {tags.KIND: kind, tags.KEY: key})
    return next((run for run in runs if run.info.status != FINISHED), None)


def finished_training(store: Store, fingerprint: str, digest: str, code: str) -> Run | None:
    """The newest FINISHED training of a configuration, seed included, on the same data by the same code."""
    wanted = {tags.FINGERPRINT: fingerprint, tags.DATA_DIGEST: digest, tags.CODE_VERSION: code}
    return next(search(store, wanted, status=FINISHED), None)


def family(store: Store, sweep_run_id: str) -> dict[str, Run]:
    """The trial and seed runs of a sweep by their key."""
    return {run.data.tags[tags.KEY]: run for run in search(store, {tags.SWEEP: sweep_run_id})}


def get_run(store: Store, run_id: str) -> Run:
    """A run by id. Raises RegistryError where there is none."""
    try:
        return store.client.get_run(run_id)
    except MlflowException as error:
        raise RegistryError(f"no run {run_id!r} in {store.uri}") from error


def artifact(store: Store, run_id: str, path: str) -> Path | None:
    """A local copy of one of a run's artifacts, or None where it has none by that path."""
    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, tracking_uri=store.uri))
    except (MlflowException, OSError):
        return None


def history_frame(store: Store, run_id: str) -> pd.DataFrame:
    """The epochs that a training logged: epoch, train_loss, train_accuracy, val_loss and val_accuracy."""
    columns = {
        name.replace("/", "_"): {m.step: m.value for m in store.client.get_metric_history(run_id, name)}
        for name in ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
    }
    return pd.DataFrame(columns).rename_axis("epoch").reset_index().sort_values("epoch")
