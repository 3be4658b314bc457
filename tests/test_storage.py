"""Stored folders: whole or absent, each content once, checked when they are read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from quorum.errors import StorageError
from quorum.storage import MANIFEST, OBJECTS, Storage, content_of, parse_manifest
from tests.conftest import S3Server


@pytest.fixture(params=["path", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "path":
        yield Storage.at(str(tmp_path / "shared"), 1)
    elif request.param == "memory":
        yield Storage.at("memory://shared", 1)
        MemoryFileSystem.store.clear()
    else:
        server: S3Server = request.getfixturevalue("s3")
        yield Storage.at(f"{server.bucket()}/prefix", 1)


def files(folder: Path, **contents: str) -> dict[str, Path]:
    """Files to publish, by name."""
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in contents}


def stored(storage: Storage, key: str = "") -> list[str]:
    """Paths of all that lies below a key."""
    found, root = fsspec.core.url_to_fs(storage.url, use_listings_cache=False)
    return sorted(path.partition(f"{key}/")[2] for path in found.find(f"{root}/{key}"))


def fetched(storage: Storage, key: str, folder: Path) -> dict[str, str] | str:
    """A stored folder's texts by name, or what is wrong with it."""
    texts = {}
    for name, content in (storage.manifest(key) or {}).items():
        if problem := storage.fetch(key, name, content, folder / "fetched"):
            return problem
        texts[name] = (folder / "fetched").read_text()
    return texts


def test_what_is_published_is_fetched(storage: Storage, tmp_path: Path) -> None:
    assert storage.manifest("states/run") is None
    storage.publish("states/run", files(tmp_path / "local", last="1", best="2"))
    assert fetched(storage, "states/run", tmp_path) == {"last": "1", "best": "2"}


def test_contents_are_sent_once_and_go_when_nothing_names_them(storage: Storage, tmp_path: Path) -> None:
    first = storage.publish("run", files(tmp_path / "local", last="1", best="2"))
    path = f"{OBJECTS}/{first['best'][0]}"
    root, at = fsspec.core.url_to_fs(storage.url)
    written = root.modified(f"{at}/run/{path}")
    second = storage.publish("run", files(tmp_path / "local", last="3", best="2"))
    assert root.modified(f"{at}/run/{path}") == written
    assert stored(storage, "run") == sorted([MANIFEST, path, f"{OBJECTS}/{second['last'][0]}"])


def test_a_small_file_is_added_to_those_that_are_there(storage: Storage, tmp_path: Path) -> None:
    storage.publish("run", files(tmp_path / "local", last="1"))
    storage.add("run", "origin", "a")
    storage.add("run", "origin", "b")
    assert storage.text("run", "origin") == "b"
    assert storage.text("run", "other") is None
    assert storage.text("absent", "origin") is None
    assert fetched(storage, "run", tmp_path) == {"last": "1", "origin": "b"}
    assert len(stored(storage, "run")) == 3


def test_an_empty_folder_is_made_once(storage: Storage) -> None:
    storage.create("kept/sweep")
    storage.add("kept/sweep", "peak", "7")
    storage.create("kept/sweep")
    assert storage.text("kept/sweep", "peak") == "7"


