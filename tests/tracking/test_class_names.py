"""Which classes a registered model has, as far as its versions tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from quorum.errors import RegistryError
from quorum.tracking import schema
from quorum.tracking.class_names import check_registered_classes
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum


@pytest.fixture
def store(quorum: Quorum) -> TrackingStore:
    return connect()


def register(store: TrackingStore, folder: Path, *classes: str) -> str:
    """A version of `quorum-pets` that was trained on these classes."""
    folder.mkdir(exist_ok=True)
    (folder / schema.CONFUSION).write_text(f",{','.join(classes)}\n")
    with begin_run(store, "a training", Record(kind="seed")) as log:
        log.artifacts(folder)
    return _version("quorum-pets", run_id=log.run_id, tags={"quorum.run": log.run_id})


def register_vote(*members: str) -> str:
    return _version("quorum-pets-vote", tags={schema.MEMBERS: json.dumps(members)})


def _version(name: str, **more: Any) -> str:
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, "file:///nowhere", **more)
    return f"models:/{name}/{made.version}"


def test_other_classes_than_those_of_a_votes_first_member_are_refused(store: TrackingStore, tmp_path: Path) -> None:
    register_vote(register(store, tmp_path / "files", "cat", "dog"))
    check_registered_classes(store, "quorum-pets-vote", ["cat", "dog"])
    with pytest.raises(RegistryError, match=r"not those of version 1 \(without: dog\)"):
        check_registered_classes(store, "quorum-pets-vote", ["cat"])


def test_a_vote_whose_member_was_deleted_tells_none_and_the_one_before_does(
    store: TrackingStore, tmp_path: Path
) -> None:
    first, second = (register(store, tmp_path / "files", "cat", "dog") for _ in range(2))
    register_vote(first)
    register_vote(second)
    MlflowClient().delete_model_version("quorum-pets", second.rpartition("/")[2])
    check_registered_classes(store, "quorum-pets-vote", ["cat", "dog"])
    with pytest.raises(RegistryError, match="not those of version 1"):
        check_registered_classes(store, "quorum-pets-vote", ["cat"])
    MlflowClient().delete_model_version("quorum-pets", first.rpartition("/")[2])
    check_registered_classes(store, "quorum-pets-vote", ["cat"])  # nothing tells any more
