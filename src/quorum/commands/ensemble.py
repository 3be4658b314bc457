"""`quorum ensemble`: prints what `quorum.ensemble` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorum.api.ensemble import run_vote
from quorum.api.registry_options import EnsembleOptions
from quorum.commands.links import look_at
from quorum.commands.result import Result
from quorum.reporting import tables
from quorum.tracking.store import TrackingStore


def ensemble(options: EnsembleOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """Final predictions by the vote of the promoted models."""
    voted = run_vote(options, store)
    count = len(voted.predictions)
    members = [dict(member) for member in voted.members]
    data: dict[str, Any] = {
        "run_id": voted.run_id,
        "members": members,
        "vote": voted.accuracy,
        "images": count,
        "predictions": str(voted.output),
        "registered": voted.registered,
        "pages": dict(voted.pages),
    }
    where = f"predictions of {count:,} images in {options.output}; the vote is registered as {voted.registered}"
    links = look_at(store, voted.pages)
    if voted.scores is None:
        return Result(data, f"{where}\n\n{links}")
    for member, accuracy in zip(members, voted.scores["test accuracy"], strict=False):
        member["accuracy"] = accuracy
    return Result(data, f"{tables.markdown(voted.scores)}\n\n{where}\n\n{links}")
