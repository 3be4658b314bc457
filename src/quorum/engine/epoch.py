"""One pass over a split: to train on it, or to evaluate it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from quorum.engine.device import autocast
from quorum.engine.losses import Loss, cross_entropy
from quorum.engine.metrics import measure

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Pass:
    """Sums of one pass.

    Attributes:
        loss: mean over the images of their batches' losses.
        accuracy: fraction of labels that had the highest logit.
        images: number of images.
    """

    loss: float
    accuracy: float
    images: int


@dataclass(frozen=True)
class Evaluation:
    """Logits float32 [n, classes] and labels int64 [n] of a split, on the CPU."""

    logits: torch.Tensor
    labels: torch.Tensor

    def metrics(self, loss: Loss = cross_entropy) -> dict[str, float]:
        """The loss and every registered metric, by name."""
        return {"loss": float(loss(self.logits, self.labels)), **measure(self.logits, self.labels)}

    @property
    def predictions(self) -> torch.Tensor:
        """int64 [n]: the class with the highest logit."""
        return self.logits.argmax(dim=1)


def ignore(_images: int) -> None:
    """The callback of whoever does not need one."""


def train_epoch(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    precision: str,
    on_batch: Callable[[int], None] = ignore,
    *,
    still: Iterable[nn.Module] = (),
    clip_norm: float = 0.0,
) -> Pass:
    """Train on each batch once. Figures are summed on the device and read at the end, so no batch waits for them.

    Args:
        model: on the device of the batches; put into training mode.
        batches: input float32 [n, 3, s, s] and labels int64 [n], or shares of the classes float32 [n, classes] where
            images are mixed; then the accuracy is that of the class with the largest share.
        optimizer: stepped once a batch, at the learning rate it has.
        loss: of logits float32 [n, classes] and labels, see `quorum.engine.losses`.
        precision: `float32` or `bf16`.
        on_batch: called with the number of images after each batch.
        still: layers that stay in evaluation mode.
        clip_norm: norm of the gradient of all that is trained, L2, to which a larger one is scaled; 0 for none.
    """
    model.train()
    for layer in still:
        layer.eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = next(model.parameters()).device
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    images = 0
    for inputs, labels in batches:
        with autocast(precision, device):
            logits = model(inputs)
        mean = loss(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        mean.backward()
        if clip_norm:
            nn.utils.clip_grad_norm_(trained, clip_norm)
        optimizer.step()
        loss_sum += mean.detach() * len(labels)
        classes = labels if labels.ndim == 1 else labels.argmax(dim=1)
        correct += (logits.detach().argmax(dim=1) == classes).sum()
        images += len(labels)
        on_batch(len(labels))
    return Pass(float(loss_sum) / images, int(correct) / images, images)


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[Batch], precision: str) -> Evaluation:
    """Logits of every batch, in order."""
    model.eval()
    device = next(model.parameters()).device
    logits, labels = [], []
    for inputs, targets in batches:
        with autocast(precision, device):
            logits.append(model(inputs).float())
        labels.append(targets)
    return Evaluation(torch.cat(logits).cpu(), torch.cat(labels).cpu())
