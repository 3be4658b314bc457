"""Logged models: whether a registered version needs one, and deleting those that nobody needs."""

from __future__ import annotations

from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from quorum.tracking.store import TrackingStore


def is_registered(store: TrackingStore, model_id: str, run_id: str) -> bool:
    """Whether a registered version needs a logged model.

    Args:
        store: the tracking store.
        model_id: of the model.
        run_id: the run that logged it.
    """
    versions = store.client.search_model_versions(f"run_id = '{run_id}'")
    return any(version.source == f"models:/{model_id}" for version in versions)


def delete_models_of(store: TrackingStore, run_id: str, *, unfinished: bool = False) -> None:
    """Delete the logged models of a run, and their files: all, or those of which a killed process has logged a part."""
    for model in store.client.search_logged_models(store.experiments, f"source_run_id = '{run_id}'"):
        if not (unfinished and LoggedModelStatus.is_finalized(model.status)):
            delete_model(store, model.model_id)


def delete_model(store: TrackingStore, model_id: str) -> None:
    """Delete a logged model and its files. One that is gone already, as after a kill, is deleted."""
    try:
        model = store.client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return
        raise
    get_artifact_repository(model.artifact_location).delete_artifacts()
    store.client.delete_logged_model(model_id)
