"""`quorum.ensemble`: the promoted models vote, on the test split or on a folder of images."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quorum.api.computing import device_of
from quorum.api.member_predictions import Predicted, predict
from quorum.api.options import ComputeOptions
from quorum.api.own_folders import with_dataset
from quorum.api.promote import run_promotion
from quorum.api.registry_options import EnsembleOptions, PromoteOptions
from quorum.api.session import divide, documented, make_output_folder, named, tracking
from quorum.api.vote_page import FILE as REPORT
from quorum.api.vote_page import VotePage, mcnemar_line
from quorum.console import say
from quorum.errors import DataError, RegistryError
from quorum.reporting import tables
from quorum.temporary import temporary_folder
from quorum.tracking import schema
from quorum.tracking.class_names import check_registered_classes
from quorum.tracking.leases import TURN
from quorum.tracking.logged_models import fetch_bundles, log_vote
from quorum.tracking.queries import has_vote
from quorum.tracking.records import VoteRecord
from quorum.tracking.registry import (
    best_members,
    model_name,
    register_vote,
    version_of,
    versions,
    vote_name,
    vote_version,
)
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore
from quorum.tracking.version_record import VersionRecord
from quorum.tracking.views import artifact_page, last_views
from quorum.voting import audit
from quorum.voting.abstention import Abstention
from quorum.voting.audit import Validation
from quorum.voting.classifier import Classifier
from quorum.voting.predict import Member, VoteOutcome, check_classes, decide
from quorum.voting.rules import VotingRule


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
        pages: links to its `vote`'s report in the MLflow UI and to the `trials` and `curves` of the last sweep.
    """

    run_id: str
    predictions: pd.DataFrame
    scores: pd.DataFrame | None
    registered: str
    output: Path
    members: Sequence[dict[str, Any]]
    pages: Mapping[str, str]

    @property
    def accuracy(self) -> float | None:
        """Test accuracy of the vote on the images that it decided, a fraction; None for unlabeled images, or where it
        decided none."""
        found = None if self.scores is None else self.scores["test accuracy"].iloc[-1]
        return None if found is None or np.isnan(found) else float(found)


@documented(EnsembleOptions, "dataset")
def ensemble(dataset: str | None = None, **settings: Any) -> Voted:
    """Let the promoted models of a data set vote on its test split, or on a folder of images; write the predictions and
    register the vote as a model of its own. After a sweep that ends in a vote, the best trials are promoted first
    where nothing was yet.

    Args:
        dataset: its name; by default the one of `path` or `name`, or `digits`.

    Raises:
        QuorumError: for a setting that is wrong, or members or images that are missing.
    """
    options, _ = divide(EnsembleOptions, named(dataset, settings), trial=False)
    with tracking(options) as store:
        return run_vote(options, store)


def run_vote(options: EnsembleOptions, store: TrackingStore) -> Voted:
    """`ensemble` with its options checked and its store open."""
    options = with_dataset(options, store)
    check_output(options.output)
    make_output_folder(options.output.parent)
    device = device_of(options)
    record = VoteRecord(kind=schema.ENSEMBLE_KIND, dataset=options.dataset)
    with begin_run(store, f"vote on {options.dataset}", record) as log:
        if not options.models:
            _promote_first(options, store, log.run_id)
        members, bundles = _find_members(options, store)
        uris = " ".join(member.uri for member in members)
        log.params({"dataset": options.dataset, "members": uris, "images": options.images or "test split"})
        log.params({"vote": options.vote, "calibrate": options.calibrate, "abstain": options.abstain})
        images = predict(options, members, device, log)
        rule = _rule(options, images.validation)
        outcome = decide(members, images.probabilities, images.files, images.labels, rule)
        _write_predictions(outcome, options.output)
        version = _register(options, store, log, members, bundles, rule, images.example)
        table = None if outcome.labels is None else audit.scores(outcome, members)
        _log_page(outcome, table, images, version, options, log)
        return Voted(
            run_id=log.run_id,
            predictions=outcome.frame(),
            scores=table,
            registered=version,
            output=options.output.resolve(),
            members=[{"name": m.name, "uri": m.uri, "model": m.classifier.config.model} for m in members],
            pages={"vote": artifact_page(log, REPORT), **last_views(store, log.record.experiment_id)},
        )


def check_output(output: Path) -> None:
    """Raise DataError for a file that predictions must not be written to: one that is no CSV file, or holds something
    else."""
    if output.suffix.lower() != ".csv" or (output.exists() and not output.is_file()):
        raise DataError(f"output: {output} is not the name of a CSV file")
    if output.exists():
        with output.open("rb") as file:
            first = file.readline(len(PREDICTED) + 1)
        if not first.startswith(PREDICTED) and first:
            raise DataError(f"output: {output} holds something else than predictions, and is not overwritten")


PREDICTED = b"file,label,"  # how a file of predictions begins
MEMBERS = 2  # of a vote, at least


def _promote_first(options: EnsembleOptions, store: TrackingStore, parent: str) -> None:
    """Promote the best trials where nothing ever was, after a sweep that ends in a vote."""
    name = model_name(options.dataset)
    if versions(store, name) or not has_vote(store, options.dataset):
        return
    say(f"{name}: nothing is promoted yet, so the best trials are promoted first, as by `quorum promote`")
    shared = options.model_dump(include=set(ComputeOptions.model_fields) - {"json_"})
    promotion = PromoteOptions.model_validate({**shared, "dataset": options.dataset})
    run_promotion(promotion, store, parent=parent, least=MEMBERS)


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


def _rule(options: EnsembleOptions, validation: Validation | None) -> VotingRule:
    """The voting rule that is asked for, with what it needs fitted."""
    rule = VotingRule(options.vote)
    if options.fitted:
        assert validation is not None, "asked for, or an error"
        rule = validation.rule(options.vote, calibrate=options.calibrated)
    return dataclasses.replace(rule, abstain=Abstention.parse(options.abstain) if options.abstain else None)


def _write_predictions(outcome: VoteOutcome, output: Path) -> None:
    """Write the predictions beside their place and rename."""
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
    with store.leases.hold(f"vote {name}", "registration of a vote", TURN):
        version = vote_version(store, name, pinned, rule.data())
        if version is None:
            check_registered_classes(store, name, members[0].classifier.classes)
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
        return register_vote(store, version, _description(options)).uri


def _description(options: EnsembleOptions) -> str:
    return (
        f"The vote of the promoted image classifiers for {options.dataset}. The alias current is the vote that was "
        "taken last. A version holds its members and their rule; it takes image files as they come (column `image`, "
        "base64 text) and answers label, probability, the probabilities of all classes, agreement and the members' "
        "votes."
    )


def _log_page(
    outcome: VoteOutcome,
    table: pd.DataFrame | None,
    images: Predicted,
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
        page.write(folder)
        log.artifacts(folder)
    log.metrics({"vote/agreement": float(agreed.mean()), "coverage": outcome.coverage, "images": len(agreed)})
    heading = f"Vote of {len(outcome.members)} models on {facts['images']} images, registered as `{version}`."
    parts = [heading, outcome.rule.text]
    if table is not None:
        log.metrics(audit.measures(outcome))
        parts[1:1] = [tables.markdown(table), mcnemar_line(outcome)]
    log.note("\n\n".join(parts))
