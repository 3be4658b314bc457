"""A training is prepared once: resolved, its weights hashed, its data opened, all of it checked."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.folds import fold_of
from quorum.data.opened import OpenDataset
from quorum.engine.activations import ActivationStore
from quorum.errors import QuorumError
from quorum.models import build, digest_once, file_digest
from quorum.storage import GIGABYTE
from quorum.study.file import load_study
from quorum.study.plan import plan
from quorum.training import prepare
from quorum.training.prepare import Preparer
from quorum.training.resolve import resolve_static, with_batch_size
from tests.conftest import ROOT, Quorum
from tests.training.conftest import CONFIG, make_preparer


@dataclass
class Counted(OpenDataset):
    """A data set that counts how often it is asked for batches."""

    opened: int = 0

    def batches(self, config: TrialConfig, device: torch.device) -> Batches:
        self.opened += 1
        return super().batches(config, device)


@pytest.fixture
def counted(preparer: Preparer) -> tuple[Preparer, Counted]:
    data = Counted(preparer.data.catalogue, preparer.data.source, preparer.data.stores)
    return Preparer(data, preparer.machine, preparer.store), data


def test_a_configuration_is_opened_once_whatever_its_seed(counted: tuple[Preparer, Counted]) -> None:
    preparer, data = counted
    first, second = preparer.prepare(CONFIG), preparer.prepare(CONFIG.replace(seed=7))
    assert data.opened == 1
    assert (first.config.seed, second.config.seed) == (0, 7)
    assert first.batches is second.batches
    assert not second.config.unresolved()
    assert second.classes == ("blue", "red")
    assert dict(second.counts) == {"train": 24, "val": 8, "test": 8}
    assert second.data_digest == data.pixels(32).digest
    assert preparer.resolve(CONFIG.replace(seed=3)) == first.config.replace(seed=3)
    assert data.opened == 1


def test_a_study_resolves_each_of_its_configurations_once(
    counted: tuple[Preparer, Counted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 12 trials of alexnet-transfer over three seeds: check, schedule, job and record ask for each of them."""
    preparer, data = counted
    torch.save(build("scratch-simple", 2, seed=0).state_dict(), tmp_path / "weights.pt")
    study = load_study(ROOT / "sweeps" / "caltech101" / "alexnet-transfer.yaml").study
    changes = {"dataset": "folder", "model": "scratch-simple", "weights": str(tmp_path / "weights.pt")}
    small = {**changes, "input_size": 32, "resize": 32, "eval_resize": 32}
    trials = [trial.config for trial in plan(study, study.first_config({})) if trial.listed]
    configs = {config.replace(batch_size=8, phases="all", **small): None for config in trials}
    calls: list[TrialConfig] = []
    resolve = resolve_static

    def counting(config: TrialConfig) -> TrialConfig:
        calls.append(config)
        return resolve(config)

    monkeypatch.setattr(prepare, "resolve_static", counting)
    digests: list[Path] = []
    digest = file_digest

    def hashing(file: Path) -> str:
        digests.append(file)
        return digest(file)

    monkeypatch.setattr("quorum.models.weights.file_digest", hashing)
    for _ in ("check", "schedule", "job", "record"):
        for config in configs:
            for seed in range(3):
                preparer.prepare(config.replace(seed=seed))
    assert len(calls) == len(configs) == data.opened
    assert len(configs) >= 6
    assert len(digests) == 1


def test_a_weights_file_is_hashed_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    first = digest_once(file)
    assert digest_once(file) == first
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))  # same size and time; the change time and content differ
    assert digest_once(file) != first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 25}, "batch_size: 25 is more than the 24 training images"),
        ({"phases": "layer4"}, "no parameter group 'layer4'"),
        ({"weights": "absent.pt"}, "weights: no file absent.pt"),
        ({"weights": "models:/absent/1"}, "models:/absent/1: no such model"),
        ({"model": "scratch-smple"}, "no model 'scratch-smple'"),
        ({"augment": "flp"}, "no augmentation operation 'flp'"),
        ({"optimizer": "sdg"}, "no optimizer 'sdg'"),
        ({"schedule": "stp"}, "no schedule 'stp'"),
        ({"loss": "cross"}, "no loss 'cross'"),
        ({"mix": "cutmx"}, "no mixing 'cutmx'"),
    ],
)
def test_what_cannot_be_trained_is_one_line(preparer: Preparer, changes: dict[str, object], message: str) -> None:
    with pytest.raises(QuorumError, match=message.replace("'", ".")) as caught:
        preparer.prepare(CONFIG.replace(**changes))
    assert "\n" not in str(caught.value)


