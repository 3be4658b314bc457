"""The frozen beginning of a network: where it is cut, and that nothing else changes by it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quorum.config import TrialConfig
from quorum.engine import cut_batches
from quorum.engine.activations import Activations, ActivationStore
from quorum.engine.epoch import Batch
from quorum.engine.frozen import CutNetwork, cut, frozen_beginning, frozen_norms
from quorum.engine.states import States
from quorum.engine.training import Training, train_only
from quorum.models import build, parameter_groups
from quorum.randomness import seed_everything
from quorum.shared_folder import SharedFolder
from tests.engine.test_training import CONFIG, MadeUpBatches, figures, run, same_weights

# Network, groups that train, whether frozen batch-norms are fixed, input, and the shape of one image's activations;
# None where there is no beginning that stays the same.
CUTS: list[Any] = [
    ("alexnet", "classifier", False, 64, (9216,)),
    ("alexnet", "features.10+classifier", False, 64, (256, 3, 3)),
    ("alexnet", "features", False, 64, None),
    ("alexnet", "all", False, 64, None),
    ("resnet18", "fc", True, 64, (512,)),
    ("resnet18", "fc", False, 64, (64, 32, 32)),  # up to the first batch-norm
    ("resnet18", "layer4+fc", True, 64, (256, 4, 4)),
    ("resnet18", "layer4.1+fc", True, 64, (512, 2, 2)),
    ("mobilenet_v2", "classifier", True, 64, (1280,)),
    ("mobilenet_v2-two-layer-head", "classifier", True, 64, (1280,)),
    ("densenet121", "classifier", True, 64, (1024,)),
    ("googlenet", "classifier", True, 64, (1024,)),
    ("squeezenet1_0", "classifier", False, 64, (512, 3, 3)),
    ("shufflenet_v2_x0_5", "classifier", True, 64, (1024,)),
    ("regnet_y_400mf", "classifier", True, 64, (440,)),
    pytest.param("vit_b_32", "classifier", False, 224, (768,), marks=pytest.mark.slow),
    ("convnext_tiny", "classifier", False, 64, (96, 16, 16)),  # up to the first block, which is skipped at random
    ("scratch-simple", "classifier", False, 32, (4096,)),
    ("scratch-complex", "classifier", True, 32, (4096,)),
]


def laid_out(batch: torch.Tensor) -> torch.Tensor:
    """A copy in the same layout: a network may write into what it is given."""
    return torch.empty_strided(batch.shape, batch.stride(), dtype=batch.dtype).copy_(batch)


def frozen(name: str, groups: str, fixed: bool) -> tuple[nn.Module, list[nn.Module]]:
    model = build(name, 5, seed=0)
    train_only(parameter_groups(model), groups.split("+"))
    return model, frozen_norms(model) if fixed else []


@pytest.mark.family
@pytest.mark.parametrize(("name", "groups", "fixed", "size", "shape"), CUTS)
def test_a_cut_network_is_the_whole_one_bit_for_bit(
    name: str, groups: str, fixed: bool, size: int, shape: tuple[int, ...] | None
) -> None:
    model, still = frozen(name, groups, fixed)
    found = cut(model, still)
    if shape is None:
        assert found is None
        return
    assert found is not None
    images = torch.randn(3, 3, size, size).to(memory_format=torch.channels_last)
    model.eval()
    found.rest.eval()
    given = found.beginning.eval()(images)
    activations = Activations.of([given]).part(0, len(images), given.device)
    assert torch.equal(activations, given)
    assert activations.stride() == given.stride()
    assert activations.shape[1:] == shape
    assert not activations.requires_grad  # no graph is built for it
    assert torch.equal(found.rest(laid_out(activations)), model(images))
    gradients = []
    before = copy.deepcopy(model.state_dict())
    model.train()  # some attention layers compute otherwise in evaluation
    for layer in still:
        layer.eval()
    activations = found.beginning(images)
    for network, batch in ((model, images), (found.rest.train(), laid_out(activations))):
        for layer in still:
            layer.eval()
        seed_everything(0, 1, "dropout")
        logits = network(batch)
        logits.sum().backward()
        gradients.append([logits, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        model.zero_grad(set_to_none=True)
        model.load_state_dict(before)  # batch-norms that follow have moved
    assert len(gradients[0]) > 1
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_a_beginning_that_does_little_of_the_work_is_not_kept() -> None:
    for name, size, kept in (("alexnet", 64, True), ("resnet18", 64, False)):
        model, still = frozen(name, "classifier", False)
        assert (frozen_beginning(model, still, torch.zeros(2, 3, size, size)) is not None) == kept


class Stubborn(nn.Module):
    """Asks what its input holds, which no tracer knows."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3)
        self.classifier = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.features(images).mean((2, 3))
        return self.classifier(features if features.sum() > 0 else -features)


