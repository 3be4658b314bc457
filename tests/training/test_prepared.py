"""Prepared trainings that are sent to another machine."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from quorum.data import load_catalogue
from quorum.data.pixel_store import open_store
from quorum.errors import DataError, ModelError, StorageError
from quorum.models import file_digest
from quorum.shared_folder import SharedFolder
from quorum.storage import Storage
from quorum.training.prepared import FirstWeights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the machine that sends."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(str(tmp_path / "shared"), 1)


def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to the machine that receives."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")


def test_first_weights_reach_a_machine_that_lacks_the_file(
    here: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = here / "first.pt"
    file.write_bytes(b"weights")
    folder = SharedFolder(Path(".quorum"), "first-weights/0", storage)
    weights = FirstWeights(file, file_digest(file), folder=folder)
    with weights.reading() as read:
        assert read == file
    assert not list((tmp_path / "shared").glob("*"))  # nobody was sent them yet
    sent = pickle.dumps(weights)
    file.write_bytes(b"another")
    move(tmp_path, monkeypatch)
    received = pickle.loads(sent)  # noqa: S301 (made above)
    with received.reading() as read:
        assert read.read_bytes() == b"weights"
        assert read.resolve().is_relative_to(tmp_path / "there")
    folder.discard()
    with pytest.raises(ModelError, match=r"first\.pt is not there"), received.reading():
        pass


def test_without_a_storage_weights_are_their_file(tmp_path: Path) -> None:
    weights = FirstWeights(tmp_path / "first.pt", "0")
    sent = pickle.loads(pickle.dumps(weights))  # noqa: S301 (made here)
    assert sent == weights


def test_weights_that_have_changed_since_they_were_hashed_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "latest.pt"
    file.write_bytes(b"weights")
    weights = FirstWeights(file, file_digest(file))
    with weights.reading() as read:
        assert read == file
    file.write_bytes(b"other weights")  # of another size: stamps may not tell so soon
    with pytest.raises(ModelError, match=r"weights: .*latest\.pt: was changed while it was used"), weights.reading():
        pass
    file.unlink()
    with pytest.raises(ModelError, match=r"weights: .*latest\.pt: was removed while it was used"), weights.reading():
        pass


def test_pixels_reach_a_machine_that_lacks_them(
    here: Path, image_tree: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(load_catalogue("folder", Path(), image_tree), Path(".quorum/pixels"), storage=storage)
    assert not list((tmp_path / "shared").glob("*"))  # nobody was sent them yet
    sent = pickle.dumps(store)
    shutil.rmtree(here / ".quorum")
    move(tmp_path, monkeypatch)
    received = pickle.loads(sent)  # noqa: S301 (made above)
    assert received.digest == store.digest
    assert (received.pixels == store.pixels).all()
    [pixels] = (tmp_path / "there").rglob("pixels.bin")
    sums = pixels.with_name("checksums.json")
    assert pixels.stat().st_mtime_ns <= sums.stat().st_mtime_ns  # so that nobody takes them for changed
    assert pickle.loads(sent) is received  # noqa: S301 (made above)


def test_pixels_that_were_removed_while_they_were_used_are_not_sent(
    here: Path, image_tree: Path, storage: Storage
) -> None:
    store = open_store(load_catalogue("folder", Path(), image_tree), Path(".quorum/pixels"), storage=storage)
    shutil.rmtree(here / ".quorum")
    with pytest.raises(StorageError, match="was removed while it was used"):
        pickle.dumps(store)


def test_pixels_that_the_storage_has_lost_are_told(
    here: Path, image_tree: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(load_catalogue("folder", Path(), image_tree), Path(".quorum/lost"), storage=storage)
    sent = pickle.dumps(store)
    assert store.folder is not None
    storage.discard(store.folder.key)
    move(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="this pixel store is gone"):
        pickle.loads(sent)  # noqa: S301 (made above)
