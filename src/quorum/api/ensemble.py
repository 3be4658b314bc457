"""`quorum.ensemble`: the promoted models vote, on the test split or on a folder of images."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from quorum.api.options import EnsembleOptions
from quorum.api.session import device_of, divide, documented, open_data, tracking
from quorum.console import say
from quorum.data import dataset as dataset_named
from quorum.data.images import find_images
from quorum.data.opened import OpenDataset, example_image
from quorum.errors import DataError, ModelError, RegistryError
from quorum.reporting import figures, pages, tables
from quorum.tracking import schema
from quorum.tracking.logged_models import fetch_bundles, log_vote
from quorum.tracking.records import VersionRecord, VoteRecord
from quorum.tracking.registry import best_members, model_name, register_vote, version_of, vote_name, vote_version
from quorum.tracking.runs import RunLog, begin_run
from quorum.tracking.store import TrackingStore
from quorum.voting.classifier import Classifier
from quorum.voting.predict import Member, VoteOutcome, check_classes, decide, predict_files, predict_split
from quorum.voting.vote import VOTE_RULE

DISAGREEMENTS = 25  # images listed on the page


@dataclass(frozen=True)
class Voted:
    """A vote.

    Attributes:
        run_id: of its MLflow run.
        predictions: a row for each image: `file`, `label`, each member's vote and its probability, `agreement`
            (fraction of members that voted for the label), and `true` where the label is known.
        scores: test accuracy of every member and of the vote, fractions; None for unlabeled images.
        registered: URI of the registered vote.
        output: the file that the predictions were written to.
        members: the members' names, URIs and networks, best first.
    """

    run_id: str
    predictions: pd.DataFrame
    scores: pd.DataFrame | None
    registered: str
    output: Path
    members: Sequence[dict[str, Any]]

    @property
    def accuracy(self) -> float | None:
        """Test accuracy of the vote, a fraction; None for unlabeled images."""
        return None if self.scores is None else float(self.scores["test accuracy"].iloc[-1])


@documented(EnsembleOptions, "dataset")
def ensemble(dataset: str = "digits", **settings: Any) -> Voted:
    """Let the promoted models of a data set vote on its test split, or on a folder of images; write the predictions and
    register the vote as a model of its own.

    Args:
        dataset: its name.

    Raises:
        QuorumError: for a setting that is wrong, or members or images that are missing.
    """
    options, _ = divide(EnsembleOptions, {"dataset": dataset, **settings}, trial=False)
    with tracking() as store:
        return run_vote(options, store)


def run_vote(options: EnsembleOptions, store: TrackingStore) -> Voted:
    """`ensemble` with its options checked and its store open."""
    dataset_named(options.dataset)
    if options.output.is_dir() or not options.output.suffix:
        raise DataError(f"output: {options.output} is not the name of a CSV file")
    device = device_of(options)
    record = VoteRecord(kind=schema.ENSEMBLE_KIND, dataset=options.dataset)
    with begin_run(store, f"vote on {options.dataset}", record) as log:
        members, bundles = _find_members(options, store)
        uris = " ".join(member.uri for member in members)
        log.params({"dataset": options.dataset, "members": uris, "images": options.images or "test split"})
        outcome, example = _vote(options, members, device, log)
        _write_predictions(outcome, options.output)
        version = _register(options, store, log, members, bundles, example)
        table = None if outcome.labels is None else scores(outcome, members)
        _log_page(outcome, table, version, options, log)
        return Voted(
            run_id=log.run_id,
            predictions=outcome.frame(),
            scores=table,
            registered=version,
            output=options.output.resolve(),
            members=[{"name": m.name, "uri": m.uri, "model": m.classifier.config.model} for m in members],
        )


MEMBERS = 2  # of a vote, at least


def _find_members(options: EnsembleOptions, store: TrackingStore) -> tuple[list[Member], list[Path]]:
    """Members with pinned URIs, best first, and their bundles."""
    wanted = list(options.models) or best_members(store, model_name(options.dataset))
    members: list[Member] = []
    bundles: list[Path] = []
    for place, uri in enumerate(wanted, 1):
        version = version_of(store, uri)
        pinned = version.uri if version else uri
        found = fetch_bundles(store, pinned).bundles
        if len(found) > 1:
            raise RegistryError(f"{uri}: is itself a vote of {len(found)} members; name the members")
        if pinned in [member.uri for member in members]:
            raise RegistryError(f"{uri}: is a member already ({pinned})")
        members.append(Member(f"member-{place}", pinned, Classifier.load(found[0])))
        bundles += found
    if len(members) < MEMBERS:
        raise RegistryError(f"{members[0].uri} alone is no vote; promote or name at least {MEMBERS} members")
    check_classes(members)
    return members, bundles


def _vote(
    options: EnsembleOptions, members: Sequence[Member], device: torch.device, log: RunLog
) -> tuple[VoteOutcome, bytes]:
    """What is voted, and the first image's bytes as an example."""
    if options.images is None:
        return _vote_on_test(open_data(options, options.dataset, options.split_seed), members, device, log)
    images = find_images(options.images)
    classifiers = [member.classifier for member in members]
    for classifier in classifiers:
        classifier.model.to(device)
    files, probabilities, skipped = predict_files(classifiers, images, skip_bad=options.skip_bad)
    for line in skipped:
        say(f"left out: {line}")
    example = next(image.content() for image in images if image.name == files[0])
    return decide(members, probabilities, files, None), example


