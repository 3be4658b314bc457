"""Contracts that every loss keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from quorum.engine.losses import LOSSES, check_loss, make_loss, register_loss
from quorum.errors import ConfigError

# The same in torch.
REFERENCES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "cross_entropy(label_smoothing=0.1)": lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=0.1),
}
every = pytest.mark.parametrize("text", REFERENCES)


def made_up() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 4, generator=draw).requires_grad_()
    return logits, torch.randint(4, (20,), generator=draw)


def test_every_loss_has_a_reference() -> None:
    assert {text.partition("(")[0] for text in REFERENCES} == set(LOSSES), "a new loss needs a row in this test"


@every
def test_it_equals_torchs(text: str) -> None:
    logits, labels = made_up()
    assert torch.equal(make_loss(text)(logits, labels), REFERENCES[text](logits, labels))


@every
def test_its_gradient_is_that_of_finite_differences(text: str) -> None:
    logits, labels = made_up()
    assert torch.autograd.gradcheck(
        lambda given: make_loss(text)(given, labels), logits.detach().double().requires_grad_()
    )


@every
def test_it_is_a_mean_over_images(text: str) -> None:
    logits, labels = made_up()
    loss = make_loss(text)
    twice = loss(torch.cat([logits, logits]), torch.cat([labels, labels]))
    torch.testing.assert_close(twice, loss(logits, labels))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cross_entrop", "no loss 'cross_entrop' (did you mean 'cross_entropy'?)"),
        ("cross_entropy(smoothing=0.1)", "no setting of cross_entropy 'smoothing' (did you mean 'label_smoothing'?)"),
        ("cross_entropy(0.1)", "the settings of cross_entropy are given by name: label_smoothing"),
        ("cross_entropy(label_smoothing=2)", "'cross_entropy(label_smoothing=2)': label_smoothing must be between"),
        ("cross_entropy(label_smoothing='a')", "label_smoothing"),
    ],
)
def test_what_cannot_be_used_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_loss(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.setting == "loss"


@pytest.mark.parametrize(
    "function",
    [lambda logits, labels: logits.mean(dim=1), lambda logits, labels: logits.detach().mean()],
    ids=["of each image", "without a gradient"],
)
def test_a_loss_that_cannot_be_trained_on_is_refused(function: Callable[..., torch.Tensor]) -> None:
    register_loss("mine")(function)
    try:
        with pytest.raises(ConfigError, match=r"loss: 'mine': is a tensor of shape .* that has a gradient"):
            check_loss("mine")
    finally:
        LOSSES.remove("mine")
