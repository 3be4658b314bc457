"""The pixel store: whole or absent, keyed by content, and firm about bad images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from quorum.data import images, load_catalogue, pixel_store
from quorum.data.pixel_store import open_store
from quorum.errors import DataError
from quorum.versions import package_versions


def test_it_holds_every_image_as_pil_decodes_it(image_tree: Path, tmp_path: Path) -> None:
    store = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    assert store.size is None
    for i, file in enumerate(store.files):
        np.testing.assert_array_equal(store.image(i), np.asarray(Image.open(image_tree / file).convert("RGB")))
        assert store.classes[store.labels[i]] == file.partition("/")[0]


def test_images_of_one_size_are_read_together(tmp_path: Path) -> None:
    store = open_store(load_catalogue("digits", Path()), tmp_path / "stores")
    positions = store.splits["val"][[3, 0, 2, 0]]
    np.testing.assert_array_equal(store.stack(positions), np.stack([store.image(int(i)) for i in positions]))


def test_it_is_built_once(image_tree: Path, tmp_path: Path) -> None:
    calls: list[int] = []
    for _ in range(2):
        catalogue = load_catalogue("folder", Path(), image_tree)
        open_store(catalogue, tmp_path / "stores", progress=lambda done, _total: calls.append(done))
    assert calls == list(range(1, 41))


def test_a_changed_image_makes_another_store_and_digest(image_tree: Path, tmp_path: Path) -> None:
    before = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    Image.new("RGB", (9, 9)).save(image_tree / "red" / "00.png")
    after = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    assert before.digest != after.digest
    assert open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "other").digest == after.digest


def test_the_digest_is_of_content_not_of_times(image_tree: Path, tmp_path: Path) -> None:
    first = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    for file in image_tree.rglob("*.png"):
        content = file.read_bytes()
        time.sleep(0.001)
        file.write_bytes(content)
    second = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    assert first.digest == second.digest


def test_the_same_images_elsewhere_are_in_the_same_store(image_tree: Path, tmp_path: Path) -> None:
    first = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    shutil.copytree(image_tree, tmp_path / "copy")
    second = open_store(load_catalogue("folder", Path(), tmp_path / "copy"), tmp_path / "stores")
    assert second.folder == first.folder


def test_swapping_the_contents_of_files_of_one_size_and_time_is_seen(image_tree: Path, tmp_path: Path) -> None:
    """Proved to be linked as the old result when a stamp was size and time of content."""
    one, other = image_tree / "red" / "bmp1.bmp", image_tree / "blue" / "bmp2.bmp"
    for file, color in ((one, "red"), (other, "blue")):
        Image.new("RGB", (9, 9), color).save(file)
    for file in image_tree.rglob("*.*"):
        os.utime(file, ns=(10**18, 10**18))
    before = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores").digest
    contents = one.read_bytes(), other.read_bytes()
    assert len(contents[0]) == len(contents[1])
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    for file in (one, other):
        os.utime(file, ns=(10**18, 10**18))
    assert open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores").digest != before


def test_resizing_sets_the_shorter_side(image_tree: Path, tmp_path: Path) -> None:
    store = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores", resize=16)
    assert (np.minimum(store.heights, store.widths) == 16).all()


def break_images(tree: Path) -> None:
    whole = (tree / "red" / "03.png").read_bytes()
    (tree / "red" / "03.png").write_bytes(whole[: len(whole) // 2])
    (tree / "blue" / "07.png").write_text("no image")
    (tree / "blue" / "08.png").write_bytes(b"")


def test_bad_images_are_named_counted_and_refused(image_tree: Path, tmp_path: Path) -> None:
    break_images(image_tree)
    for _ in range(2):  # the second time from the stored pixels
        with pytest.raises(DataError, match=r"3 of 40 images cannot be used: blue/07.png: .*skip_bad=true"):
            open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")


def test_bad_images_are_left_out_on_request(image_tree: Path, tmp_path: Path) -> None:
    break_images(image_tree)
    store = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores", skip_bad=True)
    assert len(store.files) == 37
    assert len(store.skipped) == 3
    assert sum(store.counts().values()) == 37
    for i, file in enumerate(store.files):
        assert store.classes[store.labels[i]] == file.partition("/")[0]


def test_an_interrupted_build_leaves_nothing(image_tree: Path, tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    catalogue = load_catalogue("folder", Path(), image_tree)
    with pytest.raises(KeyboardInterrupt):
        open_store(catalogue, tmp_path / "stores", progress=stop)
    assert not [path for path in (tmp_path / "stores").iterdir() if path.is_dir()]
    assert len(open_store(catalogue, tmp_path / "stores").files) == 40


KILLED = """
import os, signal, sys
from pathlib import Path
from quorum.data import load_catalogue
from quorum.data.pixel_store import open_store