def _vote_on_test(
    data: OpenDataset, members: Sequence[Member], device: torch.device, log: RunLog
) -> tuple[VoteOutcome, bytes]:
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
    log.set(data_digest=pixels.digest)
    files = [pixels.files[i] for i in test]
    return decide(members, probabilities, files, pixels.labels[test]), example_image(pixels)


def _write_predictions(outcome: VoteOutcome, output: Path) -> None:
    """Write the predictions beside their place and rename."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        outcome.frame().to_csv(part, index=False, float_format="%.6f")
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _register(
    options: EnsembleOptions,
    store: TrackingStore,
    log: RunLog,
    members: Sequence[Member],
    bundles: Sequence[Path],
    example: bytes,
) -> str:
    """The version of the registered vote with these members, made if there is none. Returns its URI."""
    name = vote_name(options.dataset)
    pinned = tuple(member.uri for member in members)
    version = vote_version(store, name, pinned)
    if version is None:
        model_id = log_vote(log, list(bundles), example, {"members": list(pinned), "rule": VOTE_RULE})
        log.set(model_id=model_id)
        description = f"Vote of {', '.join(pinned)}, best first. {VOTE_RULE}"
        version = VersionRecord(
            name=name, version="", model_id=model_id, run_id=log.run_id, description=description, members=pinned
        )
    return register_vote(store, version).uri


def scores(outcome: VoteOutcome, members: Sequence[Member]) -> pd.DataFrame:
    """Accuracy of every member and of the vote."""
    accuracies, vote = outcome.accuracies()
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


def _log_page(
    outcome: VoteOutcome, table: pd.DataFrame | None, version: str, options: EnsembleOptions, log: RunLog
) -> None:
    frame = outcome.frame()
    least = frame[frame["agreement"] < 1].sort_values("agreement", kind="stable").head(DISAGREEMENTS)
    facts = {
        "images": f"{len(frame):,} ({options.images or f'test split of {options.dataset}'})",
        "all members agree on": f"{float((frame['agreement'] == 1).mean()):.1%}",
        "registered as": version,
        "run": log.run_id,
    }
    with tempfile.TemporaryDirectory(prefix="quorum-") as temporary:
        folder = Path(temporary)
        frame.to_csv(folder / schema.PREDICTIONS, index=False, float_format="%.6f")
        figure = None
        if table is not None:
            figure = folder / "confusion_matrices.png"
            table.to_csv(folder / "scores.csv", index=False)
            figures.save(figures.confusion(_confusions(outcome)), figure)
            accuracies, vote = outcome.accuracies()
            named = {f"{name}/accuracy": value for name, value in zip(outcome.members, accuracies, strict=True)}
            log.metrics({**named, "vote/accuracy": vote})
        page = pages.ensemble_page(
            title=f"Vote on {options.dataset}",
            facts=facts,
            scores=table,
            figure=figure,
            disagreements=least,
            rule=VOTE_RULE,
        )
        (folder / "report.html").write_text(page)
        log.artifacts(folder)
    log.metrics({"agreement/mean": float(frame["agreement"].mean()), "images": len(frame)})
    heading = f"Vote of {len(outcome.members)} models on {facts['images']} images, registered as `{version}`."
    log.note("\n\n".join([heading, *([tables.markdown(table)] if table is not None else []), VOTE_RULE]))


def _confusions(outcome: VoteOutcome) -> dict[str, pd.DataFrame]:
    """Confusion matrices of the best member (as it was promoted, not as it does here) and of the vote, by title."""
    assert outcome.labels is not None
    accuracies, vote = outcome.accuracies()
    shown = {
        f"{outcome.members[0]}: {accuracies[0]:.4f}": outcome.votes[0],
        f"vote: {vote:.4f}": outcome.decided,
    }
    return {title: tables.confusion_table(outcome.labels, p, outcome.classes) for title, p in shown.items()}
