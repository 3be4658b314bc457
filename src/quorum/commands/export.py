"""`quorum export`: prints what `quorum.export` returns."""

from __future__ import annotations

from collections.abc import Mapping

from quorum.api.export import run_export
from quorum.api.export_options import ExportOptions
from quorum.commands.result import Result
from quorum.tracking.store import TrackingStore


def export(options: ExportOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """Write a model as a file that runs without quorum."""
    made = run_export(options, store)
    data = {
        "run_id": made.run_id,
        "model": made.model,
        "output": str(made.output),
        "classes": list(made.classes),
        "members": made.members,
        "inputs": made.inputs,
        "outputs": list(made.outputs),
        "difference": made.difference,
    }
    networks = "one network" if made.members == 1 else f"a vote of {made.members} networks"
    lines = [
        f"{made.model}: {networks} as ONNX in {options.output}",
        *(f"input {name}: uint8 [n, height, width, 3], RGB, {_resized(side)}" for name, side in made.inputs.items()),
        f"outputs: {', '.join(made.outputs)}; classes are in the file's metadata",
        f"onnxruntime's probabilities differ from torch's by {made.difference:.1g} at most",
    ]
    return Result(data, "\n".join(lines))


def _resized(side: int) -> str:
    return f"the shorter side resized to {side} pixels" if side else "not resized"
