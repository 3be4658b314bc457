"""Predictions of several networks on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from quorum.data.batches import EVALUATION_BATCH, Batches
from quorum.data.images import ImageSource, Pixels, refuse_bad
from quorum.data.pixel_store import PixelStore
from quorum.errors import DataError, ModelError
from quorum.voting.classifier import Classifier
from quorum.voting.vote import Probabilities, agreement, majority_vote, member_votes


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
    parts: list[list[Probabilities]] = [[] for _ in classifiers]
    for start in range(0, len(images), EVALUATION_BATCH):
        pixels: list[Pixels] = []
        for image in images[start : start + EVALUATION_BATCH]:
            try:
                pixels.append(image.decode(image.content()))
                names.append(image.name)
            except (DataError, OSError) as error:
                skipped.append(" ".join(str(error).split()))
        if pixels:
            for part, classifier in zip(parts, classifiers, strict=True):
                part.append(classifier.probabilities(pixels))
    if not skip_bad or not names:
        refuse_bad(skipped, len(images))
    return names, [np.concatenate(part) for part in parts], skipped


@dataclass(frozen=True)
class VoteOutcome:
    """What the members and their vote say.

    Attributes:
        files: [n] image names.
        classes: class names.
        members: their names, best first.
        probabilities: each member's, [n, classes].
        votes: int64 [members, n].
        decided: int64 [n].
        labels: int64 [n], or None for unlabeled images.
    """

    files: Sequence[str]
    classes: tuple[str, ...]
    members: tuple[str, ...]
    probabilities: Sequence[Probabilities]
    votes: NDArray[np.int64]
    decided: NDArray[np.int64]
    labels: NDArray[np.int64] | None

    def frame(self) -> pd.DataFrame:
        """One row per image: file, label, each member's vote and its probability, agreement, and the true class."""
        names = np.array(self.classes, dtype=object)
        columns: dict[str, object] = {"file": list(self.files), "label": names[self.decided]}
        for member, votes, probabilities in zip(self.members, self.votes, self.probabilities, strict=True):
            columns[f"{member} vote"] = names[votes]
            columns[f"{member} probability"] = probabilities.max(axis=1)
        columns["agreement"] = agreement(self.votes, self.decided)
        if self.labels is not None:
            columns["true"] = names[self.labels]
        return pd.DataFrame(columns)

    def accuracies(self) -> tuple[list[float], float]:
        """The members' accuracies and the vote's, fractions. Only with labels."""
        assert self.labels is not None
        return [float((votes == self.labels).mean()) for votes in self.votes], float(
            (self.decided == self.labels).mean()
        )


def decide(
    members: Sequence[Member],
    probabilities: Sequence[Probabilities],
    files: Sequence[str],
    labels: NDArray[np.int64] | None,
) -> VoteOutcome:
    """Let members vote, best first."""
    votes = member_votes(probabilities)
    names = tuple(member.name for member in members)
    classes = members[0].classifier.classes
    return VoteOutcome(files, classes, names, probabilities, votes, majority_vote(votes), labels)
