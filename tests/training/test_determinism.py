"""Every network, trained twice on every device at hand, comes out the same bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from quorum.config import TrialConfig
from quorum.data.opened import open_dataset
from quorum.engine.device import Machine, use_device
from quorum.engine.states import States
from quorum.shared_folder import SharedFolder
from quorum.study.file import load_study
from quorum.study.plan import plan
from quorum.tracking.store import connect
from quorum.training.job import Job, Trained, train
from quorum.training.prepare import Preparer
from tests.conftest import ROOT, Quorum, make_image

# Every network of the study files, at the smallest input that it takes here.
NETWORKS = {
    "alexnet": 64,
    "efficientnet_v2_s": 33,
    "mobilenet_v2": 33,
    "mobilenet_v2-two-layer-head": 33,
    "resnet18": 33,
    "resnet50": 33,
    "scratch-complex": 32,
    "scratch-medium": 64,
    "scratch-simple": 32,
    "timm/tf_efficientnet_lite0": 33,
    "timm/tf_efficientnet_lite1": 33,
    "timm/tf_efficientnet_lite2": 33,
}
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
PLACES = [
    ("cpu", "float32"),
    pytest.param("cuda", "float32", marks=NO_CUDA),
    pytest.param("cuda", "bf16", marks=NO_CUDA),
]


def test_every_network_of_a_study_is_listed() -> None:
    studies = [load_study(file).study for file in (ROOT / "sweeps").glob("*/*.yaml") if file.name != "DATASET.yaml"]
    used = {trial.config.model for study in studies for trial in plan(study, study.first_config({}))}
    assert used <= NETWORKS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("device", "precision"), PLACES)
@pytest.mark.parametrize("network", NETWORKS)
def test_twice_the_same(quorum: Quorum, tmp_path: Path, network: str, device: str, precision: str) -> None:
    tree = tmp_path / "tree"
    for label in range(2):
        for i in range(8):
            make_image(tree / str(label) / f"{i:02d}.png", 100 * label + i, (48, 56), tint=120 * label)
    size = NETWORKS[network]
    config = TrialConfig(
        dataset="folder",
        model=network,
        input_size=size,
        resize=size + 4,
        batch_size=4,
        epochs=1,
        lr=0.01,
        augment="flip | jitter(0.2, 0.2, 0.2, 0.1)",
        precision=precision,
    )
    data = open_dataset("folder", data_dir=Path("data"), path=tree, split_seed=0, work_dir=tmp_path, skip_bad=False)
    prepared = Preparer(data, Machine.here(use_device(device, 2)), connect()).prepare(config)
    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        job = Job("job", "run", prepared, States(), SharedFolder(folder, "artifacts"), SharedFolder(folder, "bundle"))
        *_, trained = train(job, lambda _images: None)
        assert isinstance(trained, Trained)
        weights = torch.load(folder / "bundle" / "weights.pt", weights_only=True)
        found.append((trained.metrics, weights))
    (metrics, weights), (again, weights_again) = found
    assert metrics == again
    assert all(torch.equal(weights[name], weights_again[name]) for name in weights)
