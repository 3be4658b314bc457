"""Classifiers that are saved and loaded, and what they say of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorum.config import TrialConfig
from quorum.data.images import find_images
from quorum.errors import DataError, ModelError
from quorum.models import build
from quorum.voting.classifier import Classifier
from quorum.voting.predict import Member, check_classes, decide, predict_files

CONFIG = TrialConfig(model="scratch-simple", input_size=32, resize=0, normalize="half", precision="float32")


def classifier(folder: Path, seed: int, classes: tuple[str, ...] = ("blue", "red")) -> Classifier:
    weights = build("scratch-simple", len(classes), seed=seed).state_dict()
    Classifier.save(folder, CONFIG.replace(seed=seed), classes, "digest", weights)
    return Classifier.load(folder)


def test_a_bundle_answers_alike_wherever_it_is_loaded(tmp_path: Path, image_tree: Path) -> None:
    one = classifier(tmp_path / "one", 1)
    images = [image.decode(image.content()) for image in find_images(image_tree)]
    probabilities = one.probabilities(images)
    assert probabilities.shape == (40, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(Classifier.load(tmp_path / "one").probabilities(images), probabilities)


def test_files_are_predicted_by_name_in_order(tmp_path: Path, image_tree: Path) -> None:
    members = [Member(f"member-{i}", f"models:/m/{i}", classifier(tmp_path / str(i), i)) for i in (1, 2, 3)]
    files = find_images(image_tree)
    names, probabilities, skipped = predict_files([m.classifier for m in members], files, skip_bad=False)
    frame = decide(members, probabilities, names, None).frame()
    assert list(frame["file"]) == sorted(image.name for image in files)
    assert list(frame.columns) == [
        "file",
        "label",
        "probability",
        *(f"member-{i} {what}" for i in (1, 2, 3) for what in ("vote", "probability")),
        "agreement",
    ]
    assert set(frame["label"]) <= {"blue", "red"}
    assert not skipped


def test_a_broken_file_is_named_or_left_out(tmp_path: Path, image_tree: Path) -> None:
    (image_tree / "blue" / "00.png").write_text("no image")
    one, files = classifier(tmp_path / "one", 1), find_images(image_tree)
    with pytest.raises(DataError, match=r"1 of 40 images cannot be used: blue/00\.png"):
        predict_files([one], files, skip_bad=False)
    names, probabilities, skipped = predict_files([one], files, skip_bad=True)
    assert len(names) == len(probabilities[0]) == 39
    assert len(skipped) == 1
    with pytest.raises(DataError, match="1 of 1 images"):
        predict_files([one], files[:1], skip_bad=True)


def test_members_of_other_classes_are_refused(tmp_path: Path) -> None:
    one = Member("member-1", "models:/a/1", classifier(tmp_path / "one", 1))
    other = Member("member-2", "models:/b/1", classifier(tmp_path / "other", 1, ("blue", "green")))
    turned = Member("member-3", "models:/c/1", classifier(tmp_path / "turned", 1, ("red", "blue")))
    assert check_classes([one, one]) == ("blue", "red")
    with pytest.raises(ModelError, match="models:/a/1 and models:/b/1 do not know the same classes \\(green, red"):
        check_classes([one, other])
    with pytest.raises(ModelError, match="their order"):
        check_classes([one, turned])


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a classifier"):
        Classifier.load(tmp_path)
    (tmp_path / "classifier.json").write_text("{}")
    with pytest.raises(ModelError, match="not a classifier"):
        Classifier.load(tmp_path)
