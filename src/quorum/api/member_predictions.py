"""What the members of a vote say of images, before they vote: of the test split, or of a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from quorum.api.computing import open_data
from quorum.api.registry_options import EnsembleOptions
from quorum.console import say
from quorum.data.folds import fold_of
from quorum.data.images import Pixels, find_images
from quorum.data.opened import OpenDataset, example_image
from quorum.data.pixel_store import PixelStore
from quorum.errors import DataError, ModelError
from quorum.tracking.run_log import RunLog
from quorum.voting.audit import Validation
from quorum.voting.predict import Member, predict_files, predict_split
from quorum.voting.vote import Probabilities


@dataclass(frozen=True)
class Predicted:
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


def predict(options: EnsembleOptions, members: Sequence[Member], device: torch.device, log: RunLog) -> Predicted:
    """Have the members predict the test split, or the folder of images that is asked for.

    Args:
        options: which images.
        members: best first; their networks are moved to the device.
        device: where it is computed.
        log: where the data set is named.

    Raises:
        QuorumError: for images that are missing or unreadable, classes that differ, or validation images that are
            needed and not those of the members.
    """
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

    return Predicted(files, probabilities, None, validation, by_name[files[0]].content(), picture)


def _predict_test(
    data: OpenDataset, members: Sequence[Member], device: torch.device, log: RunLog, *, fitted: bool
) -> Predicted:
    stores = [_pixels(data, member) for member in members]
    elsewhere = [member for member, pixels in zip(members, stores, strict=True) if _is_foreign(member, pixels)]
    if fitted and elsewhere:
        raise _cannot_be_fitted(elsewhere[0])
    for member in elsewhere:
        say(f"warning: {member.uri} was trained on another {data.catalogue.name} and may have seen these test images")
    together = _validate_together(stores)
    if fitted and not together:
        raise _different_folds()
    if not together:
        say("voting rules are not compared: no validation images are new to all members, which were trained in folds")
    pixels = stores[0].whole
    test = pixels.splits["test"]
    log.dataset(pixels.name, pixels.digest, data.source, pixels.counts(), "testing")
    log.set(data_digest=pixels.digest)
    return Predicted(
        files=[pixels.files[i] for i in test],
        probabilities=_of_split(members, stores, "test", device),
        labels=pixels.labels[test],
        validation=None if elsewhere or not together else _validation(members, stores, device),
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
    if not _validate_together(stores):
        raise _different_folds()
    return _validation(members, stores, device)


def _pixels(data: OpenDataset, member: Member) -> PixelStore:
    """The data set as a member's training saw it: resized, and in its fold if it had one."""
    classifier = member.classifier
    pixels = data.pixels(classifier.preprocess.resize)
    if pixels.classes != classifier.classes:
        raise ModelError(f"{member.uri} does not know the classes of {pixels.name}")
    return fold_of(pixels, classifier.config.folds, classifier.config.seed)


def _is_foreign(member: Member, pixels: PixelStore) -> bool:
    """Whether a member was trained on other data than these, or divided in another way."""
    return pixels.digest != member.classifier.data_digest


def _validate_together(stores: Sequence[PixelStore]) -> bool:
    """Whether the members have the same validation images. Those of one may be another's training images otherwise."""
    first, *others = (store.splits["val"] for store in stores)
    return all(np.array_equal(first, other) for other in others)


def _different_folds() -> ModelError:
    return ModelError(
        "the members were trained in different folds, so no validation images are new to all of them and nothing can "
        "be fitted; vote=majority and, for soft votes, calibrate=none need nothing fitted"
    )


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
