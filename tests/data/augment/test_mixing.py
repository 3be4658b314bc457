"""mixup and cutmix against torchvision's transforms, which are handed the same draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from quorum.data.augment.mixing import CutMix, Mix, MixUp, mixing
from quorum.errors import ConfigError

SIZE, CLASSES = 32, 5


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(7, 3, SIZE, SIZE, generator=draw).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(CLASSES, (7,), generator=draw)


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", [MixUp(0.2), MixUp(), CutMix()], ids=str)
def test_a_batch_is_torchvisions(
    batch: tuple[torch.Tensor, torch.Tensor], kind: MixUp | CutMix, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = kind.draw(draws(seed), SIZE)
    theirs = v2.MixUp(num_classes=CLASSES) if isinstance(kind, MixUp) else v2.CutMix(num_classes=CLASSES)
    params: dict[str, Any] = {"lam": mix.share, "lam_adjusted": mix.share, "box": mix.box}
    monkeypatch.setattr(theirs, "make_params", lambda _inputs: params)
    before = batch[0].clone()
    images, labels = theirs(*batch)
    assert torch.equal(mix.images(batch[0]), images)
    assert torch.equal(mix.labels(batch[1], CLASSES), labels)
    assert mix.images(batch[0]).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch[0], before)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(7))


@pytest.mark.parametrize("seed", range(20))
def test_a_box_is_that_of_torchvisions_formula(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    again = draws(seed)
    share, (x, y) = again.beta(0.7, 0.7), again.integers(SIZE, size=2).tolist()
    theirs, values = v2.CutMix(alpha=0.7, num_classes=CLASSES), iter([x, y])
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda *_: torch.tensor(share, dtype=torch.float64))
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(values)]))
    found = theirs.make_params([torch.zeros(1, 3, SIZE, SIZE)])
    mix = CutMix(0.7).draw(draws(seed), SIZE)
    assert mix.box == found["box"]
    assert mix.share == pytest.approx(found["lam_adjusted"], abs=1e-12)


def test_shares_are_drawn_from_their_distribution() -> None:
    source = draws()
    shares = np.array([MixUp(0.4).draw(source, SIZE).share for _ in range(5000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 1e3, 1e300])
def test_any_alpha_gives_shares(alpha: float) -> None:
    source = draws()
    for kind in (MixUp(alpha), CutMix(alpha)):
        assert all(0 <= kind.draw(source, SIZE).share <= 1 for _ in range(100))


def test_one_image_is_mixed_with_itself() -> None:
    images = torch.randn(1, 3, SIZE, SIZE)
    torch.testing.assert_close(Mix(0.3).images(images), images)
    assert torch.equal(Mix(0.3, (1, 2, 9, 9)).images(images), images)


def test_mixings_by_name() -> None:
    assert mixing("none") is None
    assert mixing("mixup") == MixUp(1.0)
    assert mixing("mixup(alpha=0.2)") == MixUp(0.2)
    assert mixing("cutmix(0.5)") == CutMix(0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixp", "no mixing 'mixp' (did you mean 'mixup'?); choose from cutmix, mixup, none"),
        ("mixup(alpha=0)", "mix: 'mixup(alpha=0)' at character 1: mixup: alpha=0 must be greater than 0"),
        ("cutmix(beta=1)", "no argument 'beta'"),
        ("mixup | cutmix", "takes one of them, not several joined by |"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mixing(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.setting == "mix"
