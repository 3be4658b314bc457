"""`quorum.promote`: the best trials of a data set into the registry, or back to what was there before."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from quorum.api.options import PromoteOptions
from quorum.api.session import divide, documented, tracking
from quorum.console import say
from quorum.data import dataset as dataset_named
from quorum.reporting import tables
from quorum.tracking import registry, schema
from quorum.tracking.lock import in_turn
from quorum.tracking.records import Record
from quorum.tracking.registry import Promotion, candidates, model_name, version_of
from quorum.tracking.runs import RunLog, begin_run
from quorum.tracking.store import TrackingStore

COLUMNS = ["alias", "version", "model", "trial", "mean", "std", "n", "run", "was"]


@dataclass(frozen=True)
class Promoted:
    """What a promotion, or a rollback, did.

    Attributes:
        name: of the registered model.
        changed: whether any alias moved.
        table: a row for each alias: `alias`, `version`, `model`, `trial`, `mean`, `std` and `n` of its validation
            accuracy, `run` (the training) and `was` (the version before).
    """

    name: str
    changed: bool
    table: pd.DataFrame


@documented(PromoteOptions, "dataset")
def promote(dataset: str = "digits", **settings: Any) -> Promoted:
    """Point the aliases `best-1`, `best-2`, ... of the registered model at the best finished trials of a data set.

    Args:
        dataset: its name.

    Raises:
        QuorumError: for a setting that is wrong, too few trials, or one whose weights were not kept.
    """
    options, _ = divide(PromoteOptions, {"dataset": dataset, **settings}, trial=False)
    with tracking() as store:
        return run_promotion(options, store)


def run_promotion(options: PromoteOptions, store: TrackingStore) -> Promoted:
    """`promote` with its options checked and its store open."""
    dataset_named(options.dataset)
    name = model_name(options.dataset)
    verb = "roll back" if options.rollback else "promote"
    record = Record(kind=schema.PROMOTE_KIND, dataset=options.dataset)
    with in_turn(store.lock_file("registry"), "registry"), begin_run(store, f"{verb} {name}", record) as log:
        log.params({"dataset": options.dataset, "top": options.top, "metric": options.metric})
        if options.rollback:
            promotion = registry.rollback(store, name)
        else:
            selection = candidates(store, options.dataset, options.metric, options.top)
            for note in selection.notes():
                say(note)
            promotion = registry.point_aliases(store, name, _description(options), selection.chosen)
        for alias, version in promotion.removed.items():
            say(f"{alias} is gone: it was version {version}")
        table = _table(store, promotion)
        _log_ledger(log, promotion, table)
    return Promoted(name, promotion.changed, table)


def _description(options: PromoteOptions) -> str:
    return (
        f"Image classifiers for {options.dataset}. The aliases best-1, best-2, ... are the best finished trials by "
        f"{options.metric}, the best seed of each. A version takes image files as they come (column `image`, bytes) "
        "and answers label, probability and the probabilities of all classes. "
        f"`quorum ensemble -P dataset={options.dataset}` lets the aliases vote; `quorum promote --rollback` "
        "restores what the last promotion replaced."
    )


def _table(store: TrackingStore, promotion: Promotion) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for alias, number in sorted(promotion.after.items(), key=lambda item: int(item[0].removeprefix("best-"))):
        version = version_of(store, f"models:/{promotion.name}/{number}")
        assert version is not None
        rows.append(
            {
                "alias": alias,
                "version": number,
                "model": version.settings.get("model", ""),
                "trial": version.description,
                "mean": version.mean,
                "std": version.std,
                "n": version.n,
                "run": version.run_id,
                "was": promotion.before.get(alias),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _log_ledger(log: RunLog, promotion: Promotion, table: pd.DataFrame) -> None:
    entry = {"model": promotion.name, "before": promotion.before, "after": promotion.after}
    with tempfile.TemporaryDirectory(prefix="quorum-") as folder:
        Path(folder, "promotion.json").write_text(json.dumps(entry, indent=2))
        log.artifacts(Path(folder))
    log.promotion(entry)
    log.note(f"`{promotion.name}`\n\n{tables.markdown(table)}")
