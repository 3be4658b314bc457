"""Random erasing against torchvision's, on the same drawn rectangles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torchvision.transforms import v2

from quorum.data.augment.erasing import RandomErasing
from quorum.data.augment.policies import policy
from quorum.errors import ConfigError
from quorum.randomness import generator

SIZE = 32


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_it_is_torchvisions(value: float) -> None:
    operation = RandomErasing(0.5, value=value)
    images = torch.rand(40, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    draws = operation.draw(len(images), SIZE, generator(0, 1, "augment"))
    out = operation.apply(images, operation.prepare(draws, SIZE))
    erased = 0
    for image, changed, start, sides in zip(images, out, draws["start"], draws["sides"], strict=True):
        (top, left), (height, width) = start.int().tolist(), sides.int().tolist()
        expected = v2.functional.erase(image, top, left, height, width, torch.full((3, 1, 1), value))
        assert torch.equal(changed, expected)
        erased += bool(height * width)
    assert 10 < erased < 30


def test_its_rectangles_are_those_of_torchvisions_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision draws a number for each of: area, logarithm of the ratio, row, column."""
    operation = RandomErasing(1.0, (0.02, 0.9), (0.3, 3.3))
    transform = v2.RandomErasing(1.0, (0.02, 0.9), (0.3, 3.3))
    draws = operation.draw(50, SIZE, generator(0, 1, "augment"))
    again = generator(0, 1, "augment")
    torch.rand(50, generator=again)
    areas, ratios = torch.rand(500, generator=again).view(50, 10), torch.rand(500, generator=again).view(50, 10)
    second = 0
    for i in range(50):
        values = torch.stack([areas[i], ratios[i]], dim=1).flatten().tolist()
        left = iter(values)

        def uniform(tensor: torch.Tensor, low: float, high: float, left: Iterator[float] = left) -> torch.Tensor:
            return tensor.fill_(float(low) + next(left) * (float(high) - float(low)))

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "uniform_", uniform)
            found = transform.make_params([torch.zeros(3, SIZE, SIZE)])
        assert draws["sides"][i].tolist() == [found["h"], found["w"]]
        second += len(list(left)) < 18
    assert second > 0  # some first draws did not fit


def test_draws_cover_the_image() -> None:
    draws = RandomErasing(1.0).draw(5000, SIZE, generator(0, 1, "augment"))
    stop = draws["start"] + draws["sides"]
    assert draws["start"].min() == 0 and stop.max() == SIZE
    area = draws["sides"].prod(dim=1) / SIZE**2
    assert 0.01 < area.min() < 0.03 and 0.31 < area.max() < 0.36


def test_where_no_rectangle_fits_the_image_stays() -> None:
    operation = RandomErasing(1.0, (1.0, 1.0), (1.0, 1.0))
    images = torch.rand(4, 3, SIZE, SIZE)
    draws = operation.draw(4, SIZE, generator(0, 1, "augment"))
    assert torch.equal(operation.apply(images, operation.prepare(draws, SIZE)), images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random_erasing(2)", "p=2 must be less than or equal to 1"),
        ("random_erasing(scale=(0.3, 0.1))", "scale=(0.3, 0.1) must be two fractions above 0"),
        ("random_erasing(ratio=(0, 1))", "ratio=(0.0, 1.0) must be two numbers above 0"),
        ("random_erasing(value=-1)", "value=-1 must be greater than or equal to 0"),
        ("randaugment(0)", "n=0 must be greater than or equal to 1"),
        ("randaugment(magnitude=31)", "magnitude=31 must be less than 31"),
        ("randaugment(2.5)", "n=2.5 must be a valid integer"),
        ("trivial_augment(3)", "it is trivial_augment()"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