def test_balanced_classes_have_images_of_their_own_number(quorum: Quorum, image_tree: Path) -> None:
    for file in sorted((image_tree / "red").glob("*"))[5:]:
        file.unlink()
    preparer = make_preparer(image_tree, quorum.folder / ".quorum")
    prepared = {
        name: preparer.prepare(CONFIG.replace(batch_size=2, balance=name)) for name in ("none", "under", "over")
    }
    train = prepared["none"].pixels.splits["train"]
    red, blue = sorted(np.bincount(prepared["none"].pixels.labels[train]).tolist())
    assert {name: one.images_per_epoch for name, one in prepared.items()} == {
        "none": (red + blue) // 2 * 2,
        "under": 2 * red,
        "over": 2 * blue,
    }
    with pytest.raises(QuorumError, match=f"is more than the {2 * red} training images of folder that balance=under"):
        preparer.prepare(CONFIG.replace(batch_size=2 * red + 1, balance="under"))


def test_a_last_batch_of_one_image_is_counted_by_what_an_epoch_draws(preparer: Preparer) -> None:
    config = CONFIG.replace(model="resnet18", batch_size=11, drop_last=False)  # 24 images, 2 in the last batch
    preparer.prepare(config)
    train = preparer.data.pixels(32).splits["train"]
    labels = preparer.data.pixels(32).labels[train]
    assert np.bincount(labels).tolist() == [12, 12]
    with pytest.raises(QuorumError, match="leaves a last batch of one image"):
        preparer.prepare(config.replace(batch_size=23, balance="over"))


def test_weights_of_another_network_are_refused(preparer: Preparer, tmp_path: Path) -> None:
    torch.save(build("resnet18", 2, seed=0).state_dict(), tmp_path / "other.pt")
    with pytest.raises(QuorumError, match="is not for this model"):
        preparer.prepare(CONFIG.replace(weights=str(tmp_path / "other.pt")))


def test_the_seed_chooses_the_fold(counted: tuple[Preparer, Counted]) -> None:
    preparer, data = counted
    folded = CONFIG.replace(folds=4)
    trainings = [preparer.prepare(folded.replace(seed=seed)) for seed in range(5)]
    assert data.opened == 1
    assert len({one.data_digest for one in trainings}) == 1
    assert trainings[0].data_digest != preparer.prepare(CONFIG).data_digest
    for seed, one in enumerate(trainings):
        again = trainings[2].with_seed(seed)
        for store in (one.pixels, one.batches.training_store, again.pixels):
            assert np.array_equal(store.splits["val"], fold_of(data.pixels(32), 4, seed).splits["val"])
        assert dict(one.counts) == {"train": 24, "val": 8, "test": 8}


def test_a_batch_has_to_fit_every_fold(preparer: Preparer) -> None:
    """Of the 32 images that 3 folds divide, one fold trains on 20 and the others on 22."""
    sizes = {preparer.prepare(CONFIG.replace(folds=3, seed=seed)).counts["train"] for seed in range(3)}
    least, *_, most = sorted(sizes)
    assert least < most
    with pytest.raises(QuorumError, match=f"batch_size: {most} is more than the {least} training images"):
        preparer.prepare(CONFIG.replace(folds=3, batch_size=most))
    preparer.prepare(CONFIG.replace(folds=3, batch_size=least))


FROZEN = CONFIG.replace(phases="classifier", frozen_norm="fixed", model="scratch-complex")


def with_room(preparer: Preparer, gigabytes: float) -> Preparer:
    room = gigabytes * GIGABYTE
    return dataclasses.replace(preparer, activations=ActivationStore(preparer.data.stores / "kept", room), _resolved={})


