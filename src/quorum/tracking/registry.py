"""The model registry: versions, the aliases of the best of them, the ledger of what they replaced, rolling back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlflow.exceptions import MlflowException

from quorum.errors import RegistryError, cut
from quorum.tracking import schema
from quorum.tracking.store import TrackingStore
from quorum.tracking.version_record import VersionRecord

MODELS = "models:/"
CURRENT = "current"  # alias of the registered vote that was taken last
LEDGER = f"{schema.PROMOTION}."  # tags of a registered model: one entry for each promotion that changed an alias
Aliases = dict[str, str]  # alias -> version


def model_name(dataset_name: str) -> str:
    """Name of the registered model of a data set."""
    return f"quorum-{dataset_name}"


@dataclass(frozen=True)
class Gate:
    """Whether a new best may replace the champion, and by which figures.

    Attributes:
        champion, challenger: versions.
        passed: whether it may.
        by: what was paired: `seed`, `image` or, where nothing could be, `nothing`.
        n: number of pairs.
        difference: mean of challenger - champion, better when higher; None where nothing could be paired.
        low, high: its 95% interval.
        reason: in words.
    """

    champion: str
    challenger: str
    passed: bool
    by: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Promotion:
    """What a promotion or a rollback did.

    Attributes:
        name: of the registered model.
        before, after: the aliases `best-N` and their versions.
        gate: whether the new best might replace the old one, where that was asked.
    """

    name: str
    before: Aliases
    after: Aliases
    gate: Gate | None = None

    def entry(self) -> dict[str, Any]:
        """It as the ledger keeps it."""
        gate = {} if self.gate is None else {"gate": asdict(self.gate)}
        return {"before": self.before, "after": self.after, **gate}

    @property
    def changed(self) -> bool:
        """Whether any alias moved."""
        return self.before != self.after

    @property
    def removed(self) -> dict[str, str]:
        """Aliases that were taken away, and the versions that had them."""
        return {alias: version for alias, version in self.before.items() if alias not in self.after}


def point_aliases(store: TrackingStore, name: str, description: str, after: Aliases, gate: Gate | None) -> Promotion:
    """Point `best-1`, `best-2`, ... of a registered model at versions.

    What the aliases pointed at before goes into the ledger first, with the decision of the gate.
    """
    describe_model(store, name, description)
    promotion = Promotion(name, best_aliases(store, name), after, gate)
    if promotion.changed:
        _write_ledger(store, promotion)
        _set_aliases(store, name, after)
    return promotion


def undo_interrupted(store: TrackingStore, name: str) -> None:
    """Put the aliases back where a promotion, or a rollback, was killed while it moved them: where each of them is as
    the last entry of the ledger found it or left it, and not all as it left them."""
    if not store.client.search_registered_models(f"name = '{name}'") or not (entries := ledger_entries(store, name)):
        return
    key, last = max(entries.items())
    before, after, now = last["before"], last["after"], best_aliases(store, name)
    of_either = all(now.get(alias) in (before.get(alias), after.get(alias)) for alias in {*before, *after, *now})
    if of_either and now != after:
        _set_aliases(store, name, before)
        store.client.delete_registered_model_tag(name, key)


def describe_model(store: TrackingStore, name: str, description: str) -> None:
    """Give a registered model its description."""
    if store.client.get_registered_model(name).description != description:
        store.client.update_registered_model(name, description)


def register_trial(store: TrackingStore, version: VersionRecord) -> VersionRecord:
    """The version of a trial's weights, made unless there is one, so that promoting twice changes nothing. What it was
    confirmed by, and its description, which says so, are written anew."""
    ensure_model(store, version.name)
    known = next((one for one in versions(store, version.name) if one.model_id == version.model_id), None)
    if known is None:
        return register(store, version)
    if version.confirmed is None:
        return known
    for key, value in version.confirmation_tags().items():
        store.client.set_model_version_tag(known.name, known.version, key, value)
    if version.description != known.description:
        store.client.update_model_version(known.name, known.version, version.description)
    return replace(version, version=known.version)


def ensure_model(store: TrackingStore, name: str) -> None:
    """Make a registered model unless there is one."""
    if not store.client.search_registered_models(f"name = '{name}'"):
        store.client.create_registered_model(name)


def champion(store: TrackingStore, name: str) -> VersionRecord | None:
    """The version that `best-1` points at; None where nothing is promoted."""
    if not store.client.search_registered_models(f"name = '{name}'"):
        return None
    version = best_aliases(store, name).get("best-1")
    return version_of(store, f"{MODELS}{name}/{version}") if version else None


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
    _set_aliases(store, name, promotion.after)
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
    ensure_model(store, version.name)
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


def register_vote(store: TrackingStore, version: VersionRecord, description: str) -> VersionRecord:
    """Register a vote, unless it has a version already, describe its model, and point the alias `current` at it."""
    registered = version if version.version else register(store, version)
    describe_model(store, registered.name, description)
    store.client.set_registered_model_alias(registered.name, CURRENT, registered.version)
    return registered


def vote_version(store: TrackingStore, name: str, members: Sequence[str], rule: str) -> VersionRecord | None:
    """The newest version of a registered vote that has these members, in this order, and this rule."""
    found = [one for one in versions(store, name) if (one.members, one.rule) == (tuple(members), rule)]
    return max(found, key=lambda version: int(version.version), default=None)


def current_vote(store: TrackingStore, name: str) -> VersionRecord | None:
    """The version of a registered vote that was taken last; None where there is none."""
    found = store.client.search_registered_models(f"name = '{name}'")
    if not found or CURRENT not in found[0].aliases:
        return None
    return version_of(store, f"{MODELS}{name}@{CURRENT}")


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
        raise RegistryError(f"{uri}: no such model version ({cut(' '.join(str(error).split()), 100)})") from error


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


def _write_ledger(store: TrackingStore, promotion: Promotion) -> None:
    """Add an entry after all others. They are counted, since a clock may be set back between two promotions."""
    last = max(ledger_entries(store, promotion.name), default=LEDGER + "0")
    key = f"{LEDGER}{int(last.removeprefix(LEDGER)) + 1:020d}"
    store.client.set_registered_model_tag(promotion.name, key, json.dumps(promotion.entry()))


def _set_aliases(store: TrackingStore, name: str, wanted: Aliases) -> None:
    now = best_aliases(store, name)
    for alias, version in wanted.items():
        if now.get(alias) != version:
            store.client.set_registered_model_alias(name, alias, version)
    for alias in now.keys() - wanted.keys():
        store.client.delete_registered_model_alias(name, alias)
