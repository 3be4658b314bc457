"""Predictions of several networks on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from quorum.data.batches import Batches
from quorum.data.images import ImageSource, Pixels, in_parts, refuse_bad
from quorum.data.pixel_store import PixelStore
from quorum.errors import DataError, ModelError
from quorum.voting.classifier import Classifier
from quorum.voting.rules import Decision, VotingRule
from quorum.voting.vote import Probabilities


@dataclass(frozen=True)
class Member:
    """One network of a vote.

    Attributes:
        name: short, unique in the vote.
        uri: the model version that it is.
        classifier: the network.
    """

    name: str
    uri: str
    classifier: Classifier


def check_classes(members: Sequence[Member]) -> tuple[str, ...]:
    """The classes that all members share, in order. Raises ModelError where they differ."""
    first = members[0].classifier.classes
    for member in members[1:]:
        if member.classifier.classes != first:
            differing = sorted(set(first) ^ set(member.classifier.classes))[:5] or ["their order"]
            raise ModelError(
                f"{members[0].uri} and {member.uri} do not know the same classes ({', '.join(differing)} differ), "
                "so they cannot vote together"
            )
    return first


def predict_split(classifier: Classifier, pixels: PixelStore, split: str, device: torch.device) -> Probabilities:
    """Class probabilities float32 [n, classes] of a split, in its order.

    Args:
        classifier: the network.
        pixels: the data set, resized as the network's preprocessing asks where image sizes differ.
        split: its name.
        device: where it is computed.
    """
    classifier.model.to(device)
    batches = Batches.alike(pixels, classifier.preprocess, device)
    return classifier.of_batches(images for images, _ in batches.evaluation(split))


def predict_files(
    classifiers: Sequence[Classifier], images: Sequence[ImageSource], *, skip_bad: bool
) -> tuple[list[str], list[Probabilities], list[str]]:
    """Class probabilities of image files, decoded once for all networks and in parts that fit into memory.

    Returns:
        Names of the images, each network's probabilities [n, classes], and a line for each image left out.

    Raises:
        DataError: for unreadable images, named and counted, unless `skip_bad`; always where none is left.
    """
    names: list[str] = []
    skipped: list[str] = []

    def decoded() -> Iterator[Pixels]:
        for image in images:
            try:
                pixels = image.decode(image.content())
            except (DataError, OSError) as error:
                skipped.append(" ".join(str(error).split()))
            else:
                names.append(image.name)
                yield pixels

    parts: list[list[Probabilities]] = [[] for _ in classifiers]
    for pixels in in_parts(decoded()):
        for part, classifier in zip(parts, classifiers, strict=True):
            part.append(classifier.probabilities(pixels))
    if not skip_bad or not names:
        refuse_bad(skipped, len(images))
    return names, [np.concatenate(part) for part in parts], skipped


@dataclass(frozen=True)
class VoteOutcome:
    """What the members and their vote say of n images.

    Attributes:
        files: [n] image names.
        classes: class names.
        members: their names, best first.
        rule: how they vote.
        decision: what came out.
        labels: int64 [n], or None for unlabeled images.
    """

    files: Sequence[str]
    classes: tuple[str, ...]
    members: tuple[str, ...]
    rule: VotingRule
    decision: Decision
    labels: NDArray[np.int64] | None

    def frame(self) -> pd.DataFrame:
        """One row per image: file, label (empty where it is undecided) and its probability, each member's vote and its
        probability, agreement, and the true class."""
        names, decision = np.array(self.classes, dtype=object), self.decision
        columns: dict[str, object] = {
            "file": list(self.files),
            "label": np.where(decision.undecided, "", names[decision.labels]),
            "probability": decision.probability,
        }
        for member, votes, of_member in zip(self.members, decision.votes, decision.member_probabilities, strict=True):
            columns[f"{member} vote"] = names[votes]
            columns[f"{member} probability"] = of_member.max(axis=1)
        columns["agreement"] = decision.agreement
        if self.labels is not None:
            columns["true"] = names[self.labels]
        return pd.DataFrame(columns)

    @property
    def right(self) -> NDArray[np.bool_]:
        """[members + 1, n], whether each member and, last, the vote are right; undecided images count as it would have
        decided. Only with labels."""
        assert self.labels is not None
        return np.stack([*self.decision.votes, self.decision.labels]) == self.labels

    @property
    def coverage(self) -> float:
        """Fraction of the images that are decided."""
        return float(1 - self.decision.undecided.mean())

    def accuracies(self) -> tuple[list[float], float | None]:
        """The members' accuracies and the vote's on the images that it decided (None where there is none), fractions.
        Only with labels."""
        *members, vote = self.right
        decided = vote[~self.decision.undecided]
        return [float(right.mean()) for right in members], float(decided.mean()) if len(decided) else None


def decide(
    members: Sequence[Member],
    probabilities: Sequence[Probabilities],
    files: Sequence[str],
    labels: NDArray[np.int64] | None,
    rule: VotingRule | None = None,
) -> VoteOutcome:
    """Let members vote, best first.

    Args:
        members: the networks.
        probabilities: each one's as it gives them, float32 [n, classes].
        files: [n] image names.
        labels: int64 [n], or None for unlabeled images.
        rule: how they vote; by default by majority.
    """
    rule = rule or VotingRule()
    names = tuple(member.name for member in members)
    return VoteOutcome(files, members[0].classifier.classes, names, rule, rule.decide(probabilities), labels)