def test_discarded_it_is_gone_with_all_below_it(storage: Storage, tmp_path: Path) -> None:
    storage.create("kept/sweep")
    for node in ("a", "b"):
        storage.publish(f"kept/sweep/{node}", files(tmp_path / "local", last=node * 1000))
    storage.publish("kept/other", files(tmp_path / "local", last="1"))
    assert set(storage.sizes("kept/sweep")) == {"a", "b"}
    assert all(1000 < size < 1200 for size in storage.sizes("kept/sweep").values())
    storage.discard("kept/sweep/a")
    assert set(storage.sizes("kept/sweep")) == {"b"}
    storage.discard("kept/sweep")
    storage.discard("kept/sweep")
    assert storage.sizes("kept/sweep") == {}
    assert fetched(storage, "kept/other", tmp_path) == {"last": "1"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_object_is_seen_and_written_anew(tmp_path: Path, damage: str) -> None:
    storage = Storage.at(str(tmp_path / "shared"), 1)
    local = files(tmp_path / "local", last="0123456789")
    [(digest, _)] = storage.publish("run", local).values()
    file = tmp_path / "shared" / "run" / OBJECTS / digest
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("01234" if damage == "cut" else "0123x56789")
    assert fetched(storage, "run", tmp_path) == (
        "last is missing" if damage == "gone" else "last does not have its checksum"
    )
    if damage == "flipped":  # of the right size, so that only its reader knows
        storage.discard("run")
    storage.publish("run", local)
    assert fetched(storage, "run", tmp_path) == {"last": "0123456789"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"../../evil": ["0", 1]}', '{"/evil": ["0", 1]}', '{"a": 1}', '{"a": ["0", "x"]}']
)
def test_a_damaged_manifest_is_told_and_counts_as_none(
    tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_manifest(text.encode())
    storage = Storage.at(str(tmp_path / "shared"), 1)
    storage.create("run")
    (tmp_path / "shared" / "run" / MANIFEST).write_text(text)
    assert storage.manifest("run") is None
    assert "run: the manifest is damaged" in capfd.readouterr().err


WRITES = ("put_file", "pipe_file", "rm_file", "rm")


def test_killed_at_any_of_its_writes_it_is_what_it_was_or_what_it_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, left = Storage("memory://killed"), [0]

    def count(name: str) -> None:
        call = getattr(MemoryFileSystem, name)

        def counted(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return call(*arguments, **named)

        monkeypatch.setattr(MemoryFileSystem, name, counted)

    for name in WRITES:
        count(name)
    old = files(tmp_path / "old", last="1", best="2")
    new = files(tmp_path / "new", last="3", best="4")
    before, after = {"last": "1", "best": "2"}, {"last": "3", "best": "4"}
    seen: dict[str, list[object]] = {"publish": [], "discard": []}
    for what, found in seen.items():
        for at in range(1, 20):
            key = f"{what}-{at}"
            storage.publish(key, old)
            left[0] = at
            try:
                storage.publish(key, new) if what == "publish" else storage.discard(key)
            except KeyboardInterrupt:
                left[0] = 0
                found.append(fetched(storage, key, tmp_path))
            else:
                left[0] = 0
                break
            storage.publish(key, new)
            assert fetched(storage, key, tmp_path) == after
            storage.discard(key)
            assert stored(storage, key) == []
    assert seen["publish"] == [before] * 3 + [after] * 2
    assert seen["discard"][0] == before
    assert set(map(str, seen["discard"][1:])) == {"{}"}
    MemoryFileSystem.store.clear()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("nowhere://bucket/prefix", "Protocol not known: nowhere"),
        ("gs://bucket/prefix", "needs a package that is not installed"),
        ("file.txt/inside", "cannot read check"),
        ("http://localhost:9/", "cannot"),
    ],
)
def test_a_place_that_is_no_storage_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, told: str
) -> None:
    (tmp_path / "file.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=told) as raised:
        Storage.at(place, 1)
    assert "\n" not in str(raised.value)


def test_a_bucket_that_is_not_there_is_told(s3: S3Server) -> None:
    with pytest.raises(StorageError, match=r"storage s3://absent: cannot write .*bucket does not exist"):
        Storage.at("s3://absent", 1)


def test_a_bucket_that_may_not_be_written_is_told(s3: S3Server) -> None:
    bucket = s3.bucket()
    with s3.closed(), pytest.raises(StorageError, match=f"storage {bucket}: cannot "):
        Storage.at(bucket, 1)


def test_an_endpoint_that_gives_no_answer_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorum.storage.PATIENCE", 1.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # which has the address of a server that answers
    with pytest.raises(StorageError, match=r"storage s3://silent: gives no answer within 1 seconds"):
        Storage.at("s3://silent", 1)


def test_passwords_are_masked() -> None:
    with pytest.raises(StorageError) as raised:
        Storage.at("ftp://user:secret@localhost:9/folder", 1)
    assert "secret" not in str(raised.value)
    assert "user:***@localhost" in str(raised.value)


def test_a_relative_path_is_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage.at("shared", 1).url == str(tmp_path / "shared")
    assert stored(Storage.at("shared", 1)) == []
    shutil.rmtree(tmp_path / "shared")


def test_the_content_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert content_of(tmp_path / "empty") == ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0)
