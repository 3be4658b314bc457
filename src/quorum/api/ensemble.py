"""`quorum.ensemble`: the promoted models vote, on the test split or on a folder of images."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from quorum.api.options import EnsembleOptions
from quorum.api.session import device_of, divide, documented, open_data, tracking
from quorum.api.vote_page import VotePage, mcnemar_line
from quorum.console import say
from quorum.data import dataset as dataset_named
from quorum.data.images import Pixels, find_images
from quorum.data.opened import OpenDataset, example_image
from quorum.data.pixel_store import PixelStore
from quorum.errors import DataError, ModelError, RegistryError
from quorum.inference import proportion_interval
from quorum.reporting import tables
from quorum.temporary import temporary_folder
from quorum.tracking import schema
from quorum.tracking.logged_models import fetch_bundles, log_vote
from quorum.tracking.records import VersionRecord, VoteRecord
from quorum.tracking.registry import best_members, model_name, register_vote, version_of, vote_name, vote_version
from quorum.tracking.runs import RunLog, begin_run
from quorum.tracking.store import TrackingStore
from quorum.voting import audit
from quorum.voting.abstention import Abstention
from quorum.voting.audit import Validation
from quorum.voting.classifier import Classifier
from quorum.voting.predict import Member, VoteOutcome, check_classes, decide, predict_files, predict_split
from quorum.voting.rules import VotingRule
from quorum.voting.vote import Probabilities


@dataclass(frozen=True)
class Voted:
    """A vote.

    Attributes:
        run_id: of its MLflow run.
        predictions: a row for each image: `file`, `label` (empty where it is undecided) and its `probability`, each
            member's vote and its probability, `agreement` (fraction of members that voted for the label), and `true`
            where the label is known.
        scores: test accuracy of every member and of the vote on the images that it decided, fractions, with 95%
            intervals over the images; None for unlabeled images.
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
        """Test accuracy of the vote on the images that it decided, a fraction; None for unlabeled images, or where it
        decided none."""
        found = None if self.scores is None else self.scores["test accuracy"].iloc[-1]
        return None if found is None or np.isnan(found) else float(found)


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
    check_output(options.output)
    device = device_of(options)
    record = VoteRecord(kind=schema.ENSEMBLE_KIND, dataset=options.dataset)
    with begin_run(store, f"vote on {options.dataset}", record) as log:
        members, bundles = _find_members(options, store)
        uris = " ".join(member.uri for member in members)
        log.params({"dataset": options.dataset, "members": uris, "images": options.images or "test split"})
        log.params({"vote": options.vote, "calibrate": options.calibrate, "abstain": options.abstain})
        images = _predict(options, members, device, log)
        rule = _rule(options, images.validation)
        outcome = decide(members, images.probabilities, images.files, images.labels, rule)
        _write_predictions(outcome, options.output)
        version = _register(options, store, log, members, bundles, rule, images.example)
        table = None if outcome.labels is None else scores(outcome, members)
        _log_page(outcome, table, images, version, options, log)
        return Voted(
            run_id=log.run_id,
            predictions=outcome.frame(),
            scores=table,
            registered=version,
            output=options.output.resolve(),
            members=[{"name": m.name, "uri": m.uri, "model": m.classifier.config.model} for m in members],
        )


def check_output(output: Path) -> None:
    """Raise DataError for a file that predictions must not be written to: one that is no CSV file, or holds something
    else."""
    if output.suffix.lower() != ".csv" or output.is_dir():
        raise DataError(f"output: {output} is not the name of a CSV file")
    if output.exists():
        with output.open("rb") as file:
            first = file.readline(len(PREDICTED) + 1)
        if not first.startswith(PREDICTED) and first:
            raise DataError(f"output: {output} holds something else than predictions, and is not overwritten")


PREDICTED = b"file,label,"  # how a file of predictions begins
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


@dataclass(frozen=True)
class _Predicted:
    """What the members say of the images, before they vote.

    Attributes:
        files: [n] image names.
        probabilities: each member's, float32 [n, classes].
        labels: int64 [n], or None for unlabeled images.
        validation: the same of the validation images, where it was asked for or costs no more images than these.
        example: the first image, encoded.
        picture: the pixels of an image by its place.
    """

    files: Sequence[str]
    probabilities: Sequence[Probabilities]
    labels: NDArray[np.int64] | None
    validation: Validation | None
    example: bytes
    picture: Callable[[int], Pixels]


