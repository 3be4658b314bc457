"""The small networks compute what the report's do, in which every relu comes before its pooling."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from quorum.models import build


def as_reported(network: nn.Module) -> nn.Module:
    """The network with the places of each pooling and the relu behind it changed, over the same weights."""
    found = copy.deepcopy(network)
    features = found.features
    assert isinstance(features, nn.Sequential)
    layers = list(features)
    for place, (first, second) in enumerate(itertools.pairwise(layers)):
        if isinstance(first, nn.MaxPool2d) and isinstance(second, nn.ReLU):
            features[place], features[place + 1] = second, first
    assert [type(layer) for layer in features] != [type(layer) for layer in layers]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("scratch-simple", 32), ("scratch-medium", 64)])
def test_pooling_before_relu_trains_the_same_weights(name: str, size: int) -> None:
    torch.manual_seed(0)
    ours = build(name, 4, seed=0)
    theirs = as_reported(ours)
    images, labels = torch.randn(3, 8, 3, size, size), torch.randint(4, (3, 8))
    for network in (ours, theirs):
        optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        for step in range(3):
            torch.manual_seed(step)  # of dropout
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[step]), labels[step]).backward()
            optimizer.step()
    trained, expected = ours.state_dict(), theirs.state_dict()
    assert list(trained) == list(expected)
    assert all(torch.equal(trained[key], expected[key]) for key in expected)
