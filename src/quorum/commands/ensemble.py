"""`quorum ensemble`: the promoted models vote, on the test split or on a folder of images."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from quorum.commands.opening import open_data
from quorum.commands.options import EnsembleOptions
from quorum.commands.result import Result
from quorum.console import say
from quorum.data import dataset
from quorum.data.images import find_images
from quorum.data.opened import OpenDataset, example_image
from quorum.engine.device import use_device
from quorum.ensemble.classifier import Classifier
from quorum.ensemble.predict import Member, Verdict, check_classes, decide, predict_files, predict_split
from quorum.ensemble.vote import RULE
from quorum.errors import DataError, ModelError, RegistryError
from quorum.report import figures, pages, tables
from quorum.tracking import schema
from quorum.tracking.logged_models import fetch_bundles, log_vote
from quorum.tracking.registry import best_members, model_name, register, version_of, version_with_tag
from quorum.tracking.runs import RunLog, begin_run
from quorum.tracking.store import Store

DISAGREEMENTS = 25  # images listed on the page


def ensemble(options: EnsembleOptions, _given: Mapping[str, str], store: Store) -> Result:
    """Vote, write the predictions, and register the vote as a model."""
    dataset(options.dataset)
    if options.output.is_dir() or not options.output.suffix:
        raise DataError(f"output: {options.output} is not the name of a CSV file")
    device = use_device(options.device, options.threads)
    with begin_run(store, "ensemble", f"vote on {options.dataset}", {schema.DATASET: options.dataset}) as log:
        uris, bundles = _find_members(options, store)
        members = [
            Member(f"member-{place}", uri, Classifier.load(bundle))
            for place, (uri, bundle) in enumerate(zip(uris, bundles, strict=True), 1)
        ]
        check_classes(members)
        log.params({"dataset": options.dataset, "members": " ".join(uris), "images": options.images or "test split"})
        verdict, example = _vote(options, members, device, log)
        _write_predictions(verdict, options.output)
        version = _register(options, store, log, members, bundles, example)
        _log_page(verdict, members, version, options, log)
        return _answer(verdict, members, version, options, log.run_id)


def _find_members(options: EnsembleOptions, store: Store) -> tuple[list[str], list[Path]]:
    """Members' pinned URIs and bundles, best first."""
    wanted = list(options.models) or best_members(store, model_name(options.dataset))
    uris: list[str] = []
    bundles: list[Path] = []
    for uri in wanted:
        version = version_of(store, uri)
        pinned = f"models:/{version.name}/{version.version}" if version else uri
        found = fetch_bundles(store, pinned).bundles
        if len(found) > 1:
            raise RegistryError(f"{uri}: is itself a vote of {len(found)} members; name the members")
        if pinned in uris:
            raise RegistryError(f"{uri}: is a member already ({pinned})")
        uris.append(pinned)
        bundles += found
    return uris, bundles


def _vote(
    options: EnsembleOptions, members: Sequence[Member], device: torch.device, log: RunLog
) -> tuple[Verdict, bytes]:
    """The verdict, and the first image's bytes as an example."""
    if options.images is not None:
        images = find_images(options.images)
        classifiers = [member.classifier for member in members]
        for classifier in classifiers:
            classifier.model.to(device)
        files, probabilities, skipped = predict_files(classifiers, images, skip_bad=options.skip_bad)
        for line in skipped:
            say(f"left out: {line}")
        example = next(image.content() for image in images if image.name == files[0])
        return decide(members, probabilities, files, None), example
    data = open_data(options, options.dataset, options.split_seed)
    return _vote_on_test(data, members, device, log)


def _vote_on_test(
    data: OpenDataset, members: Sequence[Member], device: torch.device, log: RunLog
) -> tuple[Verdict, bytes]:
    probabilities = []
    for member in members:
        pixels = data.pixels(member.classifier.preprocess.resize)
        if pixels.classes != member.classifier.classes:
            raise ModelError(f"{member.uri} does not know the classes of {pixels.name}")
        if pixels.digest != member.classifier.data_digest:
            say(f"warning: {member.uri} was trained on another {pixels.name} and may have seen these test images")
        probabilities.append(predict_split(member.classifier, pixels, "test", device))
    test = pixels.splits["test"]
    log.dataset(pixels.name, pixels.digest, data.source, pixels.counts(), "testing")
    log.tags({schema.DATA_DIGEST: pixels.digest})
    files = [pixels.files[i] for i in test]
    return decide(members, probabilities, files, pixels.labels[test]), example_image(pixels)


