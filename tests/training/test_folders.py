"""Where trainings keep what is not tracked yet."""

from __future__ import annotations

from pathlib import Path

from quorum.training.folders import WorkFolders


def test_each_run_has_folders_of_its_own() -> None:
    folders = WorkFolders(Path("work"))
    places = [
        place(run).path
        for run in ("a", "b")
        for place in (folders.state, folders.bundle, folders.artifacts, folders.checkpoints)
    ]
    assert len(set(places)) == 8
    assert all(place.parts[0] == "work" for place in places)
