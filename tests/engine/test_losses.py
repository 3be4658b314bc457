"""Contracts that every loss keeps."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from quorum.engine.losses import LOSSES, check_loss, check_mixed, check_weighted, make_loss, register_loss
from quorum.errors import ConfigError

# The same in torch.
REFERENCES: dict[str, Callable[..., torch.Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "cross_entropy(label_smoothing=0.1)": functools.partial(F.cross_entropy, label_smoothing=0.1),
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
        ("cross_entropy(class_weights=2)", "no setting of cross_entropy 'class_weights'; choose from label_smoothing"),
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


WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.1])


@every
def test_weighted_classes_are_torchs(text: str) -> None:
    """The mean is over the weights of the labels."""
    check_weighted(text)
    logits, labels = made_up()
    found = make_loss(text)(logits, labels, class_weights=WEIGHTS)
    assert torch.equal(found, REFERENCES[text](logits, labels, WEIGHTS))
    if text == "cross_entropy":
        of_each = F.cross_entropy(logits, labels, reduction="none")
        torch.testing.assert_close(found, (of_each * WEIGHTS[labels]).sum() / WEIGHTS[labels].sum())


@every
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_shares_of_classes_are_those_of_the_mixed_losses(text: str, weights: torch.Tensor | None) -> None:
    """The mean is over the images, weighted or not."""
    check_mixed(text)
    logits, labels = made_up()
    loss, other = make_loss(text), labels.roll(1)
    shares = 0.7 * F.one_hot(labels, 4) + 0.3 * F.one_hot(other, 4)
    found = loss(logits, shares, class_weights=weights)
    assert torch.equal(found, REFERENCES[text](logits, shares, weights))
    if weights is None:
        torch.testing.assert_close(found, 0.7 * loss(logits, labels) + 0.3 * loss(logits, other))


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.multi_margin_loss(logits, labels)


def wrong_for_shares(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (logits[:, :1] - labels[:, None]).square().mean()


def brier(
    logits: torch.Tensor, labels: torch.Tensor, *, class_weights: torch.Tensor | None = None, power: int = 2
) -> torch.Tensor:
    shares = labels if labels.is_floating_point() else F.one_hot(labels, logits.shape[1])
    of_each = (logits.softmax(dim=1) - shares).abs() ** power
    return (of_each if class_weights is None else of_each * class_weights).sum(dim=1).mean()


@pytest.mark.parametrize("function", [margin, wrong_for_shares])
def test_a_loss_of_labels_alone_is_refused_where_classes_are_weighted_or_mixed(
    function: Callable[..., torch.Tensor],
) -> None:
    register_loss("mine")(function)
    try:
        check_loss("mine")
        with pytest.raises(ConfigError) as weighted:
            check_weighted("mine")
        with pytest.raises(ConfigError) as mixed:
            check_mixed("mine")
    finally:
        LOSSES.remove("mine")
    reason = "balance=weights needs a loss with an argument class_weights, which this one lacks"
    assert str(weighted.value) == f"loss: 'mine': {reason}"
    assert str(mixed.value).startswith("loss: 'mine': mix needs a loss that takes shares of the classes")


def test_a_loss_of_a_users_own_can_take_both() -> None:
    register_loss("brier")(brier)
    try:
        check_weighted("brier(power=1)")
        check_mixed("brier(power=1)")
    finally:
        LOSSES.remove("brier")
