"""What the runs of stored trainings say of them: where they come from, and how sure their test accuracy is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from quorum.comparison.trainings import StoredTrainings
from quorum.inference import Interval, two_way_interval
from quorum.study.model import Study
from quorum.tracking import schema
from quorum.tracking.queries import artifact, predictions
from quorum.tracking.store import TrackingStore
from quorum.versions import code_version


def origins(store: TrackingStore, stored: StoredTrainings, model: str) -> str:
    """Whether a row's trainings, of a network by name, were made by other code than the present, and which others were
    left out."""
    notes = []
    if (stored.finished or stored.failed) and stored.origin.code_version != code_version(model):
        notes.append(f"made by other code than the present{_commit(store, stored.run_id)}")
    for other in stored.left_out:
        origin, count = other.origin, len(other.finished) + len(other.failed)
        why = [
            what
            for name, what in (
                ("data_digest", "on other data"),
                ("code_version", f"by other code{_commit(store, other.run_id)}"),
                ("numerics", f"on {origin.numerics or 'another machine'}"),
                ("weights_digest", "from other weights"),
            )
            if getattr(origin, name) != getattr(stored.origin, name)
        ]
        diverged = f", {len(other.failed)} of which diverged" if other.failed else ""
        notes.append(f"left out: {count} seed{'s' * (count > 1)} {', '.join(why)}{diverged}")
    return "; ".join(notes)


def test_interval(store: TrackingStore, stored: StoredTrainings, study: Study) -> Interval | None:
    """The interval of the test accuracy over seeds and images. None for a study of last epochs, since trainings keep
    what the best epoch's weights predict."""
    if study.accuracy == "last":
        return None
    right = []
    for seed in stored.finished.values():
        if artifact(store, seed.run_id, schema.PREDICTIONS) is None:
            return None
        frame = predictions(store, seed.run_id)
        tested = frame[frame["split"] == "test"]
        right.append((tested["true"] == tested["predicted"]).to_numpy())
    return two_way_interval(np.stack(right)) if right else None


def environments(store: TrackingStore, used: Iterable[str]) -> list[str]:
    """Machine, packages and code of the trainings that the page rests on."""
    runs: dict[str, int] = {}
    for run_id in used:
        file = artifact(store, run_id, schema.ENVIRONMENT)
        if file is not None:
            text = _environment(json.loads(file.read_text()))
            runs[text] = runs.get(text, 0) + 1
    return [f"{count} training{'s' * (count > 1)}: {text}" for text, count in runs.items()]


def _commit(store: TrackingStore, run_id: str) -> str:
    """The commit that a run was made at, in brackets; "" where that is not known, as of trainings that diverged."""
    file = artifact(store, run_id, schema.ENVIRONMENT) if run_id else None
    commit = json.loads(file.read_text()).get("git_commit", "") if file is not None else ""
    return f" (commit {commit[:12]})" if commit else ""


def _environment(entry: Mapping[str, Any]) -> str:
    """One line of an environment.json: packages, machine, threads and commit."""
    packages, machine = entry["packages"], entry["machine"]
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    place = f"{machine['processor']}, {machine['cores']} cores, {machine['torch_threads']} torch threads"
    card = "" if machine["accelerator"] == "none" else f", {machine['accelerator']}"
    commit = f"commit {entry['git_commit'][:12]}, " if entry["git_commit"] else ""
    return f"{commit}code {entry['code_version']}; {place}{card}; {listed}"
