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
from mlflow.entities.model_registry import ModelVersion

from quorum.config import TrialConfig
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
        run_id, name, status: of the run. Empty before there is one.
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
    run_id: str = ""
    name: str = ""
    status: str = ""
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
        diverged: why its loss was no longer finite, or "". Such a training is not repeated.
        stopped: where and why it ended before its last epoch, or "".
        shared_epochs, shared_with: epochs at its beginning that another run has trained, and that run.
    """

    fingerprint: str = _text(schema.FINGERPRINT)
    seed: int = _number(schema.SEED)
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
        return SeedResult(
            seed=self.seed,
            run_id=self.run_id,
            metrics=self.metrics if self.finished else {},
            reason="" if self.finished else failed,
            reused=reused,
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


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    """A version of a registered model.

    Attributes:
        name, version: of it.
        model_id: the logged model that it is of.
        description: one line.
        mean, std, n: validation accuracy of its trial over n seeds, by which it was chosen; std is None for one seed.
        confirmed: mean of the metric that trials are ranked by over fresh seeds, which it was not chosen by; or None.
        confirmed_std, confirmed_n: of the fresh seeds.
        confirmed_run: the trial of the fresh seeds, or "".
        run_id: the training whose weights it has.
        trial_run_id: its trial.
        data_digest: of the data that it was trained on.
        settings: the trial's.
        members: of a vote, the URIs of its members, best first.
        rule: of a vote, how they vote, as JSON.
    """

    name: str
    version: str
    model_id: str
    description: str = ""
    mean: float | None = None
    std: float | None = None
    n: int = 0
    confirmed: float | None = None
    confirmed_std: float | None = None
    confirmed_n: int = 0
    confirmed_run: str = ""
    run_id: str = ""
    trial_run_id: str = ""
    data_digest: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    rule: str = ""

    @property
    def uri(self) -> str:
        """Its URI, which stays with it whatever the aliases do."""
        return f"models:/{self.name}/{self.version}"

    @classmethod
    def of(cls, version: ModelVersion) -> Self:
        """The record of a version."""
        tags: Mapping[str, str] = version.tags
        return cls(
            name=version.name,
            version=str(version.version),
            model_id=str(version.source).removeprefix("models:/"),
            description=version.description or "",
            mean=float(tags["mean"]) if "mean" in tags else None,
            std=float(tags["std"]) if "std" in tags and not tags["std"].startswith("none") else None,
            n=int(tags.get("n", 0)),
            confirmed=float(tags["confirmed_mean"]) if "confirmed_mean" in tags else None,
            confirmed_std=float(tags["confirmed_std"]) if "confirmed_std" in tags else None,
            confirmed_n=int(tags.get("confirmed_n", 0)),
            confirmed_run=tags.get("confirmed_run", ""),
            run_id=tags.get("run", ""),
            trial_run_id=tags.get("trial_run", ""),
            data_digest=tags.get("data_digest", ""),
            settings=json.loads(tags.get("configuration", "{}")),
            members=tuple(json.loads(tags.get(schema.MEMBERS, "[]"))),
            rule=tags.get(schema.RULE, ""),
        )

    def tags(self) -> dict[str, str]:
        """The tags that it is written as."""
        if self.members:
            rule = {schema.RULE: self.rule} if self.rule else {}
            return {schema.MEMBERS: json.dumps(list(self.members)), **rule}
        return {
            "mean": repr(self.mean),
            "std": repr(self.std) if self.std is not None else "none: one seed",
            "n": str(self.n),
            "run": self.run_id,
            "trial_run": self.trial_run_id,
            "data_digest": self.data_digest,
            "configuration": json.dumps(dict(self.settings), sort_keys=True),
            **self.confirmation_tags(),
        }

    def confirmation_tags(self) -> dict[str, str]:
        """The tags that say what fresh seeds gave; none where there were none."""
        if self.confirmed is None:
            return {}
        std = {} if self.confirmed_std is None else {"confirmed_std": repr(self.confirmed_std)}
        run = {"confirmed_n": str(self.confirmed_n), "confirmed_run": self.confirmed_run}
        return {"confirmed_mean": repr(self.confirmed), **std, **run}


def as_text(value: Any) -> str:
    """A tag's value as MLflow keeps it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
