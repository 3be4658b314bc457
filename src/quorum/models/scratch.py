"""The small convolutional networks of the CIFAR-10 report."""

from __future__ import annotations

from torch import nn


class ScratchSimple(nn.Sequential):
    """Two 3 x 3 convolutions (32 and 64 channels), each with relu and 2 x 2 max-pooling; linear 4096-128-classes.

    Takes [n, 3, 32, 32].
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Linear(4096, 128), nn.ReLU(inplace=True), nn.Linear(128, num_classes))