class Noisy(nn.Sequential):
    """Draws at random where it is frozen."""

    class Noise(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values + torch.randn_like(values)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), self.Noise(), nn.Conv2d(4, 4, 3), nn.Flatten())
        self.classifier = nn.Linear(4 * 28 * 28, 2)


def test_networks_that_cannot_be_cut_or_draw_at_random() -> None:
    stubborn = Stubborn()
    stubborn.features.requires_grad_(False)
    assert cut(stubborn) is None
    noisy = Noisy()
    noisy.features.requires_grad_(False)
    found = cut(noisy)
    assert found is not None
    assert found.beginning(torch.zeros(1, 3, 32, 32)).shape == (1, 4, 30, 30)  # before the noise


def test_a_digest_is_of_the_beginning_alone() -> None:
    def digest(model: nn.Module) -> str:
        train_only(parameter_groups(model), ["classifier"])
        found = cut(model)
        assert isinstance(found, CutNetwork)
        return found.digest()

    model: Any = build("scratch-simple", 5, seed=0)
    first = digest(model)
    model.classifier[0].weight.data.zero_()
    assert digest(model) == first
    model.features[0].weight.data[0, 0, 0, 0] += 1
    assert digest(model) != first


class Heavy(MadeUpBatches):
    """Images in batches of 16 where they are not shuffled, and a count of how often they are read."""

    read = 0

    def evaluation(self, split: str) -> Iterator[Batch]:
        self.read += 1
        yield from zip(self.images[40:].split(16), self.labels[40:].split(16), strict=True)

    def plain_training(self) -> Iterator[Batch]:
        self.read += 1
        yield from zip(self.images[:40].split(16), self.labels[:40].split(16), strict=True)

    def labels_of(self, split: str) -> list[torch.Tensor]:
        return list((self.labels[:40] if split == "train" else self.labels[40:]).split(16))


STORED = CONFIG.replace(phases="classifier", activations="stored", optimizer="adamw", lr=0.002)


def training(config: TrialConfig, store: ActivationStore | None = None, model: str = "scratch-complex") -> Training:
    made = build(model, 4, seed=config.seed)
    return Training(config, made, parameter_groups(made), Heavy(), store)


def reads(trained: Training) -> int:
    """How often images were read in their own order."""
    assert isinstance(trained.batches, Heavy)
    return trained.batches.read


@pytest.mark.family
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"phases": "1:classifier,4:all"},
        {"phases": "1:all,3:classifier"},
        pytest.param({"precision": "bf16", "epochs": 2}, marks=pytest.mark.slow),  # where the hardware has none
    ],
)
def test_stored_activations_train_as_those_that_are_computed_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    config = STORED.replace(frozen_norm="fixed", **changes)
    stored = training(config, ActivationStore(tmp_path / "kept", 1e9))
    run(stored)
    anew = training(config)
    monkeypatch.setattr(cut_batches.CutBatches, "_of", lambda batches, split: batches._get(split))
    run(anew)
    assert reads(anew) > reads(stored)
    assert figures(stored.history) == figures(anew.history)
    assert same_weights(stored, anew)


