"""Averages of weights: those of torch's AveragedModel in a plain loop, what is measured of them, and old states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

from quorum.averages import AVERAGES, Averaging, register_average
from quorum.config import TrialConfig
from quorum.engine.epoch import evaluate
from quorum.engine.state import load_state, save_state
from quorum.engine.training import Training
from quorum.randomness import seed_everything
from quorum.recipe import recipe_of
from tests.engine.test_training import CONFIG, MadeUpBatches, run, training

EMA, SWA = CONFIG.replace(average="ema(decay=0.9)"), CONFIG.replace(average="swa(start=0.4)")  # epochs 3, 4 and 5


def plain_loop(config: TrialConfig) -> tuple[nn.Module, AveragedModel]:
    """The network and its average, trained with nothing but torch."""
    start = training(config, dropout=True)
    model, batches = start.model, MadeUpBatches()
    ema = config.average.startswith("ema")
    average = get_ema_multi_avg_fn(0.9) if ema else get_swa_multi_avg_fn()
    averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=ema)
    optimizer = torch.optim.SGD(model.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay)
    for epoch in range(1, config.epochs + 1):
        images = {"seed": 0, "epoch": epoch, "batch_size": config.batch_size, "augment": "none"}
        if config.phases != "all":
            for parameter in start.groups["features"]:
                parameter.requires_grad_("all" in recipe_of(config, epoch).groups)
        seed_everything(0, epoch, "dropout")
        model.train()
        for inputs, labels in batches.training(**images):  # type: ignore[arg-type]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            if ema:
                averaged.update_parameters(model)
        if not ema and epoch > 2:
            averaged.update_parameters(model)
            seed_everything(0, epoch, "batch-norm")
            update_bn(batches.training(**images), averaged)  # type: ignore[arg-type]
    return model, averaged


def close(ours: nn.Module, theirs: nn.Module) -> None:
    for name, tensor in ours.state_dict().items():
        if tensor.is_floating_point():  # AveragedModel averages the number of batches, too, which nothing reads
            torch.testing.assert_close(tensor, theirs.state_dict()[name], msg=name)


@pytest.mark.parametrize("changes", [{}, {"phases": "1:classifier,3:all"}])
@pytest.mark.parametrize("config", [EMA, SWA])
def test_it_is_torchs(config: TrialConfig, changes: dict[str, Any]) -> None:
    """Images and batch norm, phases and dropout included."""
    config = config.replace(**changes)
    ours = training(config, dropout=True)
    run(ours)
    model, averaged = plain_loop(config)
    close(ours.model, model)
    close(ours.network, averaged.module)
    assert not torch.equal(ours.network.state_dict()["classifier.1.weight"], model.state_dict()["classifier.1.weight"])


def test_the_network_trains_as_without_an_average() -> None:
    plain, *averaged = (training(config, dropout=True) for config in (CONFIG, EMA, SWA))
    run(plain)
    for one in averaged:
        run(one)
        assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), plain.model.parameters(), strict=True))
        assert [r.values["train/loss"] for r in one.history.records] == [
            r.values["train/loss"] for r in plain.history.records
        ]
        assert one.history.last.of("val_network") == plain.history.last.of("val")


def validated(trained: Training, network: nn.Module) -> dict[str, float]:
    return evaluate(network, trained.batches.evaluation("val"), "float32").metrics()


@pytest.mark.parametrize(("config", "first"), [(EMA, 1), (SWA, 3)])
def test_the_average_is_what_is_validated_and_kept(config: TrialConfig, first: int) -> None:
    trained = training(config)
    run(trained)
    last = trained.history.last
    assert validated(trained, trained.network) == last.of("val")
    assert validated(trained, trained.model) == last.of("val_network") != last.of("val")
    measured = [record.epoch for record in trained.history.records if record.of("val_network")]
    assert measured == list(range(first, 6))
    trained.load_best()
    assert validated(trained, trained.model) == trained.history.best.of("val")


def test_frozen_weights_are_their_own_average() -> None:
    trained = training(EMA.replace(phases="classifier"))
    before = {name: p.detach().clone() for name, p in trained.model.named_parameters()}
    run(trained)
    average = dict(trained.network.named_parameters())
    same = {name for name in before if torch.equal(average[name], before[name])}
    assert same == {name for name in before if name.startswith("features")}


def test_an_average_that_rests_stays_as_it_is() -> None:
    @register_average("second")
    def second(epoch: int, _config: TrialConfig) -> Averaging | None:
        return Averaging("epoch") if epoch == 2 else None

    try:
        trained = training(CONFIG.replace(average="second", epochs=3))
        run(trained)
    finally:
        AVERAGES.remove("second")
    alone = training(CONFIG.replace(epochs=2))
    run(alone)
    for ours, theirs in zip(trained.network.parameters(), alone.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    second_epoch, third = trained.history.records[1:]
    assert second_epoch.of("val") == third.of("val") != third.of("val_network")


def test_a_state_of_a_time_without_averages_is_gone_on_from(tmp_path: Path) -> None:
    trained = training(CONFIG.replace(epochs=1))
    run(trained)
    save_state(trained.state(), tmp_path)
    assert set(torch.load(tmp_path / "last.pt")) == {"model", "optimizer", "history"}
    state = load_state(tmp_path)
    assert state is not None
    assert state.average is None


def test_a_step_waits_for_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An average is added to without reading a tensor, which on a GPU would hold up each batch."""
    trained = training(EMA)
    trained.run_epoch(1, lambda _images: None)
    assert trained.average is not None
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda _tensor: pytest.fail("a tensor was read"))
    monkeypatch.setattr(torch.Tensor, "item", lambda _tensor: pytest.fail("a tensor was read"))
    with trained.average.adding_steps(trained.optimizer, 0.9):
        trained.optimizer.step()
    assert trained.average.count == 6
