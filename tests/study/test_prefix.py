"""Which epochs trainings share, and which trials later stages may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum.config import TrialConfig
from quorum.recipe import recipe_of
from quorum.study.file import load_study
from quorum.study.plan import plan, possible
from quorum.study.prefix import TrainingPath, forks
from tests.conftest import ROOT

BASE = TrialConfig(model="scratch-simple", epochs=10)

RESOLVED = {
    "input_size": 32,
    "resize": 0,
    "eval_resize": 0,
    "normalize": "half",
    "activations": "computed",
    "precision": "float32",
}

configs = st.builds(
    BASE.replace,
    lr=st.sampled_from([0.1, 0.01]),
    epochs=st.integers(1, 9),
    step_size=st.integers(0, 4),
    batch_size=st.sampled_from([8, 16]),
    phases=st.sampled_from(["all", "classifier", "1:classifier,3:all"]),
    average=st.sampled_from(["none", "ema", "ema(decay=0.9)", "swa", "swa(start=0.2)"]),
    momentum=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 1),
)


def alike(one: TrialConfig, other: TrialConfig) -> int:
    """Number of epochs that two trainings begin with alike, epoch by epoch."""
    if (one.momentum, one.seed) != (other.momentum, other.seed):
        return 0
    shorter = min(one.epochs, other.epochs)
    differ = (e for e in range(1, shorter + 1) if recipe_of(one, e) != recipe_of(other, e))
    return next(differ, shorter + 1) - 1


@pytest.mark.parametrize("changes", [{"balance": "under"}, {"mix": "mixup(alpha=0.2)"}])
def test_other_images_or_labels_share_no_epoch(changes: dict[str, str]) -> None:
    assert TrainingPath(BASE).shared(TrainingPath(BASE.replace(**changes))) == 0
    assert BASE.replace(**changes, **RESOLVED).fingerprint() != BASE.replace(**RESOLVED).fingerprint()


@given(configs, configs)
def test_paths_share_the_epochs_that_are_alike(one: TrialConfig, other: TrialConfig) -> None:
    assert (
        TrainingPath(one).shared(TrainingPath(other))
        == TrainingPath(other).shared(TrainingPath(one))
        == alike(one, other)
    )


def test_a_fork_is_where_another_leaves_or_ends() -> None:
    others = [BASE.replace(step_size=4), BASE.replace(epochs=6), BASE.replace(epochs=20), BASE.replace(lr=1.0)]
    assert forks(TrainingPath(BASE), [TrainingPath(other) for other in others]) == {4, 6, 10}


def test_a_mean_of_epochs_begins_where_its_training_is_long_enough() -> None:
    """The same start is another epoch of a longer training; until the first of both they are the training without."""
    short, long = (TrainingPath(BASE.replace(epochs=epochs, average="swa(start=0.5)")) for epochs in (10, 20))
    without = TrainingPath(BASE.replace(epochs=20))
    assert short.shared(long) == short.shared(without) == 5
    assert long.shared(without) == 10
    assert TrainingPath(BASE.replace(average="ema")).shared(without) == 0


@pytest.mark.parametrize(("number", "distinct"), [(0, 9), (1, 5), (2, 0)])
def test_later_stages_are_looked_ahead_at(number: int, distinct: int) -> None:
    study = load_study(ROOT / "sweeps" / "caltech101" / "alexnet.yaml").study
    planned = plan(study, study.first_config({}))
    ahead = possible(study, number, [trial.config for trial in planned if trial.stage == number])
    assert len(ahead) == distinct
    assert set(ahead) == {trial.config for trial in planned if trial.stage > number}


def test_whichever_trial_turns_out_best_is_looked_ahead_from() -> None:
    study = load_study(ROOT / "sweeps" / "digits" / "scratch-simple.yaml").study
    listed = [trial.config for trial in plan(study, study.first_config({})) if trial.stage == 0]
    assert {(c.lr, c.batch_size) for c in possible(study, 0, listed)} == {
        (lr, size) for lr in (0.01, 0.02, 0.05) for size in (16, 32, 64)
    }
