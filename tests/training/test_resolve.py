"""Settings that are `auto` get a value, and what makes two trainings repetitions of one another."""

from __future__ import annotations

import pytest

from quorum.config import AUTO, TrialConfig
from quorum.errors import QuorumError
from quorum.training.resolve import protocol, resolve_static


def test_what_model_and_data_set_call_for() -> None:
    digits = resolve_static(TrialConfig(model="scratch-simple"))
    assert (digits.input_size, digits.resize, digits.eval_resize, digits.normalize) == (32, 32, 32, "half")
    assert digits.precision == AUTO  # the machine's
    caltech = resolve_static(TrialConfig(dataset="caltech101", weights="imagenet"))
    assert (caltech.input_size, caltech.resize, caltech.normalize) == (224, 0, "imagenet")
    ours = resolve_static(TrialConfig(weights="runs:/a/model"))
    assert ours.normalize == AUTO  # that of the model


def test_what_is_given_stays() -> None:
    given = TrialConfig(model="resnet18", input_size=48, resize=50, eval_resize=52, normalize="cifar10")
    assert resolve_static(given) == given


def test_an_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(QuorumError, match="input_size: 64 does not fit scratch-simple, which takes 32"):
        resolve_static(TrialConfig(model="scratch-simple", input_size=64))


def test_a_protocol_is_all_but_seed_precision_and_weights_file() -> None:
    base = TrialConfig(model="scratch-simple")
    same = [base.replace(seed=3), base.replace(precision="bf16"), base.replace(input_size=32, resize=32)]
    assert {protocol(config) for config in same} == {protocol(base)}
    others = [base.replace(lr=0.1), base.replace(schedule="cosine"), base.replace(epochs=3)]
    assert protocol(base) not in {protocol(config) for config in others}
