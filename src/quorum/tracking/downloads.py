"""Files of artifact repositories on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

from quorum.temporary import lasting_folder


def download(repository: ArtifactRepository, path: str = "") -> Path:
    """A file or folder of a repository: where it lies, if that is on this machine, else a copy that is there until
    this process ends.

    Args:
        repository: MLflow's.
        path: within it; by default all of it.

    Raises:
        Exception: the repository's, where it cannot be had.
    """
    while isinstance(repository, ModelsArtifactRepository):  # it would write a file into a model that lies here
        repository = repository.repo
    if isinstance(repository, LocalArtifactRepository):
        return Path(repository.download_artifacts(path))
    folder = lasting_folder()
    try:
        return Path(repository.download_artifacts(path, str(folder)))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it may be tried again, many times
        raise
