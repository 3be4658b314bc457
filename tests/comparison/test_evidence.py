"""What the runs of stored trainings say of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from quorum.comparison.evidence import test_interval as interval_of_test
from quorum.comparison.trainings import StoredTrainings
from quorum.study.model import Study
from quorum.study.results import SeedResult
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum

STUDY = Study.model_validate({"dataset": "digits", "stages": [{"name": "lr", "vary": {"lr": [0.1]}}]})


@pytest.fixture
def store(quorum: Quorum) -> TrackingStore:
    return connect()


def predicted(store: TrackingStore, folder: Path, answer: str) -> str:
    """A run whose best epoch predicts one class for three test images of the class x."""
    frame = pd.DataFrame({"split": ["val", *["test"] * 3], "file": list("abcd"), "true": "x", "predicted": answer})
    folder.mkdir(exist_ok=True)
    frame.to_csv(folder / "predictions.csv", index=False)
    with begin_run(store, "a training", Record(kind="seed")) as log:
        log.artifacts(folder)
    return log.run_id


def test_a_test_accuracy_has_an_interval_where_it_is_of_the_epoch_that_was_kept(
    store: TrackingStore, tmp_path: Path
) -> None:
    run_ids = [predicted(store, tmp_path / "files", "x") for _ in range(2)]
    stored = StoredTrainings(finished={seed: SeedResult(seed, run_id) for seed, run_id in enumerate(run_ids)})
    found = interval_of_test(store, stored, STUDY)
    assert found is not None
    assert (found.low, found.high) == (1, 1)
    last = STUDY.model_copy(update={"accuracy": "last"})
    assert interval_of_test(store, stored, last) is None
    assert interval_of_test(store, StoredTrainings(), STUDY) is None