def _predict(options: EnsembleOptions, members: Sequence[Member], device: torch.device, log: RunLog) -> _Predicted:
    if options.images is None:
        data = open_data(options, options.dataset, options.split_seed)
        return _predict_test(data, members, device, log, fitted=options.fitted)
    images = find_images(options.images)
    validation = _validation_beside(options, members, device) if options.fitted else None
    classifiers = [member.classifier for member in members]
    for classifier in classifiers:
        classifier.model.to(device)
    files, probabilities, skipped = predict_files(classifiers, images, skip_bad=options.skip_bad)
    for line in skipped:
        say(f"left out: {line}")
    by_name = {image.name: image for image in images}

    def picture(place: int) -> Pixels:
        image = by_name[files[place]]
        return image.decode(image.content())

    return _Predicted(files, probabilities, None, validation, by_name[files[0]].content(), picture)


def _predict_test(
    data: OpenDataset, members: Sequence[Member], device: torch.device, log: RunLog, *, fitted: bool
) -> _Predicted:
    stores = [_pixels(data, member) for member in members]
    elsewhere = [member for member, pixels in zip(members, stores, strict=True) if _is_foreign(member, pixels)]
    if fitted and elsewhere:
        raise _cannot_be_fitted(elsewhere[0])
    for member in elsewhere:
        say(f"warning: {member.uri} was trained on another {data.catalogue.name} and may have seen these test images")
    pixels = stores[0]
    test = pixels.splits["test"]
    log.dataset(pixels.name, pixels.digest, data.source, pixels.counts(), "testing")
    log.set(data_digest=pixels.digest)
    return _Predicted(
        files=[pixels.files[i] for i in test],
        probabilities=_of_split(members, stores, "test", device),
        labels=pixels.labels[test],
        validation=None if elsewhere else _validation(members, stores, device),
        example=example_image(pixels),
        picture=lambda place: pixels.image(int(test[place])),
    )


def _validation_beside(options: EnsembleOptions, members: Sequence[Member], device: torch.device) -> Validation:
    """The validation images of the members' data set, where other images are predicted."""
    try:
        data = open_data(options, options.dataset, options.split_seed)
    except DataError as error:
        what = f"vote={options.vote}, calibrate={options.calibrate}"
        raise DataError(f"{what} is fitted on validation images: {error}") from error
    stores = [_pixels(data, member) for member in members]
    for member, pixels in zip(members, stores, strict=True):
        if _is_foreign(member, pixels):
            raise _cannot_be_fitted(member)
    return _validation(members, stores, device)


def _pixels(data: OpenDataset, member: Member) -> PixelStore:
    pixels = data.pixels(member.classifier.preprocess.resize)
    if pixels.classes != member.classifier.classes:
        raise ModelError(f"{member.uri} does not know the classes of {pixels.name}")
    return pixels


def _is_foreign(member: Member, pixels: PixelStore) -> bool:
    """Whether a member was trained on other data than these, or divided in another way."""
    return pixels.digest != member.classifier.data_digest


def _cannot_be_fitted(member: Member) -> ModelError:
    return ModelError(
        f"{member.uri} was trained on other images, or another split of them, so nothing can be fitted on the "
        "validation images; vote=majority and, for soft votes, calibrate=none need nothing fitted"
    )


def _of_split(
    members: Sequence[Member], stores: Sequence[PixelStore], split: str, device: torch.device
) -> list[Probabilities]:
    return [predict_split(one.classifier, pixels, split, device) for one, pixels in zip(members, stores, strict=True)]


def _validation(members: Sequence[Member], stores: Sequence[PixelStore], device: torch.device) -> Validation:
    pixels = stores[0]
    return Validation(_of_split(members, stores, "val", device), pixels.labels[pixels.splits["val"]])


def _rule(options: EnsembleOptions, validation: Validation | None) -> VotingRule:
    """The voting rule that is asked for, with what it needs fitted."""
    rule = VotingRule(options.vote)
    if options.fitted:
        assert validation is not None, "asked for, or an error"
        rule = validation.rule(options.vote, calibrate=options.calibrated)
    return dataclasses.replace(rule, abstain=Abstention.parse(options.abstain) if options.abstain else None)


