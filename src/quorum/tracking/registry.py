"""The model registry: promoting trials to aliased versions, the ledger of what they replaced, and rolling back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow.exceptions import MlflowException

from quorum import metric_names
from quorum.errors import RegistryError
from quorum.tracking import schema
from quorum.tracking.queries import trials
from quorum.tracking.records import TrialRecord, VersionRecord
from quorum.tracking.store import TrackingStore

MODELS = "models:/"
CURRENT = "current"  # alias of the registered vote that was taken last
LEDGER = f"{schema.PROMOTION}."  # tags of a registered model: one entry for each promotion that changed an alias
Aliases = dict[str, str]  # alias -> version


def model_name(dataset_name: str) -> str:
    """Name of the registered model of a data set."""
    return f"quorum-{dataset_name}"


@dataclass(frozen=True)
class Candidate:
    """A finished trial that can be promoted.

    Attributes:
        trial: its record.
        value: the metric it is ranked by.
    """

    trial: TrialRecord
    value: float


def candidates(store: TrackingStore, dataset: str, metric: str, count: int) -> tuple[list[Candidate], int]:
    """The best finished trials of a data set, over all sweeps, models and single trainings.

    A configuration counts once, however often it was run. All candidates saw the same data: that of the trial that
    finished last.

    Args:
        store: the tracking store.
        dataset: name of the data set.
        metric: a trial's metric; losses are better when lower.
        count: how many.

    Returns:
        The candidates, best first, and the number of trials left out because they saw other data.

    Raises:
        RegistryError: where there are fewer.
    """
    lower = "loss" in metric
    order = f"metrics.`{metric}` {'ASC' if lower else 'DESC'}"
    newest = next(trials(store, dataset, metric=metric), None)
    digest = newest.data_digest if newest else ""
    found: dict[str, Candidate] = {}
    others = 0
    for trial in trials(store, dataset, metric=metric, order_by=order):
        if trial.data_digest != digest:
            others += 1
        else:
            found.setdefault(trial.trial_fingerprint, Candidate(trial, trial.metrics[metric]))
            if len(found) == count:
                break
    if len(found) < count:
        raise RegistryError(
            f"{dataset}: {len(found)} finished trials with different settings and a {metric}, where {count} are "
            f"wanted; run a sweep first{f', or give top={len(found)}' if found else ''}"
        )
    return list(found.values()), others


@dataclass(frozen=True)
class Promotion:
    """What a promotion or a rollback did.

    Attributes:
        name: of the registered model.
        before, after: the aliases `best-N` and their versions.
    """

    name: str
    before: Aliases
    after: Aliases

    @property
    def changed(self) -> bool:
        """Whether any alias moved."""
        return self.before != self.after


def point_aliases(store: TrackingStore, name: str, description: str, chosen: Sequence[Candidate]) -> Promotion:
    """Point `best-1`, `best-2`, ... of a registered model at candidates, best first.

    A candidate that has a version keeps it, so that promoting twice changes nothing. What the aliases pointed at
    before goes into the ledger first.

    Raises:
        RegistryError: where a candidate's weights were not kept.
    """
    for place, candidate in enumerate(chosen, 1):
        if not candidate.trial.model_id:
            raise RegistryError(
                f"the trial in place {place}, run {candidate.trial.run_id}, kept no weights; run its sweep again "
                f"with a higher keep= and reuse=false"
            )
    client = store.client
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    if client.get_registered_model(name).description != description:
        client.update_registered_model(name, description)
    known = {version.model_id: version for version in versions(store, name)}
    after = {
        f"best-{place}": (known.get(candidate.trial.model_id) or _create(store, name, candidate.trial)).version
        for place, candidate in enumerate(chosen, 1)
    }
    promotion = Promotion(name, best_aliases(store, name), after)
    if promotion.changed:
        _write_ledger(store, promotion)
        _set_aliases(store, promotion)
    return promotion


def rollback(store: TrackingStore, name: str) -> Promotion:
    """Put the aliases back to what they were before the last promotion that has not been rolled back.

    Raises:
        RegistryError: where there is none.
    """
    try:
        ledger = ledger_entries(store, name)
    except MlflowException as error:
        raise RegistryError(f"{name}: no such registered model, so there is nothing to roll back") from error
    if not ledger:
        raise RegistryError(f"{name}: no promotion that could be rolled back")
    key, last = max(ledger.items())
    promotion = Promotion(name, best_aliases(store, name), dict(last["before"]))
    for version in promotion.after.values():
        version_of(store, f"{MODELS}{name}/{version}")  # all are looked up before one alias moves
    _set_aliases(store, promotion)
    store.client.delete_registered_model_tag(name, key)
    return promotion


def ledger_entries(store: TrackingStore, name: str) -> dict[str, Mapping[str, Aliases]]:
    """The promotions of a registered model that have not been rolled back, by tag, the oldest first."""
    entries = store.client.get_registered_model(name).tags
    return {key: json.loads(entries[key]) for key in sorted(entries) if key.startswith(LEDGER)}


def best_aliases(store: TrackingStore, name: str) -> Aliases:
    """The aliases `best-N` of a registered model and their versions."""
    aliases = store.client.get_registered_model(name).aliases
    return {alias: str(aliases[alias]) for alias in sorted(aliases) if re.fullmatch(r"best-\d+", alias)}


def best_members(store: TrackingStore, name: str) -> list[str]:
    """URIs of the versions that the aliases `best-1`, `best-2`, ... point at.

    Raises:
        RegistryError: where nothing has been promoted.
    """
    if not store.client.search_registered_models(f"name = '{name}'") or not (aliases := best_aliases(store, name)):
        raise RegistryError(f"{name}: no promoted model; run `quorum promote` first, or name members with models=")
    ordered = sorted(aliases, key=lambda alias: int(alias.removeprefix("best-")))
    return [f"{MODELS}{name}/{aliases[alias]}" for alias in ordered]


def register(store: TrackingStore, version: VersionRecord) -> VersionRecord:
    """Register a logged model as a version, and the registered model if there is none. Returns it with its number."""
    if not store.client.search_registered_models(f"name = '{version.name}'"):
        store.client.create_registered_model(version.name)
    made = store.client.create_model_version(
        version.name,
        MODELS + version.model_id,
        version.run_id,
        tags=version.tags(),
        description=version.description,
        model_id=version.model_id,
    )
    return VersionRecord.of(made)


def vote_name(dataset_name: str) -> str:
    """Name of the registered vote of a data set."""
    return f"{model_name(dataset_name)}-vote"


def register_vote(store: TrackingStore, version: VersionRecord) -> VersionRecord:
    """Register a vote, unless it has a version already, and point the alias `current` at it."""
    registered = version if version.version else register(store, version)
    store.client.set_registered_model_alias(registered.name, CURRENT, registered.version)
    return registered


def vote_version(store: TrackingStore, name: str, members: Sequence[str]) -> VersionRecord | None:
    """The newest version of a registered vote that has these members, in this order."""
    found = [version for version in versions(store, name) if version.members == tuple(members)]
    return max(found, key=lambda version: int(version.version), default=None)


def version_of(store: TrackingStore, uri: str) -> VersionRecord | None:
    """The version that `models:/NAME/VERSION` or `models:/NAME@ALIAS` names; None for a URI of another kind.

    Raises:
        RegistryError: where it names one that is not there.
    """
    name, at, alias = uri.removeprefix(MODELS).partition("@")
    if not uri.startswith(MODELS) or (not at and "/" not in name):
        return None
    try:
        if at:
            return VersionRecord.of(store.client.get_model_version_by_alias(name, alias))
        return VersionRecord.of(store.client.get_model_version(*name.split("/", 1)))
    except MlflowException as error:
        raise RegistryError(f"{uri}: no such model version ({' '.join(str(error).split())[:160]})") from error


def versions(store: TrackingStore, name: str) -> list[VersionRecord]:
    """All versions of a registered model; none where there is no such model."""
    found: list[VersionRecord] = []
    token = None
    while True:
        page = store.client.search_model_versions(f"name = '{name}'", page_token=token)
        found += map(VersionRecord.of, page)
        token = page.token
        if not token:
            return found


def _create(store: TrackingStore, name: str, trial: TrialRecord) -> VersionRecord:
    metrics, accuracy = trial.metrics, metric_names.trial_metric(metric_names.BEST_VAL_ACCURACY)
    return register(
        store,
        VersionRecord(
            name=name,
            version="",
            model_id=trial.model_id,
            description=trial.name,
            mean=metrics[accuracy + metric_names.MEAN],
            std=metrics.get(accuracy + metric_names.STD),
            n=int(metrics[metric_names.TRIAL_N]),
            run_id=trial.best_seed_run or trial.run_id,
            trial_run_id=trial.run_id,
            data_digest=trial.data_digest,
            settings=trial.params,
        ),
    )


def _write_ledger(store: TrackingStore, promotion: Promotion) -> None:
    entry = {"before": promotion.before, "after": promotion.after}
    key = f"{LEDGER}{time.time_ns():020d}"  # sorts by time
    store.client.set_registered_model_tag(promotion.name, key, json.dumps(entry))


def _set_aliases(store: TrackingStore, promotion: Promotion) -> None:
    for alias, version in promotion.after.items():
        if promotion.before.get(alias) != version:
            store.client.set_registered_model_alias(promotion.name, alias, version)
    for alias in set(promotion.before) - set(promotion.after):
        store.client.delete_registered_model_alias(promotion.name, alias)