def test_what_is_stored_is_what_a_plain_loop_computes(tmp_path: Path) -> None:
    """The rule: the beginning sees the images of a split in its own order, as many at once as evaluation takes."""
    trained = training(
        STORED.replace(frozen_norm="fixed", optimizer="sgd", momentum=0.5), ActivationStore(tmp_path, 1e9)
    )
    run(trained)
    model: Any = build("scratch-complex", 4, seed=0)
    data, config = Heavy(), trained.config
    model.features.requires_grad_(False)
    optimizer = torch.optim.SGD(model.classifier.parameters(), config.lr, 0.5, weight_decay=config.weight_decay)
    for epoch in range(1, config.epochs + 1):
        seed_everything(config.seed, epoch, "dropout")
        model.train()
        model.features.eval()
        with torch.no_grad():
            features = torch.cat([model.flatten(model.features(images)) for images, _ in data.plain_training()])
        for chosen in data.order(seed=config.seed, epoch=epoch, batch_size=int(config.batch_size)).split(
            int(config.batch_size)
        ):
            loss = nn.functional.cross_entropy(model.classifier(features[chosen]), data.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for name, values in model.state_dict().items():
        torch.testing.assert_close(trained.model.state_dict()[name], values, rtol=1e-4, atol=1e-5)


def test_evaluation_is_that_of_the_whole_network_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where training images are augmented."""
    for changes in ({"augment": "flip"}, {"activations": "computed"}):
        config = STORED.replace(**changes)
        with_store = training(config, ActivationStore(tmp_path / config.augment, 1e9), "scratch-simple")
        run(with_store)
        plain = training(config.replace(activations="computed"), None, "scratch-simple")
        monkeypatch.setattr(plain, "_begin", lambda recipe, it=plain: train_only(it.groups, recipe.groups))
        for group in plain.optimizer.param_groups:
            group["lr"] = config.lr
        run(plain)
        assert figures(with_store.history) == figures(plain.history)
        assert torch.equal(with_store.evaluate("test").logits, plain.evaluate("test").logits)
        assert reads(with_store) == 2  # val and test, once


@pytest.mark.slow
def test_a_training_goes_on_and_forks_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorum.engine.states.SAVING_SHARE", 1e9)  # every epoch's state is written
    store = ActivationStore(tmp_path / "kept", 1e9)
    config = STORED.replace(phases="1:classifier,4:all", frozen_norm="fixed")
    whole = training(config, store)
    run(whole)
    own, kept = SharedFolder(tmp_path, "own"), SharedFolder(tmp_path, "kept-state")
    run(training(config, store), States(own=own, keep={2: kept}), 3)
    (tmp_path / "kept").rename(tmp_path / "gone")  # computed anew
    for states in (States(own=own), States(start=kept)):
        second = training(config, store)
        assert run(second, states)[0].restored
        assert figures(second.history) == figures(whole.history)
        assert same_weights(second, whole)


@pytest.mark.slow
def test_seeds_and_trials_share_one_pass(tmp_path: Path) -> None:
    """The frozen part is the same whatever the seed of the order, the learning rate and the batch size are."""
    store, weights = ActivationStore(tmp_path / "kept", 1e9), build("scratch-complex", 4, seed=0).state_dict()
    read = []
    for changes in ({}, {"seed": 1}, {"lr": 0.1, "batch_size": 4}, {"phases": "1:classifier,5:all"}):
        trained = training(STORED.replace(frozen_norm="fixed", **changes), store)
        trained.model.load_state_dict(weights)
        run(trained)
        read.append(reads(trained))
    assert read == [2, 0, 0, 1]  # the last one's validation images once more, when all of it has trained


def test_frozen_batch_norms_follow_or_are_fixed() -> None:
    for norm, moved in (("follow", True), ("fixed", False)):
        trained = training(CONFIG.replace(phases="classifier", epochs=1, frozen_norm=norm))
        model: Any = trained.model
        before = model.features[2].running_mean.clone()
        run(trained)
        assert torch.equal(before, model.features[2].running_mean) != moved