def _write_predictions(outcome: VoteOutcome, output: Path) -> None:
    """Write the predictions beside their place and rename."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        tables.no_formulas(outcome.frame()).to_csv(part, index=False, float_format="%.6f")
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _register(
    options: EnsembleOptions,
    store: TrackingStore,
    log: RunLog,
    members: Sequence[Member],
    bundles: Sequence[Path],
    rule: VotingRule,
    example: bytes,
) -> str:
    """The version of the registered vote with these members and this rule, made if there is none. Returns its URI."""
    name = vote_name(options.dataset)
    pinned = tuple(member.uri for member in members)
    version = vote_version(store, name, pinned, rule.data())
    if version is None:
        model_id = log_vote(log, bundles, rule, example, {"members": list(pinned), "rule": rule.text})
        log.set(model_id=model_id)
        version = VersionRecord(
            name=name,
            version="",
            model_id=model_id,
            run_id=log.run_id,
            description=f"Vote of {', '.join(pinned)}, best first. {rule.text}",
            members=pinned,
            rule=rule.data(),
        )
    return register_vote(store, version).uri


def scores(outcome: VoteOutcome, members: Sequence[Member]) -> pd.DataFrame:
    """Accuracy of every member and of the vote on the images that it decided, with its 95% interval over images."""
    accuracies, vote = outcome.accuracies()
    *of_members, of_vote = outcome.right
    decided = of_vote[~outcome.decision.undecided]
    intervals = [_interval(right) for right in (*of_members, decided)]
    rows = [
        {"": member.name, "model": member.classifier.config.model, "version": member.uri, "test accuracy": accuracy}
        for member, accuracy in zip(members, accuracies, strict=True)
    ]
    rows.append({"": audit.VOTE, "model": f"{len(members)} members", "version": "", "test accuracy": vote})
    table = pd.DataFrame(rows).assign(**{"95% interval": intervals})
    return table if outcome.rule.abstain is None else table.assign(coverage=[1.0] * len(members) + [outcome.coverage])


def _interval(right: NDArray[np.bool_]) -> str:
    if not len(right):
        return "–"
    interval = proportion_interval(right)
    return f"{interval.low:.4f} to {interval.high:.4f}"


def _log_page(
    outcome: VoteOutcome,
    table: pd.DataFrame | None,
    images: _Predicted,
    version: str,
    options: EnsembleOptions,
    log: RunLog,
) -> None:
    agreed = outcome.decision.agreement
    facts = {
        "images": f"{len(agreed):,} ({options.images or f'test split of {options.dataset}'})",
        "all members agree on": f"{float((agreed == 1).mean()):.1%}",
        "registered as": version,
        "run": log.run_id,
    }
    if options.abstain:
        facts["decided"] = f"{outcome.coverage:.1%} (abstain={options.abstain})"
    fitted, labels = images.validation, images.labels
    rules = None if fitted is None or labels is None else audit.compare_rules(images.probabilities, labels, fitted)
    page = VotePage(f"Vote on {options.dataset}", facts, outcome, table, rules, images.picture)
    with temporary_folder() as folder:
        page.write(Path(folder))
        log.artifacts(Path(folder))
    log.metrics({"agreement/mean": float(agreed.mean()), "coverage": outcome.coverage, "images": len(agreed)})
    heading = f"Vote of {len(outcome.members)} models on {facts['images']} images, registered as `{version}`."
    parts = [heading, outcome.rule.text]
    if table is not None:
        log.metrics(_measured(outcome))
        parts[1:1] = [tables.markdown(table), mcnemar_line(outcome)]
    log.note("\n\n".join(parts))


def _measured(outcome: VoteOutcome) -> dict[str, float | None]:
    """The figures of the audit as metrics."""
    accuracies, vote = outcome.accuracies()
    names = (*outcome.members, audit.VOTE)
    found = {f"{name}/accuracy": value for name, value in zip(names, (*accuracies, vote), strict=True)}
    for name, calibration in audit.calibrations(outcome).items():
        found |= {f"{name}/{measure}": value for measure, value in dataclasses.asdict(calibration).items()}
    return {**found, f"{audit.VOTE}/mcnemar_p": audit.against_best(outcome).p}
