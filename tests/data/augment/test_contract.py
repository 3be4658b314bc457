"""What every operation keeps to. A new one needs a row in EXAMPLES."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from quorum.data import load_catalogue
from quorum.data.augment.draws import Prepared
from quorum.data.augment.operation import (
    OPERATIONS,
    Draws,
    Images,
    Operation,
    RandomCrop,
    RandomResizedCrop,
    register_operation,
)
from quorum.data.augment.policies import policy
from quorum.data.batches import Batches
from quorum.data.pixel_store import open_store
from quorum.data.preprocess import Preprocess
from quorum.randomness import generator

EXAMPLES = {
    "affine": "affine(30, 0.2, (0.8, 1.2))",
    "flip": "flip",
    "grayscale": "grayscale(0.5)",
    "jitter": "jitter(0.3, 0.3, 0.3, 0.1)",
    "perspective": "perspective(0.5, 0.5)",
    "randaugment": "randaugment(2, 15)",
    "random_crop": "random_crop",
    "random_erasing": "random_erasing(0.7)",
    "random_resized_crop": "random_resized_crop",
    "rotate": "rotate(30)",
    "shift": "shift(0.2)",
    "trivial_augment": "trivial_augment",
    "vflip": "vflip",
}
ALONE = sorted(EXAMPLES.keys() - {"random_crop", "random_resized_crop"})
N, SIZE = 24, 17


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def images(request: pytest.FixtureRequest) -> Images:
    made = torch.rand(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return made.contiguous(memory_format=request.param)


def drawn(operation: Operation, seed: int = 0) -> Prepared:
    return operation.prepare(operation.draw(N, SIZE, generator(seed, 1, "augment")), SIZE)


def operation_of(name: str) -> Operation:
    (operation,) = policy(EXAMPLES[name]).operations
    return operation


def test_every_operation_has_an_example() -> None:
    assert EXAMPLES.keys() == OPERATIONS.keys()
    assert policy(EXAMPLES["random_crop"]).crop == RandomCrop()
    assert policy(EXAMPLES["random_resized_crop"]).crop == RandomResizedCrop()


@pytest.mark.parametrize("name", ALONE)
def test_draws_are_those_of_the_generator(name: str) -> None:
    operation = operation_of(name)
    first, again, other = (operation.draw(N, SIZE, generator(seed, 1, "augment")) for seed in (0, 0, 1))
    assert all(value.shape[0] == N and value.device.type == "cpu" for value in first.values())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ALONE)
def test_it_keeps_shape_type_range_and_its_argument(name: str, images: Images) -> None:
    operation, before = operation_of(name), images.clone()
    out = operation.apply(images, drawn(operation))
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1
    assert torch.equal(images, before)
    assert not torch.equal(out, images)
    assert torch.equal(out, operation.apply(images, drawn(operation)))
    assert not torch.equal(out, operation.apply(images, drawn(operation, seed=1)))


@pytest.mark.parametrize("name", ALONE)
def test_an_image_is_changed_as_if_it_were_alone(name: str, images: Images) -> None:
    operation = operation_of(name)
    prepared = drawn(operation)
    whole = operation.apply(images, prepared)
    for size in (1, 5, 16):
        for start in range(0, N, size):
            stop = min(start + size, N)
            assert torch.equal(operation.apply(images[start:stop], prepared.part(start, stop)), whole[start:stop])


@pytest.mark.family
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_image_depends_on_its_place_in_the_epoch_and_not_on_the_batch(name: str, tmp_path: Path) -> None:
    store = open_store(load_catalogue("digits", Path()), tmp_path)
    batches = Batches.alike(store, Preprocess(8, 10, "half"), torch.device("cpu"))

    def first(batch_size: int, epoch: int = 1) -> Images:
        made = batches.training(seed=0, epoch=epoch, batch_size=batch_size, augment=EXAMPLES[name])
        return torch.cat([next(made)[0] for _ in range(70 // batch_size)])[:60]

    assert torch.equal(first(10), first(35))
    assert not torch.equal(first(10), first(10, epoch=2))


def test_an_operation_needs_no_more_than_its_draws_and_their_use(images: Images) -> None:
    class Fade(Operation):
        def __init__(self, most: float = 0.5) -> None:
            self.most = most

        def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
            return {"factor": 1 - self.most * torch.rand(n, generator=generator)}

        def apply(self, images: Images, prepared: Prepared) -> Images:
            return images * prepared["factor"][:, None, None, None]

    register_operation("fade")(Fade)
    try:
        varied = policy("flip | fade(most=0.9)")
    finally:
        OPERATIONS.remove("fade")
    assert isinstance(varied.operations[1], Fade)
    assert varied.operations[1].most == 0.9
    out = varied.apply(images, varied.draw(N, SIZE, generator(0, 1, "augment")))
    assert (out.mean(dim=(1, 2, 3)) < images.mean(dim=(1, 2, 3))).all()
