"""The model registry: promoting trials to aliased versions, the ledger of what they replaced, and rolling back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quorum.errors import RegistryError
from quorum.tracking import schema
from quorum.tracking.queries import search
from quorum.tracking.runs import FINISHED
from quorum.tracking.store import Store

MODELS = "models:/"
LEDGER = "quorum.promotion."  # tags of a registered model: one entry for each promotion that changed an alias
Aliases = dict[str, str]  # alias -> version


def model_name(dataset_name: str) -> str:
    """Name of the registered model of a data set."""
    return f"quorum-{dataset_name}"


@dataclass(frozen=True)
class Candidate:
    """A finished trial that can be promoted.

    Attributes:
        run: its run.
        value: the metric it is ranked by.
    """

    run: Run
    value: float

    @property
    def model_id(self) -> str | None:
        """The logged model of its best seed, if its weights were kept."""
        return self.run.data.tags.get(schema.MODEL_ID)


def candidates(store: Store, dataset: str, metric: str, count: int) -> tuple[list[Candidate], int]:
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
    newest = next(_trials(store, dataset, metric, None), None)
    digest = newest.data.tags[schema.DATA_DIGEST] if newest else ""
    found: dict[str, Candidate] = {}
    others = 0
    for run in _trials(store, dataset, metric, order):
        if run.data.tags[schema.DATA_DIGEST] != digest:
            others += 1
        else:
            found.setdefault(run.data.tags[schema.TRIAL_FINGERPRINT], Candidate(run, run.data.metrics[metric]))
            if len(found) == count:
                break
    if len(found) < count:
        raise RegistryError(
            f"{dataset}: {len(found)} finished trials with different settings and a {metric}, where {count} are "
            f"wanted; run a sweep first{f', or give top={len(found)}' if found else ''}"
        )
    return list(found.values()), others


def _trials(store: Store, dataset: str, metric: str, order: str | None) -> Iterator[Run]:
    """Finished trials and single trainings that have a metric. A trial's seeds have none of its means."""
    having = [f"metrics.`{metric}` >= 0"]
    for run in search(store, {schema.DATASET: dataset}, having=having, status=FINISHED, order_by=order):
        if run.data.tags.get(schema.KIND) in ("trial", "train"):
            yield run


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


def promote(store: Store, name: str, description: str, chosen: Sequence[Candidate]) -> Promotion:
    """Point `best-1`, `best-2`, ... of a registered model at candidates, best first.

    A candidate that has a version keeps it, so that promoting twice changes nothing. What the aliases pointed at
    before goes into the ledger first.

    Raises:
        RegistryError: where a candidate's weights were not kept.
    """
    for place, candidate in enumerate(chosen, 1):
        if candidate.model_id is None:
            raise RegistryError(
                f"the trial in place {place}, run {candidate.run.info.run_id}, kept no weights; run its sweep again "
                f"with a higher keep= and reuse=false"
            )
    client = store.client
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    if client.get_registered_model(name).description != description:
        client.update_registered_model(name, description)
    versions = {version.source.removeprefix(MODELS): version for version in _versions(store, name)}
    after = {
        f"best-{place}": str((versions.get(candidate.model_id or "") or _create(store, name, candidate)).version)
        for place, candidate in enumerate(chosen, 1)
    }
    promotion = Promotion(name, best_aliases(store, name), after)
    if promotion.changed:
        _write_ledger(store, promotion)
        _set_aliases(store, promotion)
    return promotion


def rollback(store: Store, name: str) -> Promotion:
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


def ledger_entries(store: Store, name: str) -> dict[str, Mapping[str, Aliases]]:
    """The promotions of a registered model that have not been rolled back, by tag, the oldest first."""
    entries = store.client.get_registered_model(name).tags
    return {key: json.loads(entries[key]) for key in sorted(entries) if key.startswith(LEDGER)}


