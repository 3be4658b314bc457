"""A vote as one torch module answers as the vote itself does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from quorum.config import TrialConfig
from quorum.data.preprocess import Preprocess
from quorum.data.resize import resize_shorter_side
from quorum.models import build
from quorum.voting.abstention import Abstention
from quorum.voting.classifier import Classifier
from quorum.voting.graph import UNDECIDED, Input, VoteGraph
from quorum.voting.rules import GREEDY, SOFT, VotingRule

SHAPES = [(37, 50), (8, 8), (32, 33), (41, 90), (7, 200), (33, 31)]


def classifier(seed: int, resize: int = 0) -> Classifier:
    config = TrialConfig(model="scratch-simple", input_size=32, resize=resize, normalize="cifar10", precision="float32")
    return Classifier(config, ("a", "b", "c"), "digest", build("scratch-simple", 3, seed=seed).eval())


def noise(n: int, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(height).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [32, 9])
def test_input_is_that_of_the_preprocessing(shape: tuple[int, int], size: int) -> None:
    preprocess = Preprocess(size, 0, "imagenet")
    images = noise(2, *shape)
    torch.testing.assert_close(Input(preprocess)(torch.from_numpy(images)), preprocess.images(list(images)))


@pytest.mark.parametrize(
    "rule",
    [
        VotingRule(),
        VotingRule(SOFT, temperatures=(0.5, 2.0, 1.5)),
        VotingRule(GREEDY, temperatures=(1.0, 3.0, 0.2), weights=(0.2, 0.8, 0.0)),
        VotingRule(abstain=Abstention("agreement", 0.667)),
        VotingRule(abstain=Abstention("agreement", 0.6)),
        VotingRule(SOFT, abstain=Abstention("probability", 0.34)),
    ],
    ids=lambda rule: f"{rule.name}-{rule.abstain}",
)
def test_every_rule_decides_as_it_does_elsewhere(rule: VotingRule) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 400, 3, generator=generator).round(decimals=1)
    members = [Classifier(one.config, one.classes, "", Given(part)) for one, part in zip(MEMBERS, logits, strict=True)]
    label, probability, probabilities, agreement, votes = VoteGraph(members, rule)(torch.from_numpy(noise(400, 4, 4)))
    expected = rule.decide([part.softmax(dim=1).numpy() for part in logits])
    np.testing.assert_array_equal(label, np.where(expected.undecided, UNDECIDED, expected.labels))
    np.testing.assert_array_equal(votes.T, expected.votes)
    np.testing.assert_allclose(probability, expected.probability, atol=1e-6)
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(agreement, expected.agreement, atol=1e-6)
    if rule.abstain is not None:
        assert 0 < expected.undecided.sum() < 400


class Given(nn.Module):
    """A network that gives the logits that it was given, whatever it is asked."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape == (400, 3, 32, 32)
        return self.logits


MEMBERS = [classifier(seed) for seed in range(3)]


def test_members_take_images_of_their_own_sizes() -> None:
    members = [classifier(0, 40), classifier(1), classifier(2, 40)]
    graph = VoteGraph(members, VotingRule())
    assert graph.resizes == (40, 0)
    images = noise(3, 45, 61)
    resized = np.stack([resize_shorter_side(image, 40) for image in images])
    with torch.inference_mode():
        _, _, probabilities, *_ = graph(torch.from_numpy(resized), torch.from_numpy(images))
    expected = VotingRule().decide([member.probabilities(list(images)) for member in members])
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-6)


def test_one_network_answers_without_the_columns_of_a_vote() -> None:
    graph = VoteGraph(MEMBERS[:1], VotingRule())
    assert graph.outputs == ("label", "probability", "probabilities")
    images = noise(2, 20, 24)
    with torch.inference_mode():
        label, _, probabilities = graph(torch.from_numpy(images))
    expected = MEMBERS[0].probabilities(list(images))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(label, expected.argmax(axis=1))