catalogue = load_catalogue("folder", Path(), Path(sys.argv[1]))
open_store(catalogue, Path(sys.argv[2]), progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.slow
def test_what_a_killed_process_left_is_removed_also_where_an_image_has_changed(
    image_tree: Path, tmp_path: Path
) -> None:
    stores = tmp_path / "stores"
    subprocess.run([sys.executable, "-c", KILLED, image_tree, stores], check=False)
    assert [path for path in stores.iterdir() if path.is_dir()]
    Image.new("RGB", (9, 9)).save(image_tree / "red" / "00.png")
    store = open_store(load_catalogue("folder", Path(), image_tree), stores)
    assert store.folder is not None
    assert [path for path in stores.iterdir() if path.is_dir()] == [store.folder.path]


def test_what_an_older_pillow_or_torch_decoded_is_decoded_anew(
    image_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = load_catalogue("folder", Path(), image_tree)
    stores = [open_store(catalogue, tmp_path / "stores")]
    real = package_versions()
    for name in ("pillow", "torch", "optuna"):
        monkeypatch.setattr(pixel_store, "package_versions", lambda name=name: {**real, name: "0"})
        stores.append(open_store(catalogue, tmp_path / "stores"))
    assert [store.folder == stores[0].folder for store in stores] == [True, False, False, True]
    assert len({store.digest for store in stores}) == 1


def test_what_a_pillow_without_a_codec_could_not_read_is_read_by_one_that_has_it(
    image_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (20, 20)).save(image_tree / "red" / "new.webp")
    catalogue = load_catalogue("folder", Path(), image_tree)
    with monkeypatch.context() as without:
        version = features.version
        without.setattr(features, "version", lambda name: None if name == "webp" else version(name))
        without.setattr(images, "FORMATS", tuple(kind for kind in images.FORMATS if kind != "WEBP"))
        with pytest.raises(DataError, match=r"1 of 41 images cannot be used: red/new\.webp"):
            open_store(catalogue, tmp_path / "stores")
    assert len(open_store(catalogue, tmp_path / "stores").files) == 41


def flip(file: Path) -> None:
    """Change one byte in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.family
@pytest.mark.parametrize("damage", [flip, cut, empty])
@pytest.mark.parametrize("name", ["pixels.bin", "index.npz", "meta.json", "checksums.json"])
def test_a_damaged_store_is_told_and_made_anew(
    image_tree: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Callable[[Path], None], name: str
) -> None:
    catalogue = load_catalogue("folder", Path(), image_tree)
    first = open_store(catalogue, tmp_path / "stores")
    pixels = np.array(first.pixels)
    assert first.folder is not None
    damage(first.folder.path / name)
    second = open_store(catalogue, tmp_path / "stores")
    told = capfd.readouterr().err
    assert "this pixel store is damaged" in told
    assert len(told.splitlines()) == 1
    np.testing.assert_array_equal(second.pixels, pixels)
    assert second.digest == first.digest
    open_store(catalogue, tmp_path / "stores")
    assert not capfd.readouterr().err


def test_a_byte_that_changed_behind_its_time_is_seen_when_all_is_verified(
    image_tree: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    catalogue = load_catalogue("folder", Path(), image_tree)
    first = open_store(catalogue, tmp_path / "stores")
    assert first.folder is not None
    file = first.folder.path / "pixels.bin"
    times = file.stat()
    flip(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    open_store(catalogue, tmp_path / "stores", verify=True)
    assert "pixels.bin does not have its checksum" in capfd.readouterr().err