def best_aliases(store: Store, name: str) -> Aliases:
    """The aliases `best-N` of a registered model and their versions."""
    aliases = store.client.get_registered_model(name).aliases
    return {alias: str(aliases[alias]) for alias in sorted(aliases) if re.fullmatch(r"best-\d+", alias)}


def best_members(store: Store, name: str) -> list[str]:
    """URIs of the versions that the aliases `best-1`, `best-2`, ... point at.

    Raises:
        RegistryError: where nothing has been promoted.
    """
    if not store.client.search_registered_models(f"name = '{name}'") or not (aliases := best_aliases(store, name)):
        raise RegistryError(f"{name}: no promoted model; run `quorum promote` first, or name members with models=")
    ordered = sorted(aliases, key=lambda alias: int(alias.removeprefix("best-")))
    return [f"{MODELS}{name}/{aliases[alias]}" for alias in ordered]


def register(store: Store, name: str, model_id: str, run_id: str, values: Mapping[str, str], description: str) -> str:
    """A version of a registered model from a logged one, the registered model made if it is not there.

    Returns:
        The version.
    """
    if not store.client.search_registered_models(f"name = '{name}'"):
        store.client.create_registered_model(name)
    version = store.client.create_model_version(
        name, MODELS + model_id, run_id, tags=dict(values), description=description, model_id=model_id
    )
    return str(version.version)


def version_with_tag(store: Store, name: str, key: str, value: str) -> ModelVersion | None:
    """The newest version of a registered model that carries a tag with that value."""
    found = [version for version in _versions(store, name) if version.tags.get(key) == value]
    return max(found, key=lambda version: int(version.version), default=None)


def version_of(store: Store, uri: str) -> ModelVersion | None:
    """The version that `models:/NAME/VERSION` or `models:/NAME@ALIAS` names; None for a URI of another kind.

    Raises:
        RegistryError: where it names one that is not there.
    """
    name, at, alias = uri.removeprefix(MODELS).partition("@")
    if not uri.startswith(MODELS) or (not at and "/" not in name):
        return None
    try:
        if at:
            return store.client.get_model_version_by_alias(name, alias)
        return store.client.get_model_version(*name.split("/", 1))
    except MlflowException as error:
        raise RegistryError(f"{uri}: no such model version ({' '.join(str(error).split())[:160]})") from error


def _versions(store: Store, name: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token = None
    while True:
        page = store.client.search_model_versions(f"name = '{name}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _create(store: Store, name: str, candidate: Candidate) -> ModelVersion:
    run, model_id = candidate.run, candidate.model_id
    assert model_id is not None
    metrics = run.data.metrics
    values = {
        "mean": repr(metrics["val_accuracy/mean"]),
        "std": repr(metrics["val_accuracy/std"]) if "val_accuracy/std" in metrics else "none: one seed",
        "n": str(int(metrics["val_accuracy/n"])),
        "run": run.data.tags.get(schema.BEST_RUN, run.info.run_id),
        "trial_run": run.info.run_id,
        "data_digest": run.data.tags[schema.DATA_DIGEST],
        "configuration": json.dumps(run.data.params, sort_keys=True),
    }
    version = store.client.create_model_version(
        name, MODELS + model_id, values["run"], tags=values, model_id=model_id, description=run.info.run_name
    )
    assert isinstance(version, ModelVersion)
    return version


def _write_ledger(store: Store, promotion: Promotion) -> None:
    entry = {"before": promotion.before, "after": promotion.after}
    key = f"{LEDGER}{time.time_ns():020d}"  # sorts by time
    store.client.set_registered_model_tag(promotion.name, key, json.dumps(entry))


def _set_aliases(store: Store, promotion: Promotion) -> None:
    for alias, version in promotion.after.items():
        if promotion.before.get(alias) != version:
            store.client.set_registered_model_alias(promotion.name, alias, version)
    for alias in set(promotion.before) - set(promotion.after):
        store.client.delete_registered_model_alias(promotion.name, alias)
