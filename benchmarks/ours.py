"""quorum's engine as the benchmarks drive it: settings of the published studies, epochs, and where their time goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from common import Comparison
from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.pixel_store import open_store
from quorum.data.preprocess import preprocess_of
from quorum.data.sources.folder import catalogue
from quorum.engine.cut_batches import BatchSource
from quorum.engine.device import resolve_precision
from quorum.engine.epoch import Batch, ignore
from quorum.engine.history import EpochRecord
from quorum.engine.training import Training
from quorum.models import build, parameter_groups

STUDY_EPOCHS = 30  # of the shortest published study; images are decoded once for all of its trainings
PARTS = ("decode", "augment", "forward", "backward", "optimizer", "evaluate", "log", "other")
BASE = TrialConfig(dataset="folder", normalize="half", step_size=0)

# Settings of the published studies and of cifar10/lite-vote, from random weights.
SETTINGS: dict[str, tuple[str, dict[str, int], TrialConfig]] = {
    "alexnet-224": (
        "caltech101",
        {"train": 512, "val": 512},
        BASE.replace(model="alexnet", input_size=224, resize=0, eval_resize=0, batch_size=256),
    ),
    "resnet18-224": (
        "caltech101",
        {"train": 128, "val": 128},
        BASE.replace(model="resnet18", input_size=224, resize=0, eval_resize=0, batch_size=128),
    ),
    "mobilenet_v2-64": (
        "cifar10",
        {"train": 1024, "val": 128},
        BASE.replace(
            model="mobilenet_v2-two-layer-head",
            input_size=64,
            resize=72,
            eval_resize=64,
            augment="crop-flip-rotate15-jitter20-shift10",
            lr=0.002,
            weight_decay=0,
            batch_size=256,
        ),
    ),
    "scratch-simple-32": (
        "cifar10",
        {"train": 9600, "val": 1024},
        BASE.replace(
            model="scratch-simple",
            input_size=32,
            resize=0,
            eval_resize=0,
            augment="flip-rotate10-jitter20-shift10",
            optimizer="adam",
            lr=0.0005,
            weight_decay=0,
            batch_size=32,
        ),
    ),
    "lite0-64": (
        "cifar10",
        {"train": 1024, "val": 128},
        BASE.replace(
            model="timm/tf_efficientnet_lite0", input_size=64, resize=72, eval_resize=64, lr=0.01, batch_size=64
        ),
    ),
}


class Ours:
    """A training on a tree of images.

    Args:
        config: settings; the precision is resolved for the device.
        tree: `train/`, `val/` and `test/`, each with a folder for each class.
        folder: for the pixel store.
        log: told of each epoch.
        device: where it is computed.
    """

    def __init__(
        self,
        config: TrialConfig,
        tree: Path,
        folder: Path,
        log: Callable[[EpochRecord], object],
        device: torch.device,
    ) -> None:
        self.log = log
        self.config = config.replace(precision=resolve_precision("auto", device))
        started = time.perf_counter()
        store = open_store(catalogue(tree, 0), folder / "pixels")
        self.decode_seconds = time.perf_counter() - started
        assert isinstance(config.resize, int)
        self.batches = Batches(store, preprocess_of(self.config), device, store, config.resize)
        self.model = build(config.model, len(store.classes), seed=config.seed).to(device)
        self.training = Training(self.config, self.model, parameter_groups(self.model), self.batches)
        self.epochs = 0

    def epoch(self) -> float:
        """Train, evaluate and log one epoch. Returns its wall time in seconds, its share of decoding included."""
        started = time.perf_counter()
        self.epochs += 1
        record = self.training.run_epoch(self.epochs, ignore)
        self.log(record)
        return time.perf_counter() - started + self.decode_seconds / STUDY_EPOCHS

    def parts(self) -> dict[str, float]:
        """Seconds of each part of an epoch."""
        clock = _Clock(self)
        return clock.measure()

    def rate(self) -> tuple[float, float]:
        """Arithmetic of a training batch in floating-point operations, and seconds that it takes at best."""
        inputs, labels = next(
            self.batches.training(seed=0, epoch=1, batch_size=int(self.config.batch_size), augment="none")
        )
        times = []
        for _ in range(3):
            started = time.perf_counter()
            _step(self.model, inputs, labels, self.config.precision)
            times.append(time.perf_counter() - started)
        self.model.zero_grad()
        return arithmetic(self.model, inputs), min(times)

    def details(self, found: Comparison) -> dict[str, Any]:
        """What there is to say beside the ratio of the reference's time of an epoch (`found.first`) by quorum's."""
        config, device = self.config, self.batches.device
        images = self.batches.images_per_epoch(int(config.batch_size))
        parts, (operations, seconds) = self.parts(), self.rate()
        rate, whole = matrix_rate(config.precision, device), sum(parts.values())
        return {
            "precision": config.precision,
            "train_images": images,
            "val_images": self.batches.store.counts()["val"],
            "reference_images_per_second": images / statistics.median(found.first),
            "images_per_second": images / statistics.median(found.second),
            "shares": {part: round(taken / whole, 4) for part, taken in parts.items()},
            "arithmetic_gflops": operations / seconds / 1e9,
            "matrix_gflops": rate / 1e9,
            "share_of_matrix_rate": operations / seconds / rate,
        }


def arithmetic(model: nn.Module, inputs: torch.Tensor) -> float:
    """Floating-point operations of a step: the forward pass, twice that for the gradients of weights and inputs, and
    less those of the inputs of the first layer, which nobody needs. (torch counts a depthwise gradient as a full one.)
    """
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    counts = []
    for part in (model, first):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            part(inputs)
        counts.append(counter.get_total_flops())
    return 3.0 * counts[0] - counts[1]


def _step(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, precision: str) -> None:
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = model(inputs)
    nn.functional.cross_entropy(logits.float(), labels).backward()
    wait(inputs.device)


class _Clock:
    """Takes the time of the parts of an epoch through hooks on the network and the optimizer, and around batches."""

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.started = 0.0

    def measure(self) -> dict[str, float]:
        ours, training = self.ours, self.ours.training
        plain = training.batches
        hooks = [
            ours.model.register_forward_pre_hook(lambda *_: self._start()),
            ours.model.register_forward_hook(lambda *_: self._forward()),
            training.optimizer.register_step_pre_hook(lambda *_: self._stop("backward")),
            training.optimizer.register_step_post_hook(lambda *_: self._stop("optimizer")),
        ]
        training.batches = cast("BatchSource", self)
        started = time.perf_counter()
        record = training.run_epoch(ours.epochs + 1, ignore)
        whole = time.perf_counter() - started
        training.batches = plain
        for hook in hooks:
            hook.remove()
        self._start()
        ours.log(record)
        self._stop("log")
        ours.epochs += 1
        self.seconds["other"] = whole - sum(self.seconds.values()) + self.seconds["log"]
        self.seconds["decode"] = ours.decode_seconds / STUDY_EPOCHS
        return self.seconds

    def training(self, **which: Any) -> Iterator[Batch]:
        yield from self._timed(self.ours.batches.training(**which), "augment")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ours.batches, name)

    def evaluation(self, split: str) -> Iterator[Batch]:
        yield from self._timed(self.ours.batches.evaluation(split), "evaluate")

    def _timed(self, batches: Iterator[Batch], part: str) -> Iterator[Batch]:
        while True:
            self._start()
            batch = next(batches, None)
            self._stop(part)
            if batch is None:
                return
            yield batch

    def _start(self) -> None:
        self.started = time.perf_counter()

    def _stop(self, part: str) -> None:
        wait(self.ours.batches.device)
        now = time.perf_counter()
        self.seconds[part] += now - self.started
        self.started = now

    def _forward(self) -> None:
        self._stop("forward" if self.ours.model.training else "evaluate")


def wait(device: torch.device) -> None:
    """Let a device finish what it was given, so that the time can be taken."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(precision: str, device: torch.device) -> float:
    """The machine's rate of matrix products in an arithmetic, floating-point operations a second: the best of some."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for side in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in "ab")
        torch.mm(a, b)
        wait(device)
        for _ in range(5):
            started = time.perf_counter()
            torch.mm(a, b)
            wait(device)
            best = max(best, 2 * side**3 / (time.perf_counter() - started))
    return best
