"""`quorum compare`: prints what `quorum.compare` returns, and draws its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from quorum.api.compare import stored_comparison
from quorum.api.reading_options import CompareOptions
from quorum.api.session import make_output_folder
from quorum.commands.result import Result, records
from quorum.reporting import figures, tables
from quorum.reporting.runs import curves_table
from quorum.tracking.store import TrackingStore

NOTE = "The difference is b - a, paired by seed; low and high are its 95% interval (Student's t), unknown for one seed."


def compare(options: CompareOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """Two trials or trainings side by side."""
    found = stored_comparison(store, options.run, options.other)
    data: dict[str, Any] = {
        "names": list(found.names),
        "settings": records(found.settings),
        "differences": records(found.differences),
        "curves": {name: records(curve) for name, curve in found.curves.items()},
    }
    parts = [
        f"a: {found.names[0]}\nb: {found.names[1]}",
        tables.markdown(found.settings) if len(found.settings) else "No setting differs.",
        tables.markdown(curves_table(found.curves)),
        tables.markdown(found.differences.replace([math.inf, -math.inf], math.nan)),
        NOTE,
    ]
    if options.output is not None:
        make_output_folder(options.output.parent)
        figures.save(figures.curves(found.curves, "validation and training"), options.output)
        parts.append(f"curves: {options.output}")
    return Result(data, "\n\n".join(parts))