@pytest.mark.family
@pytest.mark.parametrize(
    ("changes", "gigabytes", "resolved"),
    [
        ({}, 1, "stored"),
        ({"frozen_norm": "follow"}, 1, "computed"),
        ({"model": "scratch-simple", "frozen_norm": "follow"}, 1, "stored"),  # it has no batch-norm
        ({"phases": "1:classifier,2:all"}, 1, "stored"),
        ({"phases": "all"}, 1, "computed"),
        ({"augment": "flip"}, 1, "computed"),
        ({}, 0.0005, "computed"),  # 40 images of 16 kB
        ({}, 0.0007, "stored"),
        ({"activations": "computed"}, 1, "computed"),
        ({"activations": "stored"}, 1, "stored"),
    ],
)
def test_activations_are_stored_where_that_can_be_done(
    preparer: Preparer, changes: dict[str, str], gigabytes: float, resolved: str
) -> None:
    config = FROZEN.replace(**changes)
    assert with_room(preparer, gigabytes).prepare(config).config.activations == resolved
    assert preparer.resolve(config.replace(activations="auto")).activations == "computed"  # where nothing is kept


@pytest.mark.parametrize(
    ("changes", "gigabytes", "reason"),
    [
        ({"augment": "flip"}, 1, "augment=flip makes other images in every epoch"),
        ({"phases": "all"}, 1, "with phases=all no beginning of scratch-complex is frozen that stays the same"),
        ({"frozen_norm": "follow"}, 1, "no beginning of scratch-complex"),
        ({}, 0.0005, "they take 0.00066 GB, and activation_gb is 0.0005"),
    ],
)
def test_activations_that_cannot_be_stored_are_refused(
    preparer: Preparer, changes: dict[str, str], gigabytes: float, reason: str
) -> None:
    with pytest.raises(QuorumError, match=f"activations: cannot be stored: .*{reason}"):
        with_room(preparer, gigabytes).prepare(FROZEN.replace(activations="stored", **changes))


@pytest.mark.family
@pytest.mark.parametrize(
    ("images", "folds", "size"), [(2000, 0, 256), (1023, 0, 128), (48, 0, 8), (24, 0, 4), (24, 4, 4), (3, 0, 1)]
)
def test_an_automatic_batch_is_at_most_a_quarter_of_what_trains(
    preparer: Preparer, images: int, folds: int, size: int
) -> None:
    catalogue = preparer.data.catalogue
    splits = {**catalogue.splits, "train": np.arange(images), "val": np.arange(8)}
    labels = np.zeros(max(images, 8), dtype=np.int64)
    config = CONFIG.replace(batch_size="auto", folds=folds)
    found = with_batch_size(config, dataclasses.replace(catalogue, labels=labels, splits=splits))
    assert found == config.replace(batch_size=size)


@pytest.mark.family
@pytest.mark.parametrize(("balance", "folds"), [("under", 0), ("under", 3), ("over", 0), ("over", 3), ("weights", 3)])
def test_an_automatic_batch_is_at_most_a_quarter_of_what_balanced_classes_draw(
    quorum: Quorum, image_tree: Path, balance: str, folds: int
) -> None:
    for file in sorted((image_tree / "red").glob("*"))[7:]:
        file.unlink()
    preparer = make_preparer(image_tree, quorum.folder / ".quorum")
    config = CONFIG.replace(batch_size="auto", balance=balance, folds=folds)
    size = preparer.resolve(config).batch_size
    assert isinstance(size, int)
    drawn = [
        preparer.prepare(config.replace(seed=seed, drop_last=False)).images_per_epoch for seed in range(folds or 1)
    ]
    assert size <= min(drawn) / 4 < 2 * size
    assert preparer.prepare(config).images_per_epoch >= 4 * size


def test_an_automatic_batch_is_a_number_in_what_is_trained(preparer: Preparer) -> None:
    prepared = preparer.prepare(CONFIG.replace(batch_size="auto"))
    assert prepared.config.batch_size == 4  # of 24 images
    assert prepared.config == preparer.prepare(CONFIG.replace(batch_size=4)).config
