"""`quorum promote`: prints what `quorum.promote` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from quorum.api.promote import run_promotion
from quorum.api.registry_options import PromoteOptions
from quorum.commands.result import Result
from quorum.reporting import tables
from quorum.tracking.store import TrackingStore


def promote(options: PromoteOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """Put the best trials of a data set into the model registry."""
    promoted = run_promotion(options, store)
    change = "aliases moved" if promoted.changed else "nothing changed"
    aliases = {str(row["alias"]): _entry(row) for row in promoted.table.to_dict("records")}
    parts = [f"{promoted.name}: {change}", tables.markdown(promoted.table), promoted.winners_curse]
    return Result(aliases, "\n\n".join(part for part in parts if part))


def _entry(row: Any) -> dict[str, Any]:
    std = None if pd.isna(row["std"]) else row["std"]
    entry = {"version": row["version"], "run": row["run"], "mean": row["mean"], "std": std, "n": row["n"]}
    if pd.isna(row.get("confirmed")):
        return entry
    return {**entry, "confirmed": row["confirmed"], "fresh_seeds": row["fresh seeds"]}
