"""The model registry: promoting trials to aliased versions, the ledger of what they replaced, and rolling back."""

from __future__ import annotations

import collections
import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from mlflow.exceptions import MlflowException

from quorum import metric_names
from quorum.errors import RegistryError
from quorum.tracking import schema
from quorum.tracking.queries import artifact, trials
from quorum.tracking.records import TrialRecord, VersionRecord
from quorum.tracking.store import TrackingStore

MODELS = "models:/"
CURRENT = "current"  # alias of the registered vote that was taken last
ENOUGH_SEEDS = 3  # of a trial, for its mean to be compared with others
SEEDS = f"metrics.`{metric_names.TRIAL_N}`"
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


@dataclass(frozen=True)
class Selection:
    """The candidates for a promotion, and what was left out.

    Attributes:
        chosen: the candidates, best first.
        seeds: of each of them.
        on_other_data: better trials that saw other data.
        of_other_seeds: better trials of another number of seeds.
        answering_alike: better trials that answer every image as one that is chosen does.
    """

    chosen: tuple[Candidate, ...]
    seeds: int
    on_other_data: int = 0
    of_other_seeds: int = 0
    answering_alike: int = 0

    def notes(self) -> list[str]:
        """What was left out, a line each."""
        lines = {
            "other data than the newest one's": self.on_other_data,
            f"another number of seeds than {self.seeds}": self.of_other_seeds,
            "the same answer to every image as a better one": self.answering_alike,
        }
        return [f"left out: {count} with {what}" for what, count in lines.items() if count]


def candidates(store: TrackingStore, dataset: str, metric: str, count: int) -> Selection:
    """The best finished trials of a data set, over all sweeps, models and single trainings.

    A configuration counts once, however often it was run, and so do configurations whose best seeds answer every image
    alike: an epochs table can hold one network several times. All candidates saw the same data, that of the trial that
    finished last, and have the same number of seeds: a mean of one is luckier than a mean of three. That number is the
    one of the newest trial of three seeds or more; where there is none, of the newest trial.

    Args:
        store: the tracking store.
        dataset: name of the data set.
        metric: a trial's metric; losses are better when lower.
        count: how many.

    Returns:
        The candidates and what was left out.

    Raises:
        RegistryError: where there are fewer.
    """
    lower = "loss" in metric
    seeds, digest = _comparable(store, dataset, metric)
    found: dict[str, Candidate] = {}
    answers: set[str] = set()
    left_out = collections.Counter[str]()
    order, alike = f"metrics.`{metric}` {'ASC' if lower else 'DESC'}", f"{SEEDS} = {seeds}"
    for trial in trials(store, dataset, metric=metric, having=[alike], order_by=order):
        if trial.data_digest != digest:
            left_out["on_other_data"] += 1
        elif trial.trial_fingerprint not in found:
            if (given := _answers(store, trial)) in answers:
                left_out["answering_alike"] += 1
                continue
            answers.add(given)
            found[trial.trial_fingerprint] = Candidate(trial, trial.metrics[metric])
            if len(found) == count:
                break
    bound = [f"metrics.`{metric}` {'<' if lower else '>'} {one.value!r}" for one in list(found.values())[-1:]]
    others = trials(store, dataset, metric=metric, having=[f"{SEEDS} != {seeds}", *bound])
    left_out["of_other_seeds"] = sum(trial.data_digest == digest for trial in others)
    selection = Selection(tuple(found.values()), seeds, **left_out)
    if len(found) < count:
        why = "".join(f"; {note}" for note in selection.notes())
        raise RegistryError(
            f"{dataset}: {len(found)} finished trials with different settings and a {metric}, where {count} are "
            f"wanted; run a sweep first{f', or give top={len(found)}' if found else ''}{why}"
        )
    return selection


def _comparable(store: TrackingStore, dataset: str, metric: str) -> tuple[int, str]:
    """Number of seeds and data digest of candidates: those of the newest trial of enough seeds, else of the newest."""
    enough = next(trials(store, dataset, metric=metric, having=[f"{SEEDS} >= {ENOUGH_SEEDS}"]), None)
    newest = next(trials(store, dataset, metric=metric), None)
    if newest is None:
        return 0, ""
    of = enough if enough is not None and enough.data_digest == newest.data_digest else newest
    return int(of.metrics.get(metric_names.TRIAL_N, 1)), newest.data_digest


def _answers(store: TrackingStore, trial: TrialRecord) -> str:
    """What a trial's best seed answers, as a digest; a name of its own where its predictions were not kept."""
    run_id = trial.best_seed_run or trial.run_id
    file = artifact(store, run_id, schema.PREDICTIONS)
    if file is None:
        return run_id
    frame = pd.read_csv(file, usecols=["split", "file", "predicted"], dtype=str, keep_default_na=False)
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()


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

    @property
    def removed(self) -> dict[str, str]:
        """Aliases that were taken away, and the versions that had them."""
        return {alias: version for alias, version in self.before.items() if alias not in self.after}


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
    for alias in promotion.removed:
        store.client.delete_registered_model_alias(promotion.name, alias)
