"""Where runs go: the experiment that the user has named, or one for each data set."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Experiment, LifecycleStage
from mlflow.environment_variables import MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from quorum.errors import RegistryError
from quorum.tracking import schema

DEFAULT = "0"  # id of MLflow's default experiment, where `mlflow run` creates its run unless told otherwise


def named_experiment(client: MlflowClient, adopted: str | None) -> str:
    """The id of the experiment that the user has named, made if there is none by that name; "" if none is named.

    Args:
        client: of the store.
        adopted: id of the experiment of the run that `mlflow run` made, if it has made one. It is named unless it is
            the default one.

    Raises:
        RegistryError: for one that was deleted, or an id that is not there.
    """
    name = MLFLOW_EXPERIMENT_NAME.get()
    if name is not None:
        return _usable(_by_name(client, name))
    if adopted is not None:
        return "" if adopted == DEFAULT else adopted
    if experiment_id := MLFLOW_EXPERIMENT_ID.get():
        try:
            return _usable(client.get_experiment(experiment_id))
        except MlflowException as error:
            raise RegistryError(f"MLFLOW_EXPERIMENT_ID: no experiment {experiment_id!r} in this store") from error
    return ""


@dataclass
class Experiments:
    """The experiments of a store, those that are made while it is open included.

    Attributes:
        client: of the store.
    """

    client: MlflowClient
    _of_datasets: dict[str, str] = field(default_factory=dict)

    def of_dataset(self, dataset: str) -> str:
        """The id of a data set's own experiment, `quorum/DATASET`, made if there is none, of the kind that is for model
        training.

        Raises:
            RegistryError: where it was deleted.
        """
        if dataset not in self._of_datasets:
            self._of_datasets[dataset] = _usable(_by_name(self.client, f"{schema.EXPERIMENT}/{dataset}"))
        return self._of_datasets[dataset]

    def ids(self) -> list[str]:
        """All that were there when this was first asked, and those that were made since."""
        return list(dict.fromkeys([*self._of_datasets.values(), *self._found]))

    @functools.cached_property
    def _found(self) -> list[str]:
        return [str(experiment.experiment_id) for experiment in all_experiments(self.client)]


def all_experiments(client: MlflowClient) -> Iterator[Experiment]:
    """The experiments of a store but for those that were deleted, read page by page."""
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _by_name(client: MlflowClient, name: str) -> Experiment:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found
    try:
        kind = {schema.EXPERIMENT_KIND: schema.MODEL_TRAINING}
        client.create_experiment(name, _beside_default(client, name), kind)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise  # else another process has made it at the same time
    return client.get_experiment_by_name(name)


def _beside_default(client: MlflowClient, name: str) -> str | None:
    """The folder of an experiment's files, beside that of the default one where this is on this machine: MLflow would
    take the working folder, which `mlflow run GIT_URL` deletes. None: MLflow decides."""
    try:
        location = client.get_experiment(DEFAULT).artifact_location
    except MlflowException:
        return None
    if not is_local_uri(location):
        return None
    return str(Path(local_file_uri_to_path(location)).parent / re.sub(r"[^\w.-]|^\.+", "-", name))


def _usable(experiment: Experiment) -> str:
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        raise RegistryError(
            f"experiment {experiment.name!r} was deleted; `mlflow experiments restore -x {experiment.experiment_id}` "
            "brings it back, MLFLOW_EXPERIMENT_NAME names another"
        )
    return str(experiment.experiment_id)


def missing_folder(location: str) -> Path | None:
    """The folder in which an experiment's files were kept, if it lay on this machine and is there no more.

    Args:
        location: of the experiment's artifacts, as MLflow keeps it: FOLDER/mlruns/ID unless somebody has set another.
    """
    if not is_local_uri(location):
        return None
    place = Path(local_file_uri_to_path(location))
    above = [place, *place.parents][:3]
    return None if any(folder.exists() for folder in above) else above[-1]
