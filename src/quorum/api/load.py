"""`quorum.load`: a trained network, or a vote of several, that predicts images."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from quorum.api.session import tracking
from quorum.data.images import FileImage, Pixels, decode, find_images
from quorum.errors import DataError
from quorum.tracking.logged_models import fetch_bundles
from quorum.tracking.store import TrackingStore
from quorum.voting.answers import answer
from quorum.voting.classifier import Classifier
from quorum.voting.rules import VotingRule

AnyImage = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Predictor:
    """One network, or several that vote, best first.

    Attributes:
        uri: of the model.
        members: the networks.
        rule: how they vote.
    """

    uri: str
    members: tuple[Classifier, ...]
    rule: VotingRule = field(default_factory=VotingRule)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by output."""
        return self.members[0].classes

    def to(self, device: str | torch.device) -> Predictor:
        """Move its networks to a device, in place."""
        for member in self.members:
            member.model.to(device)
        return self

    def predict(self, images: AnyImage | Iterable[AnyImage]) -> pd.DataFrame:
        """Predict images.

        Args:
            images: a folder, or one or more of: a path, the bytes of an image file, a PIL image, uint8 [h, w, 3] RGB.

        Returns:
            A row for each image: `file` (for paths), `label` (empty where a vote leaves it undecided), `probability`
            (of that class: the network's, or the mean of the members'), `probabilities` (of all classes, in the order
            of `classes`), and of a vote `agreement` (fraction of the members that voted for the label) and `votes`
            (their labels, the best member's first).

        Raises:
            DataError: for what is not a readable image, or no image at all.
        """
        names, pixels = _read(images)
        frame = answer(self.members, self.rule, pixels)
        if any(names):
            frame.insert(0, "file", names)
        return frame


def load(uri: str) -> Predictor:
    """Load a model of quorum's: `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `runs:/RUN/model`.

    Nothing is unpickled.

    Raises:
        RegistryError: where there is no such model, or it is not one of quorum's.
    """
    with tracking() as store:
        return load_model(store, uri)


def load_model(store: TrackingStore, uri: str) -> Predictor:
    """`load` from an open store."""
    fetched = fetch_bundles(store, uri)
    return Predictor(uri, tuple(Classifier.load(bundle) for bundle in fetched.bundles), fetched.rule)


def _read(images: AnyImage | Iterable[AnyImage]) -> tuple[list[str], list[Pixels]]:
    """Names ("" for what is no path) and pixels of images."""
    if isinstance(images, str | os.PathLike) and Path(images).is_dir():
        found = find_images(Path(images))
        return [image.name for image in found], [image.decode(image.content()) for image in found]
    listed: list[AnyImage]
    listed = [images] if isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray) else list(images)
    if not listed:
        raise DataError("images: none was given")
    return [_name(image) for image in listed], [_pixels(image, i) for i, image in enumerate(listed)]


def _name(image: AnyImage) -> str:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else ""


def _pixels(image: AnyImage, number: int) -> Pixels:
    if isinstance(image, bytes):
        return decode(image, f"image {number}")
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if isinstance(image, str | os.PathLike):
        file = FileImage(os.fspath(image), Path(image))
        try:
            return file.decode(file.content())
        except OSError as error:
            raise DataError(f"{file.name}: cannot be read ({error.strerror})") from error
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise DataError(f"image {number}: an array is uint8 [height, width, 3], not {array.dtype} {array.shape}")
    return array
