"""Records are written and read alike, field by field."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.tracking import MlflowClient

from quorum.config import TrialConfig
from quorum.tracking import schema
from quorum.tracking.records import Record, TrainingRecord, TrialRecord, training_identity
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
from quorum.tracking.version_record import VersionRecord
from tests.conftest import Quorum

CONFIG = TrialConfig(
    input_size=32, resize=32, eval_resize=32, normalize="half", activations="computed", precision="float32", seed=3
)

RECORDS = [
    Record(kind="data", key="k", dataset="digits", data_digest="d", code_version="c"),
    TrialRecord(kind="trial", stage="lr", number=0, seed_runs={"0": "a", "1": "b"}, sweep_run_id="s", model_id="m"),
    TrainingRecord(
        kind="seed", **training_identity(CONFIG, "d", "cpu x"), shared_epochs=4, shared_with="r", diverged="nan"
    ),
    TrainingRecord(kind="train", seed=0),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_what_is_written_is_read(quorum: Quorum, record: Record) -> None:
    with begin_run(connect(), "a run", record) as log:
        log.params({"lr": 0.1})
        log.metrics({"val_accuracy/mean": 0.5})
    read = type(record).of(MlflowClient().get_run(log.run_id))
    fields = [f.name for f in dataclasses.fields(record) if "tag" in f.metadata]
    assert {name: getattr(read, name) for name in fields} == {name: getattr(record, name) for name in fields}
    assert (read.run_id, read.name, read.finished, read.ended) == (log.run_id, "a run", True, True)
    assert (read.params, read.metrics) == ({"lr": "0.1"}, {"val_accuracy/mean": 0.5})


def test_as_many_seeds_as_a_trial_may_have_are_read_again(quorum: Quorum) -> None:
    seeds = {str(2**31 - 1 - n): "f" * 32 for n in range(schema.MAX_SEEDS)}
    with begin_run(connect(), "a trial", TrialRecord(kind="trial")) as log:
        log.metrics({}, seed_runs=seeds)
    assert TrialRecord.of(MlflowClient().get_run(log.run_id)).seed_runs == seeds


def test_each_tag_belongs_to_one_field() -> None:
    tags = [f.metadata["tag"] for f in dataclasses.fields(TrainingRecord) if "tag" in f.metadata]
    assert len(set(tags)) == len(tags) > 15
    constants = {value for name, value in vars(schema).items() if name.isupper() and isinstance(value, str)}
    assert set(tags) <= constants


def test_a_result_is_what_was_measured_or_why_it_failed() -> None:
    done = TrainingRecord(seed=2, run_id="r", status=schema.FINISHED, metrics={"best/val_accuracy": 0.7})
    assert done.result(reused=True).val_accuracy == 0.7
    assert (done.result(reused=True).reused, done.result(reused=True).reason) == (True, "")
    failed = TrainingRecord(seed=2, run_id="r", status=schema.FAILED, reason="the loss is nan", metrics={"lr": 0.1})
    assert (failed.result(reused=False).reason, dict(failed.result(reused=False).metrics)) == ("the loss is nan", {})


def test_a_field_that_no_record_has_is_refused(quorum: Quorum) -> None:
    with begin_run(connect(), "a run", Record(kind="train")) as log, pytest.raises(KeyError):
        log.set(seed_runs={})


def as_tags(tags: dict[str, str]) -> list[ModelVersionTag]:
    return [ModelVersionTag(key, value) for key, value in tags.items()]


def test_a_version_is_written_as_it_is_read() -> None:
    version = VersionRecord(
        name="quorum-digits", version="1", model_id="m", mean=0.51239, std=None, n=1, run_id="r", model="alexnet"
    )
    tags = version.tags()
    assert (tags["quorum.std"], tags["quorum.mean"]) == ("none: one seed", "0.5124")
    assert all(tag.startswith("quorum.") for tag in tags)
    read = VersionRecord.of(ModelVersion("quorum-digits", "1", 0, source="models:/m", tags=as_tags(tags)))
    assert read == replace(version, mean=0.5124)
    old = {"mean": "0.51239", "std": "0.25", "n": "3", "run": "r", "configuration": '{"model": "alexnet"}'}
    earlier = VersionRecord.of(ModelVersion("quorum-digits", "1", 0, source="models:/m", tags=as_tags(old)))
    assert (earlier.mean, earlier.std, earlier.n, earlier.model) == (0.51239, 0.25, 3, "alexnet")
    assert version.uri == "models:/quorum-digits/1"
    vote = VersionRecord(name="v", version="2", model_id="m", members=("models:/a/1", "models:/a/2"))
    assert vote.tags() == {schema.MEMBERS: '["models:/a/1", "models:/a/2"]'}
