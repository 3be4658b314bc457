"""Trainings on a small folder of images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from quorum.config import TrialConfig
from quorum.data.opened import open_dataset
from quorum.engine.device import Machine
from quorum.tracking.store import connect
from quorum.training.folders import WorkFolders
from quorum.training.prepare import Preparer
from tests.conftest import Quorum

CONFIG = TrialConfig(
    dataset="folder", model="scratch-simple", input_size=32, resize=32, batch_size=8, epochs=2, lr=0.01
)


def make_preparer(tree: Path, work_dir: Path) -> Preparer:
    """What prepares trainings on a tree of images, with the store of the working folder."""
    data = open_dataset("folder", data_dir=Path("data"), path=tree, split_seed=0, work_dir=work_dir, skip_bad=False)
    return Preparer(data, Machine.here(torch.device("cpu")), connect())


@pytest.fixture
def preparer(quorum: Quorum, image_tree: Path) -> Preparer:
    return make_preparer(image_tree, quorum.folder / ".quorum")


@pytest.fixture
def folders(quorum: Quorum) -> WorkFolders:
    return WorkFolders(quorum.folder / ".quorum")
