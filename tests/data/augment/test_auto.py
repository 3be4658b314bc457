"""RandAugment and TrivialAugment against torchvision's transforms of uint8 images, which are handed the same draws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torchvision.transforms import v2

from quorum.data.augment.auto import BINS, COLORS, KINDS, MOVES, SIGNED, AutoAugment, RandAugment, TrivialAugment
from quorum.data.augment.operation import Draws
from quorum.randomness import generator

EXACT = ("identity", "posterize", "solarize", "autocontrast", "equalize")


def made_up(n: int, size: int) -> torch.Tensor:
    """Noise, with a dark, a gray and a nearly even image, on which contrast and histogram have edge cases."""
    pixels = torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    pixels[0] //= 4
    pixels[1] = pixels[1, :1]
    pixels[2] = 77
    pixels[2, :, 0, 0] = 78
    return pixels


def one_of_each(operation: AutoAugment, size: int, repeats: int) -> Draws:
    """Draws in which each kind of change occurs for `repeats` images, first."""
    draws = operation.draw(len(KINDS) * repeats, size, generator(0, 1, "augment"))
    wanted = torch.arange(len(KINDS)).repeat(repeats)
    more = operation.draw(2000, size, generator(0, 2, "augment"))
    for i, kind in enumerate(wanted.tolist()):
        source = int((more["kind"][:, 0] == kind).nonzero()[i // len(KINDS)])
        for name in draws:
            draws[name][i] = more[name][source]
    return draws


def theirs(operation: AutoAugment, image: torch.Tensor, kinds: list[int], magnitudes: list[float]) -> torch.Tensor:
    """torchvision's transform of one image, whose calls of torch's generator give what was drawn."""
    most = operation.most(image.shape[-1])
    transform: torch.nn.Module
    if isinstance(operation, RandAugment):
        transform = v2.RandAugment(operation.n, operation.magnitude)
    else:
        transform = v2.TrivialAugmentWide()

    def drawn() -> Iterator[float]:
        for kind, magnitude in zip(kinds, magnitudes, strict=True):
            yield kind
            if (name := KINDS[kind]) in most:
                if isinstance(operation, TrivialAugment):
                    yield int((torch.linspace(*most[name], BINS) - abs(magnitude)).abs().argmin())
                if name in SIGNED:
                    yield 0.0 if magnitude < 0 else 1.0

    values = drawn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randint", lambda *_: torch.tensor(next(values)))
        patch.setattr(torch, "rand", lambda *_: torch.tensor(next(values)))
        out = transform(image)
    assert next(values, None) is None, "torchvision has drawn less"
    return out


@pytest.mark.parametrize("size", [32, 33, 64])
@pytest.mark.parametrize("operation", [RandAugment(1, 9), RandAugment(1, 30), TrivialAugment()], ids=str)
def test_each_change_is_torchvisions(operation: AutoAugment, size: int) -> None:
    draws = one_of_each(operation, size, repeats=6)
    pixels = made_up(len(draws["kind"]), size)
    out = operation.apply(pixels, operation.prepare(draws, size))
    changed: dict[str, list[torch.Tensor]] = {}
    for i, (kind, magnitude) in enumerate(zip(draws["kind"].tolist(), draws["magnitude"].tolist(), strict=True)):
        expected = theirs(operation, pixels[i], kind, magnitude)
        changed.setdefault(KINDS[kind[0]], []).append(out[i].int() - expected.int())
    assert changed.keys() == set(KINDS)
    for name, found in changed.items():
        away = torch.stack(found).abs()
        if name in EXACT:
            assert away.max() == 0, name
        elif name in MOVES:  # nearest neighbor: rounding may take the other neighbor on a boundary
            assert (away > 0).float().mean() < 0.01, name
        else:  # a whole number may become the one below it
            assert away.max() <= 1, name
            assert (away > 0).float().mean() < 0.01, name


def test_changes_one_after_the_other_are_torchvisions() -> None:
    operation = RandAugment(3, 12)
    pixels = made_up(60, 32)
    draws = operation.draw(60, 32, generator(0, 1, "augment"))
    out = operation.apply(pixels, operation.prepare(draws, 32))
    expected = torch.stack(
        [theirs(operation, pixels[i], draws["kind"][i].tolist(), draws["magnitude"][i].tolist()) for i in range(60)]
    )
    # autocontrast and equalize hand a difference in one pixel on to others, a little
    assert ((out.int() - expected.int()).abs() > 2).float().mean() < 0.01


def test_draws_cover_kinds_magnitudes_and_signs() -> None:
    draws = TrivialAugment().draw(20_000, 32, generator(0, 1, "augment"))
    counts = torch.bincount(draws["kind"][:, 0], minlength=len(KINDS))
    assert (counts - 20_000 / 14).abs().max() < 200
    for number, name in enumerate(KINDS):
        found = draws["magnitude"][draws["kind"] == number].unique()
        if name in SIGNED:
            assert len(found) == 2 * BINS - 1
            assert torch.equal(found, -found.flip(0))
        elif name == "posterize":
            assert found.min() == 2 and found.max() == 8
        elif name == "solarize":
            assert found.min() == 0 and found.max() == 1
        else:
            assert found.tolist() == [0]


def test_every_kind_is_a_move_a_color_or_nothing() -> None:
    assert set(KINDS) == {"identity", *MOVES, *COLORS}


def test_floats_are_changed_as_their_bytes_are() -> None:
    operation, pixels = RandAugment(2, 15), made_up(40, 32)
    prepared = operation.prepare(operation.draw(40, 32, generator(0, 1, "augment")), 32)
    out = operation.apply(pixels.float() / 255, prepared)
    assert torch.equal(out, operation.apply(pixels, prepared).float() / 255)
