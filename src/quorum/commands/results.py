"""`quorum results`: prints what `quorum.results` returns."""

from __future__ import annotations

from collections.abc import Mapping

from quorum.api.own_folders import check_name
from quorum.api.reading_options import ResultsOptions
from quorum.api.results import stored_results
from quorum.commands.result import Result, records
from quorum.reporting import tables
from quorum.reporting.runs import results_table
from quorum.tracking.store import TrackingStore


def results(options: ResultsOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """List the trials, trainings or epochs of a data set, newest first."""
    found = stored_results(store, options.dataset, options.level)
    if found.empty:
        check_name(store, options.dataset)  # one that nobody knows is a mistake, one without results is not
        return Result([], "" if options.csv else f"no results of {options.dataset} yet; quorum sweep makes some")
    if options.csv:
        return Result([], tables.no_formulas(found).to_csv(index=False).rstrip("\n"))
    return Result(records(found), tables.markdown(results_table(found)))
