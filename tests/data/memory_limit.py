"""A program that trains an epoch on images that take more memory than it may have.

Arguments: a folder of images, a folder to work in. Prints the bytes of the pixel store, those it was allowed, and the
loss of the epoch.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from pathlib import Path

import torch

from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.pixel_store import open_store
from quorum.data.preprocess import Preprocess
from quorum.data.sources.folder import catalogue
from quorum.engine.training import Training
from quorum.models import build, parameter_groups

ALLOWED = 150 * 2**20  # bytes of data, beyond those of a process that has imported all and trained once


def training(images: Path, folder: Path) -> Training:
    """A training of a small network for one epoch."""
    store = open_store(catalogue(images, 0), folder / "pixels")
    config = TrialConfig(
        dataset="folder", model="scratch-simple", input_size=32, resize=32, normalize="half", precision="float32"
    )
    config = config.replace(batch_size=16, epochs=1, augment="flip", lr=0.01)
    model = build(config.model, len(store.classes), seed=0)
    return Training(
        config, model, parameter_groups(model), Batches.alike(store, Preprocess(32, 32, "half"), torch.device("cpu"))
    )


def used() -> int:
    """Bytes of the data segment of this process."""
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    """See above."""
    images, folder = Path(sys.argv[1]), Path(sys.argv[2])
    list(training(images / "few", folder / "few").run())  # what libraries take once is no matter here
    limit = used() + ALLOWED
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    large = training(images / "many", folder / "many")
    [progress] = large.run()
    size = (folder / "many" / "pixels").rglob("pixels.bin")
    loss = progress.records[0].values["train/loss"]
    print(json.dumps({"store": sum(file.stat().st_size for file in size), "allowed": ALLOWED, "loss": loss}))


if __name__ == "__main__":
    main()
