"""Settings: closed, typed, and fingerprinted."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quorum.config import Phase, TrialConfig, parse_config, parse_phases
from quorum.errors import ConfigError
from quorum.recipe import recipe_of

RESOLVED = TrialConfig(
    input_size=64, resize=64, eval_resize=64, normalize="half", activations="computed", precision="float32"
)

OTHER_VALUES: dict[str, Any] = {
    "dataset": "cifar10",
    "split_seed": 1,
    "model": "resnet18",
    "weights": "imagenet",
    "weights_digest": "abc",
    "input_size": 65,
    "resize": 0,
    "eval_resize": 0,
    "normalize": "imagenet",
    "balance": "under",
    "augment": "flip",
    "mix": "mixup(alpha=0.2)",
    "optimizer": "adam",
    "schedule": "cosine",
    "loss": "cross_entropy(label_smoothing=0.1)",
    "average": "ema",
    "folds": 5,
    "lr": 0.0010001,
    "momentum": 0.8,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "patience": 5,
    "batch_size": 255,
    "drop_last": False,
    "epochs": 31,
    "step_size": 0,
    "gamma": 0.5,
    "phases": "classifier",
    "frozen_norm": "fixed",
    "activations": "stored",
    "precision": "bf16",
    "seed": 1,
}


def test_every_setting_changes_the_fingerprint() -> None:
    assert set(OTHER_VALUES) == set(TrialConfig.model_fields), "a new setting needs a line in this test"
    prints = {RESOLVED.replace(**{name: value}).fingerprint() for name, value in OTHER_VALUES.items()}
    assert len(prints | {RESOLVED.fingerprint()}) == len(OTHER_VALUES) + 1


def test_fingerprint_is_of_values_not_of_how_they_were_given() -> None:
    text = parse_config(TrialConfig, {**RESOLVED.model_dump(), "lr": "1e-3", "epochs": "30"}, "here")
    assert text.fingerprint() == RESOLVED.fingerprint()


def test_weights_count_by_digest_not_by_path() -> None:
    one = RESOLVED.replace(weights="a.pt", weights_digest="d")
    assert one.fingerprint() == RESOLVED.replace(weights="b.pt", weights_digest="d").fingerprint()
    assert one.fingerprint() != RESOLVED.replace(weights="a.pt", weights_digest="e").fingerprint()


def test_trial_fingerprint_ignores_the_seed_alone() -> None:
    assert RESOLVED.replace(seed=7).trial_fingerprint() == RESOLVED.trial_fingerprint()
    assert RESOLVED.replace(lr=7).trial_fingerprint() != RESOLVED.trial_fingerprint()


def test_an_open_setting_has_no_fingerprint() -> None:
    with pytest.raises(ConfigError, match="input_size, resize, eval_resize, normalize, activations, precision"):
        TrialConfig().fingerprint()


@given(st.floats(min_value=1e-12, max_value=1e6))
def test_learning_rates_survive_yaml_and_the_command_line(lr: float) -> None:
    from_yaml = parse_config(TrialConfig, yaml.safe_load(f"lr: {lr!r}"), "file")
    from_line = parse_config(TrialConfig, {"lr": repr(lr)}, "line")
    assert from_yaml.lr == from_line.lr == lr


def test_yaml_reads_1e_3_as_text_and_the_configuration_as_a_number() -> None:
    assert yaml.safe_load("lr: 1e-3") == {"lr": "1e-3"}
    assert parse_config(TrialConfig, {"lr": "1e-3"}, "file").lr == 0.001


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"leaning_rate": 1}, "here: no setting 'leaning_rate'"),
        ({"epoch": 1}, "did you mean 'epochs'"),
        ({"lr": "fast"}, "lr: 'fast' must be a valid number"),
        ({"lr": "nan"}, "lr: "),
        ({"lr": 0}, "greater than 0"),
        ({"epochs": 1.5}, "epochs: 1.5"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"optimizer": "adamw(betas"}, "optimizer: 'adamw(betas' at character"),
        ({"loss": "cross_entropy | margin"}, "takes one of them, not several"),
        ({"phases": "2:classifier"}, "must start at 1"),
        ({"phases": "x:classifier"}, "is not GROUP"),
        ({"precision": "fp8"}, "'auto', 'float32' or 'bf16'"),
        ({"input_size": "big"}, "input_size: 'big'"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(TrialConfig, values, "here")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_phases_are_read_in_both_forms() -> None:
    assert parse_phases("classifier") == (Phase(1, ("classifier",)),)
    assert parse_phases("1:layer4+fc, 31:all") == (Phase(1, ("layer4", "fc")), Phase(31, ("all",)))


def test_a_recipe_follows_steps_and_phases() -> None:
    config = RESOLVED.replace(lr=1.0, step_size=2, gamma=0.5, phases="1:classifier,4:all", epochs=5)
    recipes = [recipe_of(config, epoch) for epoch in range(1, 6)]
    assert [recipe.lr for recipe in recipes] == [1, 1, 0.5, 0.5, 0.25]
    assert [recipe.groups for recipe in recipes] == [("classifier",)] * 3 + [("all",)] * 2
    assert {recipe_of(config.replace(step_size=0), epoch).lr for epoch in range(1, 6)} == {1}


AUGMENTED = TrialConfig(augment="flip | rotate(degrees=15) | shift(fraction=0.1)")


def test_an_argument_of_an_expression_is_replaced_by_name() -> None:
    changed = AUGMENTED.replace(**{"augment.rotate.degrees": 30, "lr": 0.5})
    assert (changed.augment, changed.lr) == ("flip | rotate(degrees=30) | shift(fraction=0.1)", 0.5)
    both = TrialConfig().replace(**{"augment.rotate.degrees": 5, "augment": "rotate | flip"})
    assert both.augment == "rotate(degrees=5) | flip"


@pytest.mark.parametrize(("given", "written"), [("15", "15"), ("1e-3", "0.001"), ("edge", "'edge'"), (True, "True")])
def test_an_argument_from_the_command_line_is_a_number_where_it_reads_as_one(given: object, written: str) -> None:
    values = {"augment": "rotate", "augment.rotate.degrees": given}
    assert parse_config(TrialConfig, values, "here").augment == f"rotate(degrees={written})"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("augmnt.rotate.degrees", "here: no setting 'augmnt' (did you mean 'augment'?)"),
        ("augment.rotate", "here: augment.rotate: is not SETTING.CALL.ARGUMENT, such as augment.rotate.degrees"),
        ("augment.rotate.degrees.x", "is not SETTING.CALL.ARGUMENT"),
        ("augment..degrees", "is not SETTING.CALL.ARGUMENT"),
        ("lr.rotate.degrees", "is not SETTING.CALL.ARGUMENT"),
        ("augment.rotat.degrees", "here: augment: no call 'rotat' (did you mean 'rotate'?)"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_it(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(TrialConfig, {"augment": AUGMENTED.augment, name: 1}, "here")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["lr", "epochs", "batch_size", "input_size", "model"])
def test_true_and_false_are_no_numbers(name: str) -> None:
    with pytest.raises(ConfigError, match=f"here: {name}: True is true or false, not a number or text"):
        parse_config(TrialConfig, {name: True}, "here")
