"""Files of repositories: where they lie, or copies that are gone with their process."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from quorum.tracking.downloads import download


class Far(ArtifactRepository):  # type: ignore[misc]  # MLflow has no types
    """A repository on another machine, which is a folder."""

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        found: list[FileInfo] = LocalArtifactRepository(self.artifact_uri).list_artifacts(path)
        return found

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        shutil.copy(Path(self.artifact_uri) / remote_file_path, local_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a repository keeps."""
    (tmp_path / "kept" / "sub").mkdir(parents=True)
    (tmp_path / "kept" / "sub" / "a.txt").write_text("text")
    return tmp_path / "kept"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_nothing_is_copied_that_is_on_this_machine(folder: Path, temporary: Path) -> None:
    near = LocalArtifactRepository(str(folder))
    assert download(near, "sub/a.txt") == folder / "sub" / "a.txt"
    assert download(near) == folder
    assert list(temporary.iterdir()) == []


def test_what_is_fetched_is_where_quorum_cleans_up(folder: Path, temporary: Path) -> None:
    far = Far(str(folder))
    file, whole = download(far, "sub/a.txt"), download(far)
    assert file.read_text() == (whole / "sub" / "a.txt").read_text() == "text"
    assert sorted(temporary.iterdir()) == sorted({file.parents[1], whole})
    assert all(one.name.startswith("quorum-") for one in temporary.iterdir())


def test_nothing_is_left_of_what_could_not_be_fetched(folder: Path, temporary: Path) -> None:
    with pytest.raises(MlflowException, match="No such file"):
        download(Far(str(folder)), "absent")
    assert list(temporary.iterdir()) == []
