"""What runs hold, as typed data. Each field says once under which tag it is kept, so writing and reading agree.

A record that is to be written has no run yet: `run_id` is empty. One that was read has everything. Only this folder
sees MLflow's own entities.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from mlflow.entities import Run

from quorum.config import TrialConfig
from quorum.metric_names import LAST_EPOCH
from quorum.study.results import SeedResult
from quorum.tracking import schema
from quorum.versions import code_version


def _text(tag: str) -> Any:
    return field(default="", metadata={"tag": tag, "read": str})


def _number(tag: str) -> Any:
    return field(default=0, metadata={"tag": tag, "read": int})


def _object(tag: str) -> Any:
    return field(default_factory=dict, metadata={"tag": tag, "read": json.loads})


def _tagged(kind: type[Record]) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """Tag and reader of the fields that are kept as tags, by field."""
    return {f.name: (f.metadata["tag"], f.metadata["read"]) for f in fields(kind) if "tag" in f.metadata}


@dataclass(frozen=True, kw_only=True)
class Record:
    """A run of any kind.

    Attributes:
        kind: one of the schema's kinds.
        key: what a repeated command finds its unfinished run by.
        dataset, data_digest: name of the data set, and the digest of its images, labels and splits.
        data_source: the folder or library that the images were read from.
        code_version: of the code that computed.
        numerics: class of the machine that computed.
        reason: why the run failed or was stopped, or "".
        parent: run id of the run that it belongs to, or "".
        run_id, name, status: of the run. Empty before there is one.
        started: when it began, milliseconds since 1970; 0 before there is one.
        ended: whether it has an end.
        experiment_id, artifact_uri: where it is.
        params, metrics: as they were logged; a metric's last value.
    """

    kind: str = _text(schema.KIND)
    key: str = _text(schema.KEY)
    dataset: str = _text(schema.DATASET)
    data_digest: str = _text(schema.DATA_DIGEST)
    data_source: str = _text(schema.DATA_SOURCE)
    code_version: str = _text(schema.CODE_VERSION)
    numerics: str = _text(schema.NUMERICS)
    reason: str = _text(schema.REASON)
    parent: str = _text(schema.PARENT)
    run_id: str = ""
    name: str = ""
    status: str = ""
    started: int = 0
    ended: bool = False
    experiment_id: str = ""
    artifact_uri: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> Self:
        """The record of a run."""
        tags = run.data.tags
        kept = {name: read(tags[tag]) for name, (tag, read) in _tagged(cls).items() if tag in tags}
        return cls(
            **kept,
            run_id=run.info.run_id,
            name=run.info.run_name or "",
            status=run.info.status,
            started=run.info.start_time or 0,
            ended=bool(run.info.end_time),
            experiment_id=run.info.experiment_id,
            artifact_uri=run.info.artifact_uri,
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
        )

    @classmethod
    def tag_of(cls, name: str) -> str:
        """The tag that a field is kept under."""
        return _tagged(cls)[name][0]

    def tags(self) -> dict[str, str]:
        """The tags that it is written as, those without a value left out."""
        values = {tag: getattr(self, name) for name, (tag, _) in _tagged(type(self)).items()}
        return {tag: as_text(value) for tag, value in values.items() if value not in ("", 0, {})}

    @property
    def finished(self) -> bool:
        """Whether its work was done."""
        return self.status == schema.FINISHED


@dataclass(frozen=True, kw_only=True)
class SweepRecord(Record):
    """A sweep.

    Attributes:
        study_key: what it runs, whatever the code, the data and the machine.
    """

    study_key: str = _text(schema.STUDY_KEY)


@dataclass(frozen=True, kw_only=True)
class VoteRecord(Record):
    """A vote of registered models.

    Attributes:
        model_id: the logged model of the vote, where this run made it.
    """

    model_id: str = _text(schema.MODEL_ID)


@dataclass(frozen=True, kw_only=True)
class TrialRecord(Record):
    """A trial: one configuration over its seeds. A single training is a trial of one seed.

    Attributes:
        trial_fingerprint: of its configuration, whatever the seed.
        sweep_run_id: of the sweep that it belongs to, or "".
        stage, number: its place there.
        seed_runs: run ids by seed, once all of them have ended.
        model_id: the logged model of its best seed, or "" if those weights were not kept.
        best_seed_run: that seed's run.
        weights_run_id: of the training that its first weights come from, or "".
    """

    trial_fingerprint: str = _text(schema.TRIAL_FINGERPRINT)
    sweep_run_id: str = _text(schema.SWEEP)
    stage: str = _text(schema.STAGE)
    number: int = _number(schema.TRIAL)
    seed_runs: Mapping[str, str] = _object(schema.SEED_RUNS)
    model_id: str = _text(schema.MODEL_ID)
    best_seed_run: str = _text(schema.BEST_RUN)
    weights_run_id: str = _text(schema.WEIGHTS_RUN)

    def tags(self) -> dict[str, str]:
        """As of every record; the first trial of a stage has number 0."""
        return {**super().tags(), **({schema.TRIAL: str(self.number)} if self.stage else {})}


@dataclass(frozen=True, kw_only=True)
class TrainingRecord(TrialRecord):
    """A training: one configuration with one seed.

    Attributes:
        fingerprint: of its configuration, seed included.
        seed: its seed.
        varied: settings that its trial varies, in words; "" for a single training.
        diverged: why its loss was no longer finite, or "". Such a training is not repeated.
        stopped: where and why it ended before its last epoch, or "".
        shared_epochs, shared_with: epochs at its beginning that another run has trained, and that run.
    """

    fingerprint: str = _text(schema.FINGERPRINT)
    seed: int = _number(schema.SEED)
    varied: str = _text(schema.VARIED)
    diverged: str = _text(schema.DIVERGED)
    stopped: str = _text(schema.STOPPED)
    shared_epochs: int = _number(schema.SHARED_EPOCHS)
    shared_with: str = _text(schema.SHARED_WITH)

    def tags(self) -> dict[str, str]:
        """As of every record; seed 0 is a seed."""
        return {**super().tags(), schema.SEED: str(self.seed)}

    def result(self, *, reused: bool, here: str = "") -> SeedResult:
        """What came out, of a training that has ended.

        Args:
            reused: whether it had been trained before the sweep that asks.
            here: numerics class of who asks, if that matters.
        """
        failed = self.reason or self.diverged or "failed"
        ended = {name: self.metrics[name] for name in (LAST_EPOCH,) if name in self.metrics}
        return SeedResult(
            seed=self.seed,
            run_id=self.run_id,
            metrics=self.metrics if self.finished else ended,
            reason="" if self.finished else failed,
            reused=reused,
            source=self.sweep_run_id or self.run_id if reused else "",
            elsewhere=self.numerics if here and self.numerics != here else "",
            shared_epochs=self.shared_epochs,
        )


def trial_identity(config: TrialConfig, data_digest: str, numerics: str) -> dict[str, Any]:
    """Fields of a TrialRecord by which a trial is found again. Settings are resolved."""
    return {
        "dataset": config.dataset,
        "data_digest": data_digest,
        "code_version": code_version(config.model),
        "numerics": numerics,
        "trial_fingerprint": config.trial_fingerprint(),
    }


def training_identity(config: TrialConfig, data_digest: str, numerics: str) -> dict[str, Any]:
    """Fields of a TrainingRecord by which a training is found again. Settings are resolved, seed included."""
    identity = trial_identity(config, data_digest, numerics)
    return {**identity, "fingerprint": config.fingerprint(), "seed": config.seed}


def as_text(value: Any) -> str:
    """A tag's value as MLflow keeps it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
