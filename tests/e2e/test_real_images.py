"""Real images: accuracy well above chance, on parts of Caltech-101 and CIFAR-10 that train within a minute."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Quorum

CALTECH_CLASSES = ("airplanes", "Motorbikes", "Faces_easy", "watch", "Leopards")
CIFAR_IMAGES = {"train": 300, "val": 50, "test": 50}  # of each class


def link_images(source: Path, target: Path, first: int, count: int) -> None:
    target.mkdir(parents=True)
    for file in sorted(source.iterdir())[first : first + count]:
        (target / file.name).symlink_to(file)


def test_alexnet_on_caltech101(quorum: Quorum, caltech_folder: Path) -> None:
    for name in CALTECH_CLASSES:
        link_images(caltech_folder / "101_ObjectCategories" / name, quorum.folder / "caltech" / name, 0, 90)
    arguments = "-P dataset=folder -P path=caltech -P model=alexnet -P input_size=64 -P resize=64 -P optimizer=adam"
    answer = quorum("train", "--json", *arguments.split(), *"-P lr=0.0002 -P batch_size=32 -P epochs=5".split())
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    assert result["test_accuracy"] > 0.6  # chance is 0.2
    assert result["best_val_accuracy"] > 0.6


def test_scratch_simple_on_cifar10(quorum: Quorum, cifar_folder: Path) -> None:
    for name in (path.name for path in (cifar_folder / "train").iterdir()):
        first = 0
        for split, count in CIFAR_IMAGES.items():
            link_images(cifar_folder / "train" / name, quorum.folder / "cifar" / split / name, first, count)
            first += count
    arguments = "-P dataset=folder -P path=cifar -P model=scratch-simple -P resize=0 -P optimizer=adam -P lr=0.001"
    answer = quorum("train", "--json", *arguments.split(), *"-P batch_size=32 -P epochs=6 -P augment=flip".split())
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    assert result["test_accuracy"] > 0.4  # chance is 0.1
