"""`quorum report`: prints what `quorum.report` returns."""

from __future__ import annotations

from collections.abc import Mapping

from quorum.api.options import ReportOptions
from quorum.api.report import run_report
from quorum.commands.result import Result
from quorum.reporting import tables
from quorum.tracking.store import TrackingStore


def report(options: ReportOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """Compare the results of a data set's studies with what was published, as one page."""
    made = run_report(options, store)
    data = {
        "run_id": made.run_id,
        "dataset": made.dataset,
        "html": str(made.html),
        "markdown": str(made.markdown),
        "verdicts": made.verdicts,
        "rows": made.rows,
        "claims": made.claims,
    }
    return Result(data, f"{tables.markdown(made.overview)}\n\n{made.head}\n{made.html}\n{made.markdown}")
