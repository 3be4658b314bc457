"""Kept states: found again, bounded, deleted."""

from __future__ import annotations

from pathlib import Path

from quorum.config import TrialConfig
from quorum.shared_folder import SharedFolder
from quorum.sweeps.checkpoints import RUN, Checkpoints, state_bytes

CONFIG = TrialConfig(model="scratch-simple")
PLENTY = 1e12


def write(checkpoints: Checkpoints, node: str, size: int = 1000) -> None:
    assert checkpoints.reserve(node, CONFIG)
    with checkpoints.place(node).writing() as folder:
        folder.mkdir()
        (folder / "last.pt").write_bytes(b"0" * size)
    checkpoints.written(node, f"run of {node}")


def test_a_state_counts_once_it_is_written(tmp_path: Path) -> None:
    checkpoints = Checkpoints(SharedFolder(tmp_path, "kept"), PLENTY)
    assert checkpoints.reserve("a", CONFIG)
    assert not checkpoints.nodes
    write(checkpoints, "b")
    assert set(checkpoints.nodes) == {"b"}
    assert checkpoints.origin("b") == "run of b"
    assert 1000 <= checkpoints.peak < 1100


def test_what_an_interrupted_sweep_left_is_found_and_what_it_was_writing_is_deleted(tmp_path: Path) -> None:
    write(Checkpoints(SharedFolder(tmp_path, "kept"), PLENTY), "a")
    half = tmp_path / "kept" / "b"
    half.mkdir()
    (half / "last.pt").write_bytes(b"0")
    checkpoints = Checkpoints(SharedFolder(tmp_path, "kept"), PLENTY)
    assert set(checkpoints.nodes) == {"a"}
    assert not half.exists()
    assert (checkpoints.place("a").path / RUN).is_file()


def test_what_finds_no_room_is_refused_and_room_is_given_back(tmp_path: Path) -> None:
    weights = 4 * 545_098  # bytes of the parameters of scratch-simple for two classes; three times in a state
    checkpoints = Checkpoints(SharedFolder(tmp_path, "kept"), 3.5 * weights)
    assert checkpoints.reserve("a", CONFIG)
    assert not checkpoints.reserve("b", CONFIG)
    assert checkpoints.refused == 1
    checkpoints.drop(["a"])
    assert checkpoints.reserve("b", CONFIG)


def test_the_limit_is_half_of_the_free_disk_at_most(tmp_path: Path) -> None:
    assert Checkpoints(SharedFolder(tmp_path, "kept"), float("inf")).limit < 1e18


def test_all_of_them_go_at_the_end(tmp_path: Path) -> None:
    checkpoints = Checkpoints(SharedFolder(tmp_path, "kept"), PLENTY)
    write(checkpoints, "a")
    checkpoints.drop(["a", "unknown"])
    assert not checkpoints.nodes
    write(checkpoints, "b")
    checkpoints.clear()
    assert not (tmp_path / "kept").exists()


def test_the_peak_is_known_to_a_sweep_that_goes_on(tmp_path: Path) -> None:
    first = Checkpoints(SharedFolder(tmp_path, "kept"), PLENTY)
    write(first, "a", 300)
    write(first, "b", 200)
    first.drop(["a"])
    again = Checkpoints(SharedFolder(tmp_path, "kept"), PLENTY)
    assert again.peak == first.peak >= 500
    assert again.nodes == {"b"}


def test_an_average_takes_as_much_room_as_the_network() -> None:
    sizes = [state_bytes(CONFIG.replace(average=average)) for average in ("none", "ema")]
    assert sizes[1] - sizes[0] == sizes[0] // 3  # weights, the best epoch's, momenta
