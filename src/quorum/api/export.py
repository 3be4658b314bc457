"""`quorum.export`: a trained network, or a vote of several, as one file that runs without quorum."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorum import __version__
from quorum.api.export_options import ExportOptions
from quorum.api.own_folders import check_name, check_text
from quorum.api.session import divide, documented, make_output_folder, tracking
from quorum.errors import RegistryError
from quorum.tracking import schema
from quorum.tracking.logged_models import fetch_bundles
from quorum.tracking.records import Record
from quorum.tracking.registry import current_vote, vote_name
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore
from quorum.voting.classifier import Classifier
from quorum.voting.graph import VoteGraph
from quorum.voting.onnx_file import check_onnx_output, input_names, write_onnx


@dataclass(frozen=True)
class Exported:
    """A model as a file.

    Attributes:
        run_id: of its MLflow run.
        model: URI of the model.
        output: the file.
        classes: class names; `label` and `votes` are places among them.
        members: number of networks.
        inputs: the shorter side that images are resized to, in pixels, by the name of the input; 0: as they come.
        outputs: names of what it answers.
        difference: the largest between onnxruntime's and torch's probabilities, on random images.
    """

    run_id: str
    model: str
    output: Path
    classes: tuple[str, ...]
    members: int
    inputs: dict[str, int]
    outputs: tuple[str, ...]
    difference: float


@documented(ExportOptions, "model")
def export(model: str | None = None, **settings: Any) -> Exported:
    """Write a model as an ONNX file: its networks, their preprocessing after resizing, and their vote.

    Args:
        model: `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/ID` or `runs:/RUN/model`; by default the vote of
            `dataset` that was taken last.

    Raises:
        QuorumError: for a setting that is wrong, a model that is missing or cannot be exported, or packages that are
            missing.
    """
    options, _ = divide(ExportOptions, {"model": model, **settings}, trial=False)
    with tracking(options) as store:
        return run_export(options, store)


def run_export(options: ExportOptions, store: TrackingStore) -> Exported:
    """`export` with its options checked and its store open."""
    check_onnx_output(options.output)
    make_output_folder(options.output.parent)
    uri = options.model or _vote(options, store)
    fetched = fetch_bundles(store, uri)
    members = [Classifier.load(bundle) for bundle in fetched.bundles]
    graph, classes = VoteGraph(members, fetched.rule), members[0].classes
    inputs = input_names(graph)
    facts = {"model": uri, "classes": json.dumps(classes), "resize": json.dumps(inputs), "quorum": __version__}
    if len(members) > 1:
        facts["rule"] = fetched.rule.text
    record = Record(kind=schema.EXPORT_KIND, dataset=members[0].config.dataset)
    with begin_run(store, f"export {uri}", record) as log:
        log.params({"model": uri, "output": options.output})
        part = options.output.with_name(f".{options.output.stem}.{os.getpid()}.part")
        try:
            difference = write_onnx(graph, part, facts)
            part.replace(options.output)
        finally:
            part.unlink(missing_ok=True)
        log.note(f"`{uri}` as ONNX in {options.output.resolve()}.")
        return Exported(
            log.run_id, uri, options.output.resolve(), classes, len(members), inputs, graph.outputs, difference
        )


def _vote(options: ExportOptions, store: TrackingStore) -> str:
    """URI of the vote of a data set that was taken last."""
    check_text(options.dataset)
    name = vote_name(options.dataset)
    if (version := current_vote(store, name)) is None:
        check_name(store, options.dataset)
        raise RegistryError(f"{name}: no registered vote; run `quorum ensemble` first, or name a model with model=")
    return version.uri