def _write_predictions(verdict: Verdict, output: Path) -> None:
    """Write the predictions beside their place and rename."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        verdict.frame().to_csv(part, index=False, float_format="%.6f")
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _register(
    options: EnsembleOptions,
    store: Store,
    log: RunLog,
    members: Sequence[Member],
    bundles: Sequence[Path],
    example: bytes,
) -> str:
    """The version of the registered vote with these members, made if there is none. Returns its URI."""
    name = f"{model_name(options.dataset)}-vote"
    pinned = json.dumps([member.uri for member in members])
    version = version_with_tag(store, name, schema.MEMBERS, pinned)
    if version is None:
        model_id = log_vote(log, list(bundles), example, {"members": pinned, "rule": RULE})
        log.tags({schema.MODEL_ID: model_id})
        description = f"Vote of {', '.join(member.uri for member in members)}, best first. {RULE}"
        number = register(store, name, model_id, log.run_id, {schema.MEMBERS: pinned}, description)
    else:
        number = str(version.version)
    return f"models:/{name}/{number}"


def scores(verdict: Verdict, members: Sequence[Member]) -> pd.DataFrame:
    """Accuracy of every member and of the vote."""
    accuracies, vote = verdict.accuracies()
    rows = [
        {
            "": member.name,
            "model": member.classifier.config.model,
            "version": member.uri,
            "test accuracy": accuracy,
        }
        for member, accuracy in zip(members, accuracies, strict=True)
    ]
    rows.append({"": "vote", "model": f"{len(members)} members", "version": "", "test accuracy": vote})
    return pd.DataFrame(rows)


def _log_page(verdict: Verdict, members: Sequence[Member], version: str, options: EnsembleOptions, log: RunLog) -> None:
    frame = verdict.frame()
    least = frame[frame["agreement"] < 1].sort_values("agreement", kind="stable").head(DISAGREEMENTS)
    facts = {
        "images": f"{len(frame):,} ({options.images or f'test split of {options.dataset}'})",
        "all members agree on": f"{float((frame['agreement'] == 1).mean()):.1%}",
        "registered as": version,
        "run": log.run_id,
    }
    with tempfile.TemporaryDirectory(prefix="quorum-") as temporary:
        folder = Path(temporary)
        frame.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
        table, figure = None, None
        if verdict.labels is not None:
            table, figure = scores(verdict, members), folder / "confusion_matrices.png"
            table.to_csv(folder / "scores.csv", index=False)
            figures.save(figures.confusion(_confusions(verdict)), figure)
            accuracies, vote = verdict.accuracies()
            named = {f"{name}/accuracy": value for name, value in zip(verdict.members, accuracies, strict=True)}
            log.metrics({**named, "vote/accuracy": vote})
        page = pages.ensemble_page(
            title=f"Vote on {options.dataset}",
            facts=facts,
            scores=table,
            figure=figure,
            disagreements=least,
            rule=RULE,
        )
        (folder / "report.html").write_text(page)
        log.artifacts(folder)
    log.metrics({"agreement/mean": float(frame["agreement"].mean()), "images": len(frame)})
    heading = f"Vote of {len(members)} models on {facts['images']} images, registered as `{version}`."
    log.note("\n\n".join([heading, *([tables.markdown(table)] if table is not None else []), RULE]))


def _confusions(verdict: Verdict) -> dict[str, pd.DataFrame]:
    """Confusion matrices of the best member (as it was promoted, not as it does here) and of the vote, by title."""
    assert verdict.labels is not None
    accuracies, vote = verdict.accuracies()
    shown = {
        f"{verdict.members[0]}: {accuracies[0]:.4f}": verdict.votes[0],
        f"vote: {vote:.4f}": verdict.decided,
    }
    return {title: tables.confusion_table(verdict.labels, p, verdict.classes) for title, p in shown.items()}


def _answer(verdict: Verdict, members: Sequence[Member], version: str, options: EnsembleOptions, run_id: str) -> Result:
    listed: list[dict[str, Any]] = [
        {"name": member.name, "uri": member.uri, "model": member.classifier.config.model} for member in members
    ]
    data: dict[str, Any] = {
        "run_id": run_id,
        "members": listed,
        "vote": None,
        "images": len(verdict.files),
        "predictions": str(options.output.resolve()),
        "registered": version,
    }
    where = f"predictions of {len(verdict.files):,} images in {options.output}; the vote is registered as {version}"
    if verdict.labels is None:
        return Result(data, where)
    accuracies, vote = verdict.accuracies()
    for entry, accuracy in zip(listed, accuracies, strict=True):
        entry["accuracy"] = accuracy
    data["vote"] = vote
    return Result(data, f"{tables.markdown(scores(verdict, members))}\n\n{where}")
