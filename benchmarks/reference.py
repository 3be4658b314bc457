"""The training loop that one would write without quorum: ImageFolder, PIL transforms, DataLoader, float32.

As in torchvision's own examples and in the reports' notebooks: images are decoded and augmented anew in each epoch, by
as many worker processes as there are cores, and the network, optimizer and evaluation are torch's defaults.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from quorum.config import TrialConfig
from quorum.data.preprocess import NORMALIZATIONS
from quorum.engine.frozen import frozen_norms
from quorum.models import architecture, parameter_groups

Transform = Callable[[Any], Any]


def _jitter() -> Transform:
    return transforms.ColorJitter(0.2, 0.2, 0.2, 0.1)


# quorum's policies, as the reports' notebooks write them with torchvision.
AUGMENTATIONS: dict[str, list[Transform]] = {
    "none": [],
    "flip-rotate10-jitter20-shift10": [
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(10),
        _jitter(),
        transforms.RandomAffine(0, translate=(0.1, 0.1)),
    ],
    "crop-flip-rotate15-jitter20-shift10": [
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(15),
        _jitter(),
        transforms.RandomAffine(0, translate=(0.1, 0.1)),
    ],
}


def _transform(config: TrialConfig, *, training: bool) -> Transform:
    size = config.input_size
    assert isinstance(size, int)
    random_crop = training and config.augment.startswith("crop-")
    resize = config.resize if training else config.eval_resize
    return transforms.Compose(
        [
            *([transforms.Resize(resize)] if resize else []),
            transforms.RandomCrop(size, pad_if_needed=True, padding_mode="edge")
            if random_crop
            else transforms.CenterCrop(size),
            *(AUGMENTATIONS[config.augment] if training else []),
            transforms.ToTensor(),
            transforms.Normalize(*NORMALIZATIONS[config.normalize]),
        ]
    )


class ReferenceLoop:
    """A network on its way through epochs of a tree of images.

    Args:
        config: resolved settings; precision is not followed, all is float32.
        tree: `train/` and `val/`, each with a folder for each class.
        device: where it is computed.
        workers: of each DataLoader.
    """

    def __init__(self, config: TrialConfig, tree: Path, device: str = "cpu", workers: int | None = None) -> None:
        torch.manual_seed(config.seed)
        self.device = torch.device(device)
        count = os.cpu_count() or 1 if workers is None else workers
        loader: dict[str, Any] = {
            "batch_size": config.batch_size,
            "num_workers": count,
            "persistent_workers": count > 0,
            "pin_memory": self.device.type == "cuda",
        }
        self.train = DataLoader(
            ImageFolder(str(tree / "train"), _transform(config, training=True)), shuffle=True, drop_last=True, **loader
        )
        self.val = DataLoader(ImageFolder(str(tree / "val"), _transform(config, training=False)), **loader)
        classes = len(self.train.dataset.classes)  # type: ignore[attr-defined]
        self.model = architecture(config.model).build(classes).to(self.device)
        if config.phases == "classifier":
            self.model.requires_grad_(False)
            for parameter in parameter_groups(self.model)["classifier"]:
                parameter.requires_grad_(True)
        self.still = frozen_norms(self.model) if config.frozen_norm == "fixed" else []
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
            if config.optimizer == "sgd"
            else torch.optim.Adam(parameters, config.lr, weight_decay=config.weight_decay)
        )
        self.criterion = nn.CrossEntropyLoss()

    def epoch(self) -> float:
        """Train and evaluate one epoch. Returns its wall time in seconds."""
        started = time.perf_counter()
        self.model.train()
        for layer in self.still:
            layer.eval()
        loss_sum, correct, images = 0.0, 0, 0
        for inputs, labels in self.train:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            outputs = self.model(inputs)
            loss = self.criterion(outputs, labels)
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += (outputs.argmax(1) == labels).sum().item()
            images += len(labels)
        self._evaluate()
        return time.perf_counter() - started

    @torch.no_grad()
    def _evaluate(self) -> tuple[float, float]:
        self.model.eval()
        loss_sum, correct, images = 0.0, 0, 0
        for inputs, labels in self.val:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            outputs = self.model(inputs)
            loss_sum += self.criterion(outputs, labels).item() * len(labels)
            correct += (outputs.argmax(1) == labels).sum().item()
            images += len(labels)
        return loss_sum / images, correct / images


@dataclass
class ReferenceProcess:
    """The loop in a process of its own, so that nothing that quorum sets up in its process helps or hinders it."""

    config: TrialConfig
    tree: Path
    device: str = "cpu"
    workers: int | None = None

    def __enter__(self) -> ReferenceProcess:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self.config, self.tree, self.device, self.workers)
        self._process = context.Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()
        return self

    def epoch(self) -> float:
        """Train and evaluate one epoch there. Returns its wall time in seconds, as measured there."""
        self._connection.send("epoch")
        return float(self._connection.recv())

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join()


def _serve(connection: Connection[Any, Any], config: TrialConfig, tree: Path, device: str, workers: int | None) -> None:
    loop = ReferenceLoop(config, tree, device, workers)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(loop.epoch())
