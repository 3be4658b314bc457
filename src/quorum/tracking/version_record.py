"""A version of a registered model as typed data, and the tags that it is kept under."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mlflow.entities.model_registry import ModelVersion

from quorum.tracking import schema

DIGITS = 4  # decimals of accuracies in tags
ONE_SEED = "none: one seed"  # in the place of a standard deviation


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
        model: the network.
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
    model: str = ""
    members: tuple[str, ...] = ()
    rule: str = ""

    @property
    def uri(self) -> str:
        """Its URI, which stays with it whatever the aliases do."""
        return f"models:/{self.name}/{self.version}"

    @classmethod
    def of(cls, version: ModelVersion) -> Self:
        """The record of a version."""
        tags = {_name_of(key): value for key, value in version.tags.items()}
        return cls(
            name=version.name,
            version=str(version.version),
            model_id=str(version.source).removeprefix("models:/"),
            description=version.description or "",
            mean=_number(tags, "mean"),
            std=_number(tags, "std"),
            n=int(tags.get("n", 0)),
            confirmed=_number(tags, "confirmed_mean"),
            confirmed_std=_number(tags, "confirmed_std"),
            confirmed_n=int(tags.get("confirmed_n", 0)),
            confirmed_run=tags.get("confirmed_run", ""),
            run_id=tags.get("run", ""),
            trial_run_id=tags.get("trial_run", ""),
            data_digest=tags.get("data_digest", ""),
            model=tags.get("model") or json.loads(tags.get("configuration", "{}")).get("model", ""),
            members=tuple(json.loads(version.tags.get(schema.MEMBERS, "[]"))),
            rule=version.tags.get(schema.RULE, ""),
        )

    def tags(self) -> dict[str, str]:
        """The tags that it is written as, their figures rounded: the runs have all digits."""
        if self.members:
            rule = {schema.RULE: self.rule} if self.rule else {}
            return {schema.MEMBERS: json.dumps(list(self.members)), **rule}
        values = {
            "mean": f"{self.mean:.{DIGITS}f}",
            "std": _std(self.std),
            "n": str(self.n),
            "run": self.run_id,
            "trial_run": self.trial_run_id,
            "data_digest": self.data_digest,
            "model": self.model,
        }
        return {**_tags(values), **self.confirmation_tags()}

    def confirmation_tags(self) -> dict[str, str]:
        """The tags that say what fresh seeds gave; none where there were none."""
        if self.confirmed is None:
            return {}
        values = {
            "confirmed_mean": f"{self.confirmed:.{DIGITS}f}",
            "confirmed_std": _std(self.confirmed_std),
            "confirmed_n": str(self.confirmed_n),
            "confirmed_run": self.confirmed_run,
        }
        return _tags(values)


def _tags(values: Mapping[str, str]) -> dict[str, str]:
    return {schema.VERSION + name: value for name, value in values.items()}


def _name_of(tag: str) -> str:
    """What a tag of a version is called without its prefix, which earlier versions of this package did not write."""
    return tag.removeprefix(schema.VERSION)


def _std(std: float | None) -> str:
    return ONE_SEED if std is None else f"{std:.{DIGITS}f}"


def _number(tags: Mapping[str, str], name: str) -> float | None:
    return float(tags[name]) if tags.get(name, ONE_SEED) != ONE_SEED else None
