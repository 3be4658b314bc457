"""Every study file as a sweep would begin it: each model built, and a batch of each configuration trained."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quorum.config import TrialConfig, parse_phases
from quorum.data.batches import Batches
from quorum.data.pixel_store import PixelStore
from quorum.data.preprocess import preprocess_of
from quorum.engine.training import Training
from quorum.models import build, parameter_groups
from quorum.study.file import load_study
from quorum.study.plan import plan
from quorum.training.check import check_settings, check_trials
from quorum.training.resolve import resolve_static
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

STUDIES = sorted((ROOT / "sweeps").glob("*/*.yaml"))
SIZES = {"digits": [(8, 8)], "cifar10": [(32, 32)], "caltech101": [(210, 300), (300, 190)], "folder": [(210, 300)]}
CLASSES = {"digits": 10, "cifar10": 10, "caltech101": 101, "folder": 3}
TRAINED, EVALUATED = 8, 2  # images; the models and inputs have their real size, a batch is cut to this


def made_up(dataset: str, balanced: bool = False) -> PixelStore:
    """Random pixels in the sizes of a data set's images; balanced: of two classes, so that each has images."""
    random = np.random.default_rng(0)
    total = TRAINED + 2 * EVALUATED
    sizes = np.array([SIZES[dataset][i % len(SIZES[dataset])] for i in range(total)])
    lengths = sizes.prod(axis=1) * 3
    pixels: NDArray[np.uint8] = random.integers(0, 256, lengths.sum(), dtype=np.uint8)
    order, classes = np.arange(total), 2 if balanced else CLASSES[dataset]
    return PixelStore(
        name=dataset,
        classes=tuple(map(str, range(classes))),
        files=tuple(map(str, order)),
        pixels=pixels,  # type: ignore[arg-type]
        offsets=np.cumsum(lengths) - lengths,
        heights=sizes[:, 0],
        widths=sizes[:, 1],
        labels=order % classes if balanced else random.integers(0, classes, total),
        splits={"train": order[:TRAINED], "val": order[TRAINED:-EVALUATED], "test": order[-EVALUATED:]},
        digest="made up",
        skipped=(),
    )


def train_one_batch(config: TrialConfig, store: PixelStore, epoch: int) -> None:
    """One batch of an epoch: its loss is finite, what its phase trains moves, and nothing else does."""
    assert isinstance(config.resize, int)
    batches = Batches(store, preprocess_of(config), torch.device("cpu"), store, config.resize)
    model = build(config.model, len(store.classes), seed=0)
    training = Training(config, model, parameter_groups(model), batches)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    record = training.run_epoch(epoch, lambda _images: None)
    assert math.isfinite(record.values["train/loss"])
    phase = [phase for phase in parse_phases(config.phases) if phase.first_epoch <= epoch][-1]
    trained = {id(parameter) for group in phase.groups for parameter in training.groups[group]}
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert {name for name, p in model.named_parameters() if id(p) not in trained}.isdisjoint(moved)


def fitting(batch_size: int | str) -> int:
    """A batch size for a few images, in the place of one or of `auto`."""
    return min(batch_size, TRAINED) if isinstance(batch_size, int) else TRAINED


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_configuration_trains_a_batch(file: Path) -> None:
    """Configurations that differ in nothing but these numbers train the same batch: one of them is enough."""
    source = load_study(file)
    planned = plan(source.study, source.study.first_config({}))
    check_trials(source, planned, check_settings)
    same = {"lr": 0.001, "step_size": 0, "epochs": max(trial.config.epochs for trial in planned)}
    small = [trial.config.replace(batch_size=fitting(trial.config.batch_size), **same) for trial in planned]
    resolved = {"precision": "float32", "activations": "computed"}
    for config in dict.fromkeys(resolve_static(config).replace(**resolved) for config in small):
        store = made_up(source.study.dataset, balanced=config.balance != "none")
        for phase in parse_phases(config.phases):
            train_one_batch(config, store, phase.first_epoch)
