"""`quorum promote`: the best trials of a data set into the registry, or back to what stood there before."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from quorum.commands.options import PromoteOptions
from quorum.commands.result import Result
from quorum.console import say
from quorum.data import dataset
from quorum.report import tables
from quorum.tracking import schema
from quorum.tracking.registry import (
    Promotion,
    candidates,
    model_name,
    rollback,
    version_of,
)
from quorum.tracking.registry import (
    promote as promote_candidates,
)
from quorum.tracking.runs import RunLog, begin_run
from quorum.tracking.store import Store


def promote(options: PromoteOptions, _given: Mapping[str, str], store: Store) -> Result:
    """Promote the best trials, or restore what the last promotion replaced."""
    dataset(options.dataset)
    name = model_name(options.dataset)
    verb = "roll back" if options.rollback else "promote"
    with begin_run(store, "promote", f"{verb} {name}", {schema.DATASET: options.dataset}) as log:
        log.params({"dataset": options.dataset, "top": options.top, "metric": options.metric})
        if options.rollback:
            promotion = rollback(store, name)
        else:
            chosen, others = candidates(store, options.dataset, options.metric, options.top)
            if others:
                say(f"{others} better trials saw other data than the newest one and were left out")
            promotion = promote_candidates(store, name, _description(options), chosen)
        table = _table(store, promotion)
        _log_ledger(log, promotion, table)
    change = "aliases moved" if promotion.changed else "nothing changed"
    text = f"{name}: {change}\n\n{tables.markdown(table)}"
    aliases = {str(row["alias"]): _entry(row) for row in table.to_dict("records")}
    return Result(aliases, text)


def _description(options: PromoteOptions) -> str:
    return (
        f"Image classifiers for {options.dataset}. The aliases best-1, best-2, ... are the best finished trials by "
        f"{options.metric}, the best seed of each. A version takes image files as they come (column `image`, bytes) "
        "and answers label, probability and the probabilities of all classes. "
        f"`quorum ensemble -P dataset={options.dataset}` lets the aliases vote; `quorum promote --rollback` "
        "restores what the last promotion replaced."
    )


def _table(store: Store, promotion: Promotion) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for alias, number in sorted(promotion.after.items(), key=lambda item: int(item[0].removeprefix("best-"))):
        version = version_of(store, f"models:/{promotion.name}/{number}")
        assert version is not None
        settings = json.loads(version.tags["configuration"])
        rows.append(
            {
                "alias": alias,
                "version": number,
                "model": settings.get("model", ""),
                "trial": version.description or "",
                "mean": float(version.tags["mean"]),
                "std": _number(version.tags["std"]),
                "n": int(version.tags["n"]),
                "run": version.tags["run"],
                "was": promotion.before.get(alias),
            }
        )
    return pd.DataFrame(rows, columns=["alias", "version", "model", "trial", "mean", "std", "n", "run", "was"])


def _number(text: str) -> float | None:
    return None if text.startswith("none") else float(text)


def _entry(row: Any) -> dict[str, Any]:
    std = row["std"]
    return {
        "version": row["version"],
        "run": row["run"],
        "mean": row["mean"],
        "std": None if pd.isna(std) else std,
        "n": row["n"],
    }


def _log_ledger(log: RunLog, promotion: Promotion, table: pd.DataFrame) -> None:
    entry = {"model": promotion.name, "before": promotion.before, "after": promotion.after}
    with tempfile.TemporaryDirectory(prefix="quorum-") as folder:
        Path(folder, "promotion.json").write_text(json.dumps(entry, indent=2))
        log.artifacts(Path(folder))
    log.tags({"quorum.promotion": entry})
    log.note(f"`{promotion.name}`\n\n{tables.markdown(table)}")
