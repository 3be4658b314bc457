"""`quorum.promote`: the best trials of a data set into the registry, or back to what was there before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from quorum.api.own_folders import with_dataset
from quorum.api.registry_options import PromoteOptions
from quorum.api.session import divide, documented, named, tracking
from quorum.console import say
from quorum.inference import plus_minus
from quorum.promotion.candidates import Candidate, candidates
from quorum.promotion.recorded import with_stored_weights
from quorum.promotion.registration import promote_candidates
from quorum.reporting import tables
from quorum.summary import Summary
from quorum.temporary import temporary_folder
from quorum.tracking import registry, schema
from quorum.tracking.leases import TURN
from quorum.tracking.records import Record
from quorum.tracking.registry import Promotion, model_name, version_of
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore
from quorum.tracking.system_metrics import check_system_metrics, system_metrics
from quorum.tracking.version_record import VersionRecord

if TYPE_CHECKING:
    from quorum.api.promotion_trainings import MakeExecutor

FRESH = ("confirmed", "fresh seeds", "mean - confirmed")  # columns of promotions that confirmed
COLUMNS = ("alias", "version", "model", "trial", "mean", "std", "± 95%", "n", *FRESH, "run", "was")


@dataclass(frozen=True)
class Promoted:
    """What a promotion, or a rollback, did.

    Attributes:
        name: of the registered model.
        changed: whether any alias moved.
        table: a row for each alias: `alias`, `version`, `model`, `trial`, `mean`, `std`, `± 95%` (half the interval of
            the mean) and `n` of its validation accuracy, `run` (the training) and `was` (the version before); with
            confirm=, `confirmed` (mean of the fresh seeds), `fresh seeds` (their number) and `mean - confirmed`, what
            the mean was too high by since the trial was chosen for it (the winner's curse).
        removed: aliases that were taken away, and the versions that had them.
    """

    name: str
    changed: bool
    table: pd.DataFrame
    removed: Mapping[str, str] = field(default_factory=dict)

    @property
    def winners_curse(self) -> str:
        """How much too high the means were that the trials were chosen by, on one line; "" without fresh seeds."""
        if "mean - confirmed" not in self.table:
            return ""
        mean = float(self.table["mean - confirmed"].mean())
        return (
            f"The means that the trials were chosen by are higher than those of fresh seeds by {mean:+.4f} on average, "
            "by the winner's curse as far as that is above zero."
        )


@documented(PromoteOptions, "dataset")
def promote(dataset: str | None = None, **settings: Any) -> Promoted:
    """Point the aliases `best-1`, `best-2`, ... of the registered model at the best finished trials of a data set.

    Args:
        dataset: its name; by default the one of `path` or `name`, or `digits`.

    Raises:
        QuorumError: for a setting that is wrong, too few trials, or one whose weights were not kept.
    """
    options, _ = divide(PromoteOptions, named(dataset, settings), trial=False)
    with tracking(options) as store:
        return run_promotion(options, store)


def run_promotion(
    options: PromoteOptions,
    store: TrackingStore,
    make_executor: MakeExecutor | None = None,
    parent: str | None = None,
    least: int | None = None,
) -> Promoted:
    """`promote` with its options checked and its store open.

    Args:
        options: which data set, how many trials.
        store: the tracking store.
        make_executor: makes what does trainings, if there are any to do; by default as for a sweep.
        parent: run id of the run that asks for it, if one does.
        least: how many trials will do, see `candidates`.
    """
    options = with_dataset(options, store)
    if options.system_metrics:
        check_system_metrics()
    name = model_name(options.dataset)
    verb = "roll back" if options.rollback else "promote"
    record = Record(kind=schema.PROMOTE_KIND, dataset=options.dataset)
    with (
        begin_run(store, f"{verb} {name}", record, parent=parent) as log,
        system_metrics(log, options.system_metrics),
    ):
        log.params({"dataset": options.dataset, "top": options.top, "metric": options.metric})
        if options.rollback:
            with store.leases.hold(f"promotion {name}", "promotion", TURN):
                promotion = registry.rollback(store, name)
        else:
            log.params({"confirm": options.confirm, "gate": options.gate})
            chosen = _choose(options, store, log, make_executor, least)
            with store.leases.hold(f"promotion {name}", "promotion", TURN):
                description, gated = _description(options), options.gate == "on"
                promotion = promote_candidates(store, name, description, chosen, options.ranked_by if gated else None)
        gone = [f"{alias} is gone: it was version {version}" for alias, version in promotion.removed.items()]
        for line in gone:
            say(line)
        table = _table(store, promotion)
        _log_ledger(log, promotion, table, gone)
    return Promoted(name, promotion.changed, table, promotion.removed)


def _choose(
    options: PromoteOptions,
    store: TrackingStore,
    log: RunLog,
    make_executor: MakeExecutor | None,
    least: int | None,
) -> list[Candidate]:
    """The candidates to promote, best first, all with weights: confirmed by fresh seeds if that is asked for."""
    selection = candidates(store, options.dataset, options.metric, options.considered, least)
    for note in selection.notes():
        say(note)
    chosen = [replace(one, trial=with_stored_weights(store, one.trial)) for one in selection.chosen]
    if not options.confirm and all(one.trial.model_id for one in chosen):
        return chosen
    from quorum.api.promotion_trainings import with_weights  # imports torch, seconds that most promotions do without

    return with_weights(options, store, log, chosen, make_executor)


def _description(options: PromoteOptions) -> str:
    return (
        f"Image classifiers for {options.dataset}. The aliases best-1, best-2, ... are the best finished trials by "
        f"{options.metric}, the best seed of each. A version takes image files as they come (column `image`, base64 "
        "text) and answers label, probability and the probabilities of all classes. "
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
                "model": version.model,
                "trial": version.description,
                "mean": version.mean,
                "std": version.std,
                "± 95%": plus_minus(Summary(version.mean, version.std, version.n)),
                "n": version.n,
                "confirmed": version.confirmed,
                "fresh seeds": version.confirmed_n,
                "mean - confirmed": _winners_curse(version),
                "run": version.run_id,
                "was": promotion.before.get(alias),
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.drop(columns=list(FRESH)) if table["confirmed"].isna().all() else table


def _winners_curse(version: VersionRecord) -> float | None:
    return None if version.confirmed is None or version.mean is None else version.mean - version.confirmed


def _log_ledger(log: RunLog, promotion: Promotion, table: pd.DataFrame, gone: Sequence[str]) -> None:
    entry = {"model": promotion.name, **promotion.entry()}
    with temporary_folder() as folder:
        (folder / "promotion.json").write_text(json.dumps(entry, indent=2))
        log.artifacts(folder)
    log.promotion(entry)
    parts = [f"`{promotion.name}`", tables.markdown(table), *gone, promotion.gate.reason if promotion.gate else ""]
    log.note("\n\n".join(part for part in parts if part))
