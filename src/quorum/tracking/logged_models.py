"""Logged models: complete, with weights, preprocessing, class names and the code that runs them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import pandas as pd
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from quorum.errors import RegistryError
from quorum.temporary import temporary_folder
from quorum.tracking import schema
from quorum.tracking.downloads import download
from quorum.tracking.model_files import BUNDLE, RULE, member_files, read_files
from quorum.tracking.patience import passing
from quorum.tracking.run_log import RunLog
from quorum.tracking.store import TrackingStore
from quorum.tracking.stored_models import delete_models_of
from quorum.versions import network_packages
from quorum.voting.classifier import DESCRIPTION
from quorum.voting.rules import VotingRule

PACKAGE = Path(__file__).parents[1]
NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pillow",
    "pydantic",
    "scikit-learn",
    "filelock",
    "mlflow",
)

SCRIPT = Path(__file__).with_name("served_model.py")
# Text and not `binary`: MLflow decodes base64 of binary columns itself, not everywhere, and drops what is none.
_IMAGE = Schema([ColSpec(DataType.string, "image")])
_ANSWER = [
    ColSpec(DataType.string, "label"),
    ColSpec(DataType.double, "probability"),
    ColSpec(Array(DataType.double), "probabilities"),
]
_OF_VOTE = [ColSpec(DataType.double, "agreement"), ColSpec(Array(DataType.string), "votes")]
CLASSIFIER = ModelSignature(_IMAGE, Schema(_ANSWER))
VOTE = ModelSignature(_IMAGE, Schema(_ANSWER + _OF_VOTE))


def log_classifier(log: RunLog, bundle: Path, example: bytes, params: Mapping[str, Any]) -> str:
    """Log a network as a model of its run.

    Args:
        log: the run that trained it.
        bundle: folder written by `Classifier.save`.
        example: an encoded image, kept as the input example.
        params: shown with the model.

    Returns:
        The logged model's id; its URI is `models:/ID`.
    """
    return _log(log, {BUNDLE: bundle}, [bundle], CLASSIFIER, example, params, "classifier")


def log_vote(log: RunLog, bundles: Sequence[Path], rule: VotingRule, example: bytes, params: Mapping[str, Any]) -> str:
    """Log a vote of several networks, best first, as one model that holds them all, and their rule. Returns its id."""
    with temporary_folder() as folder:
        file = folder / schema.VOTING_RULE
        file.write_text(rule.data())
        return _log(log, {**member_files(bundles), RULE: file}, bundles, VOTE, example, params, "vote")


def _log(
    log: RunLog,
    artifacts: Mapping[str, Path],
    bundles: Sequence[Path],
    signature: ModelSignature,
    example: bytes,
    params: Mapping[str, Any],
    kind: str,
) -> str:
    client = log.store.client
    delete_models_of(log.store, log.run_id)  # of a process that was killed while it logged this
    model = client.create_logged_model(
        log.store.experiment_id,
        name="model",
        source_run_id=log.run_id,
        params={key: str(value) for key, value in params.items()},
        model_type=kind,
    )
    with temporary_folder() as folder:
        path = folder / "model"
        mlflow.pyfunc.save_model(
            path,
            python_model=str(SCRIPT),
            artifacts={name: str(file) for name, file in artifacts.items()},
            code_paths=[str(PACKAGE)],
            signature=signature,
            input_example=pd.DataFrame({"image": [base64.b64encode(example).decode()]}),
            pip_requirements=[f"{name}=={metadata.version(name).partition('+')[0]}" for name in _needed(bundles)],
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                model_uuid=model.model_id,
                run_id=log.run_id,
                model_id=model.model_id,
            ),
        )
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(log.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def _needed(bundles: Sequence[Path]) -> tuple[str, ...]:
    """The packages that networks need to predict."""
    models = [json.loads((bundle / DESCRIPTION).read_text())["config"]["model"] for bundle in bundles]
    return NEEDED + network_packages(models)


@dataclass(frozen=True)
class FetchedModel:
    """A model of ours on this machine.

    Attributes:
        uri: as it was asked for.
        run_id: the run that made it.
        model_id: the logged model.
        bundles: local folders of its networks: one for a classifier, several for a vote, best first.
        rule: how those of a vote vote.
    """

    uri: str
    run_id: str
    model_id: str
    bundles: tuple[Path, ...]
    rule: VotingRule = field(default_factory=VotingRule)


def fetch_bundles(store: TrackingStore, uri: str) -> FetchedModel:
    """A model of ours with local folders of its networks, which are there until this process ends.

    Args:
        store: the store that holds it.
        uri: `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/ID` or `runs:/RUN/model`.

    Raises:
        RegistryError: for text that is no such URI, where there is no such model, or it is not one of ours.
        Exception: MLflow's, where the store is away for longer than `PatientClient` waits.
    """
    if not uri.startswith(("models:/", "runs:/")):
        raise RegistryError(f"{uri!r} is no model URI; models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/model")
    try:
        folder = store.patiently(lambda: _download(store, uri))
        loaded = Model.load(str(folder))
        artifacts = loaded.flavors["python_function"]["artifacts"]
    except (MlflowException, OSError, KeyError) as error:
        if passing(error):
            raise
        raise RegistryError(f"{uri}: no such model of quorum's ({' '.join(str(error).split())[:200]})") from error
    bundles, rule = read_files({name: folder / entry["path"] for name, entry in artifacts.items()})
    return FetchedModel(uri, str(loaded.run_id), str(loaded.model_id), bundles, rule)


def _download(store: TrackingStore, uri: str) -> Path:
    if uri.startswith("runs:/"):
        uri = _of_run(store, uri.rstrip("/"))
    return download(get_artifact_repository(uri.rstrip("/"), tracking_uri=store.uri))


def _of_run(store: TrackingStore, uri: str) -> str:
    """The URI of the model that a run has logged. MLflow takes a store that is away for one without it."""
    run_id, name = RunsArtifactRepository.parse_runs_uri(uri)
    experiment_id = store.client.get_run(run_id).info.experiment_id
    wanted = f"source_run_id = '{run_id}' AND name = '{name}'"
    found = store.client.search_logged_models([experiment_id], wanted, max_results=1)
    if not found:
        raise MlflowException(f"run {run_id} has no model {name}", RESOURCE_DOES_NOT_EXIST)
    return f"models:/{found[0].model_id}"
