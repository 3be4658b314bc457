"""A tree of trainings gives, bit for bit, what each of them gives when it is trained alone."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.pixel_store import open_store
from quorum.data.preprocess import Preprocess
from quorum.data.sources.folder import catalogue
from quorum.engine.device import resolve_precision
from quorum.engine.history import EpochRecord
from quorum.engine.states import States
from quorum.engine.training import Progress, Training
from quorum.models import build, parameter_groups
from quorum.shared_folder import SharedFolder
from quorum.study.prefix import TrainingPath
from tests.e2e.test_real_images import CALTECH_CLASSES, link_images
from tests.engine.test_training import CONFIG, training
from tests.sweeps.test_schedule import scheduled

Make = Callable[[TrialConfig], Training]


def finish(trained: Training, states: States) -> tuple[list[EpochRecord], dict[str, Any], list[Progress]]:
    """Train to the end. The history without times, all weights, averages and momenta, and the epochs trained now."""
    told = list(trained.run(states))
    times = {"epoch_seconds": 0.0, "images_per_second": 0.0}
    records = [replace(record, values={**record.values, **times}) for record in trained.history.records]
    moved = {str(key): value for key, value in trained.optimizer.state_dict()["state"].items()}
    average = {"average": dict(trained.network.state_dict()), "best": dict(trained.best_weights)}
    return records, {**trained.model.state_dict(), **average, **moved}, [one for one in told if not one.restored]


def as_tree(make: Make, configs: Sequence[TrialConfig], folder: Path) -> tuple[dict[TrialConfig, Any], int, int]:
    """Train configurations as a sweep does: results, epochs trained, and states kept at one time."""
    schedule, kept = scheduled(configs)
    results, trained, most = {}, 0, 0
    while (running := schedule.start()) is not None:
        nodes = running.path.nodes
        states = States(
            start=SharedFolder(folder, nodes[running.start - 1]) if running.start else None,
            keep={epoch: SharedFolder(folder, nodes[epoch - 1]) for epoch in running.keep},
        )
        *results[running.path.config], told = finish(make(running.path.config), states)
        trained += len(told)
        for epoch in (one.kept for one in told if one.kept):
            kept.write(nodes[epoch - 1])
        most = max(most, len(kept.nodes))
        schedule.end(running)
    return results, trained, most


def same(one: Any, other: Any) -> bool:
    """Equal bit for bit, tensors included."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def check_exact(make: Make, configs: Sequence[TrialConfig], folder: Path) -> None:
    """Each of the configurations gives in the tree what it gives alone, and each shared epoch is trained once."""
    results, trained, _ = as_tree(make, configs, folder)
    for config in configs:
        records, weights, _ = finish(make(config), States())
        assert results[config][0] == records
        assert same(results[config][1], weights)
    ends = [len(results[config][0]) for config in configs]  # of the last epoch, which patience may have brought forward
    nodes = {node for config, end in zip(configs, ends, strict=True) for node in TrainingPath(config).nodes[:end]}
    assert trained == len(nodes)


WARMED_UP = ("warmup(epochs=1, per_batch=True) | step", "warmup(epochs=1, per_batch=True) | cosine(per_batch=True)")
configurations = st.builds(
    CONFIG.replace,
    lr=st.sampled_from([0.05, 0.01]),
    epochs=st.integers(2, 4),
    step_size=st.integers(0, 2),
    batch_size=st.sampled_from([8, 16]),
    phases=st.sampled_from(["all", "1:classifier,2:all", "1:all,3:classifier"]),
    activations=st.sampled_from(["stored", "computed"]),
    optimizer=st.sampled_from(["sgd", "adam", "adamw(amsgrad=True)", "rprop", "asgd(t0=3)"]),
    clip_norm=st.sampled_from([0.0, 0.5]),
    patience=st.sampled_from([0, 1]),
    schedule=st.sampled_from(["step", "constant", "cosine", "one_cycle", *WARMED_UP]),
    average=st.sampled_from(["none", "ema(decay=0.9)", "swa(start=0.5)", "swa(start=0.25)"]),
    seed=st.integers(0, 1),
)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(configurations, min_size=2, max_size=6, unique=True))
def test_a_small_network(configs: list[TrialConfig]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_exact(lambda config: training(config, dropout=True), configs, Path(folder))


@pytest.mark.family
@pytest.mark.parametrize(
    "changes",
    [{"balance": "under", "mix": "cutmix"}, {"balance": "over", "mix": "mixup(alpha=0.2)"}, {"balance": "weights"}],
)
def test_balanced_and_mixed_batches(changes: dict[str, Any], small_digits: Path, tmp_path: Path) -> None:
    store = open_store(catalogue(small_digits, 0), tmp_path / "pixels")
    train = store.splits["train"]
    few = np.setdiff1d(train, train[store.labels[train] == 0][4:])
    store = replace(store, splits={**store.splits, "train": few})
    batches = Batches.alike(store, Preprocess(32, 32, "half"), torch.device("cpu"))
    base = CONFIG.replace(augment="randaugment | random_erasing", drop_last=False, epochs=2, **changes)

    def make(config: TrialConfig) -> Training:
        model = build(config.model, len(store.classes), seed=config.seed)
        return Training(config, model, parameter_groups(model), batches)

    check_exact(make, [base, base.replace(epochs=3), base.replace(epochs=3, step_size=2)], tmp_path / "kept")


def test_alexnet_on_real_images(caltech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorum.engine.states.WORTH_ASKING", math.inf)  # its epochs are as short as writing one is here
    for name in CALTECH_CLASSES:
        link_images(caltech_folder / "101_ObjectCategories" / name, tmp_path / "images" / name, 0, 20)
    store = open_store(catalogue(tmp_path / "images", 0), tmp_path / "pixels", resize=64)
    batches = Batches.alike(store, Preprocess(64, 64, "half"), torch.device("cpu"))
    base = TrialConfig(
        dataset="folder",
        model="alexnet",
        input_size=64,
        resize=64,
        eval_resize=64,
        normalize="half",
        augment="crop-flip-grey",
        precision=resolve_precision("auto", torch.device("cpu")),
        lr=0.01,
        batch_size=32,
        epochs=2,
    )
    varied: list[dict[str, Any]] = [
        {},
        {"epochs": 3, "step_size": 2},
        {"lr": 0.02},
        {"phases": "1:classifier,2:all"},
    ]

    def make(config: TrialConfig) -> Training:
        model = build(config.model, len(store.classes), seed=config.seed)
        return Training(config, model, parameter_groups(model), batches)

    check_exact(make, [base.replace(**changes) for changes in varied], tmp_path / "kept")
