"""Contracts that every average of weights keeps; which epochs it begins with, and settings that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from quorum.averages import AVERAGES, Averaging, averaging, check_average, register_average
from quorum.config import TrialConfig
from quorum.errors import ConfigError
from quorum.recipe import recipe_of

EACH = ("none", "ema", "ema(decay=0.5)", "swa", "swa(start=0.5)", "swa(start=0)")


def test_every_average_is_tested() -> None:
    assert {text.partition("(")[0] for text in EACH} == set(AVERAGES), "a new average needs a row in this test"


@pytest.mark.parametrize("text", EACH)
@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_it_is_a_function_of_epoch_and_settings(text: str, epochs: int) -> None:
    config = TrialConfig(average=text, epochs=epochs)
    check_average(config)
    found = [averaging(config, epoch) for epoch in range(1, epochs + 1)]
    assert found == [averaging(config, epoch) for epoch in range(1, epochs + 1)]
    assert found == [recipe_of(config, epoch).averaging for epoch in range(1, epochs + 1)]
    assert (found[-1] is None) is (text == "none")


@pytest.mark.parametrize(
    ("start", "epochs", "first"), [(0.75, 20, 16), (0.29, 100, 30), (0.0, 5, 1), (0.75, 1, 1), (0.99, 4, 4)]
)
def test_a_mean_of_epochs_begins_after_its_share_of_them(start: float, epochs: int, first: int) -> None:
    config = TrialConfig(average=f"swa(start={start})", epochs=epochs)
    averaged = [epoch for epoch in range(1, epochs + 1) if averaging(config, epoch)]
    assert averaged == list(range(first, epochs + 1))


def test_a_setting_of_it_is_an_argument() -> None:
    config = TrialConfig(average="ema").replace(**{"average.ema.decay": 0.9})
    assert config.average == "ema(decay=0.9)"
    assert averaging(config, 1) == Averaging("step", 0.9)


def test_a_mean_of_epochs_does_not_go_with_fixed_batch_norms() -> None:
    config = TrialConfig(average="swa", frozen_norm="fixed", phases="classifier")
    with pytest.raises(ConfigError, match="average: 'swa': measures the statistics of batch norm anew"):
        check_average(config)
    for changes in ({"average": "ema"}, {"frozen_norm": "follow"}, {"phases": "all"}):
        check_average(config.replace(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emma", "no average 'emma' (did you mean 'ema'?)"),
        ("ema(deca=0.9)", "no setting of ema 'deca' (did you mean 'decay'?)"),
        ("ema(0.9)", "the settings of ema are given by name: decay"),
        ("ema(decay=1.0)", "average: 'ema(decay=1.0)': decay is 1.0; it has to be at least 0 and less than 1"),
        ("swa(start=1)", "average: 'swa(start=1)': start is 1.0; it is a fraction of the epochs"),
        ("swa(start='late')", "average: \"swa(start='late')\": "),
    ],
)
def test_what_does_not_work_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_average(TrialConfig(average=text))
    assert message in str(caught.value)
    assert caught.value.setting == "average"


def test_one_of_the_users_own_is_held_to_what_it_gives() -> None:
    def half(_epoch: int, _config: TrialConfig) -> Any:
        return 0.5

    register_average("half")(half)
    try:
        with pytest.raises(ConfigError, match=r"average: 'half': gives 0.5 in epoch 1; it has to be an Averaging or"):
            check_average(TrialConfig(average="half"))
    finally:
        AVERAGES.remove("half")
