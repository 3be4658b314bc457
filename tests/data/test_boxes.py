"""Random resized crops: boxes as torchvision draws them, resized as it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from quorum.data import load_catalogue
from quorum.data.batches import Batches
from quorum.data.crop import random_boxes
from quorum.data.pixel_store import open_store
from quorum.data.preprocess import Preprocess
from quorum.data.windows import read_boxes
from quorum.randomness import generator

CPU = torch.device("cpu")
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def test_boxes_lie_in_their_images_and_keep_to_area_and_ratio() -> None:
    heights, widths = np.full(4000, 120), np.full(4000, 90)
    boxes = random_boxes(heights, widths, SCALE, RATIO, generator(0, 1, "augment"))
    assert (boxes.tops >= 0).all()
    assert (boxes.lefts >= 0).all()
    assert (boxes.tops + boxes.heights <= 120).all()
    assert (boxes.lefts + boxes.widths <= 90).all()
    ratios, areas = boxes.widths / boxes.heights, boxes.widths * boxes.heights / (120 * 90)
    assert ratios.min() > 0.72
    assert ratios.max() < 1.37
    assert areas.min() > 0.075
    assert areas.max() > 0.9
    assert boxes.tops.min() == boxes.lefts.min() == 0
    assert (boxes.tops + boxes.heights).max() == 120


def test_they_are_distributed_as_torchvisions() -> None:
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(0)
    image = torch.empty(3, 60, 80)
    theirs = np.array([RandomResizedCrop.get_params(image, list(SCALE), list(RATIO)) for _ in range(4000)])
    boxes = random_boxes(np.full(4000, 60), np.full(4000, 80), SCALE, RATIO, generator(0, 1, "augment"))
    ours = np.stack([boxes.tops, boxes.lefts, boxes.heights, boxes.widths], axis=1)
    spread = theirs.std(axis=0) / 4000**0.5
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 5 * spread).all()
    assert ours.std(axis=0) == pytest.approx(theirs.std(axis=0), rel=0.06)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(10, 1000, (0, 493, 10, 13)), (1000, 10, (493, 0, 13, 10)), (30, 30, (0, 0, 30, 30))],
)
def test_where_none_fits_it_is_the_largest_in_the_center(
    height: int, width: int, expected: tuple[int, int, int, int]
) -> None:
    scale = (1.0, 1.0)
    ratio = RATIO if height != width else (1.0, 1.0)
    boxes = random_boxes(np.array([height]), np.array([width]), scale, ratio, generator(0, 1, "augment"))
    found = (boxes.tops[0], boxes.lefts[0], boxes.heights[0], boxes.widths[0])
    assert found == expected


@pytest.mark.parametrize("resize", [0, 40])
def test_boxes_are_resized_as_torchvision_does(resize: int, tmp_path: Path) -> None:
    store = open_store(load_catalogue("digits", Path()), tmp_path)
    positions = store.splits["train"][:40]
    side = resize or store.image(0).shape[0]
    sides = np.full(len(positions), side)
    boxes = random_boxes(sides, sides, SCALE, RATIO, generator(0, 1, "augment"))
    ours = read_boxes(store, positions, boxes, 24, resize, CPU)
    for place, position in enumerate(positions.tolist()):
        image = torch.from_numpy(np.array(store.image(position))).permute(2, 0, 1)
        image = TF.resize(image, [resize], antialias=True) if resize else image
        box = (boxes.tops[place], boxes.lefts[place], boxes.heights[place], boxes.widths[place])
        expected = TF.resized_crop(image, *map(int, box), [24, 24], antialias=True)
        assert torch.equal(ours[place], expected)


def test_a_training_sees_them_and_the_other_splits_do_not(image_tree: Path, tmp_path: Path) -> None:
    store = open_store(load_catalogue("folder", Path(), image_tree), tmp_path)
    batches = Batches.alike(store, Preprocess(16, 0, "half"), CPU)
    of = {
        augment: next(batches.training(seed=0, epoch=1, batch_size=8, augment=augment))
        for augment in ("none", "resized-crop-flip", "random_resized_crop(scale=(0.5, 1.0))")
    }
    assert {images.shape for images, _ in of.values()} == {(8, 3, 16, 16)}
    assert len({labels.numpy().tobytes() for _, labels in of.values()}) == 1
    assert len({images.numpy().tobytes() for images, _ in of.values()}) == 3
