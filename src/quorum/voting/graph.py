"""Networks, their preprocessing after resizing, and their vote as one torch module that can be exported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from quorum.data.preprocess import NORMALIZATIONS, Preprocess
from quorum.voting.abstention import Abstention
from quorum.voting.classifier import Classifier
from quorum.voting.rules import MAJORITY, VotingRule

UNDECIDED = -1  # the label of an image that a vote leaves undecided
OUTPUTS = ("label", "probability", "probabilities", "agreement", "votes")
OF_ONE = 3  # of them, what one network alone answers


class VoteGraph(nn.Module):
    """Networks that answer for images that are resized already: `VotingRule.decide` in tensor operations.

    It computes in float32, whatever the networks were trained in.

    Attributes:
        resizes: shorter sides that its inputs are resized to, in pixels; 0: images as they come.
        input_size: side of what the network with the largest input takes, in pixels.
        outputs: names of what it answers.
    """

    def __init__(self, members: Sequence[Classifier], rule: VotingRule) -> None:
        """Make it of networks, best first, and the rule by which they vote."""
        super().__init__()
        self.resizes = tuple(dict.fromkeys(member.preprocess.resize for member in members))
        self.input_size = max(member.preprocess.input_size for member in members)
        self.outputs = OUTPUTS if len(members) > 1 else OUTPUTS[:OF_ONE]
        self.places = [self.resizes.index(member.preprocess.resize) for member in members]
        self.inputs = nn.ModuleList(Input(member.preprocess) for member in members)
        self.networks = nn.ModuleList(member.model for member in members)
        self.rule = rule
        weights = torch.tensor(rule.weights or [1.0] * len(members))
        self.register_buffer("temperatures", torch.tensor(rule.temperatures or [1.0] * len(members)))
        self.register_buffer("weights", weights / weights.sum())
        self.weights: torch.Tensor
        self.temperatures: torch.Tensor

    def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Answer for n images.

        Args:
            images: for each of `resizes`, the images resized to it, uint8 [n, height, width, 3], RGB.

        Returns:
            By the names in `outputs`. label: int64 [n], place of the class, or UNDECIDED. probability: float32 [n], of
            the class that was decided for. probabilities: float32 [n, classes], the (weighted) mean of the members'.
            agreement: float32 [n], fraction of the members that voted for that class. votes: int64 [n, members], their
            classes, the best member's first.
        """
        members = zip(self.inputs, self.networks, self.places, strict=True)
        logits = [network(prepare(images[place])) for prepare, network, place in members]
        scaled = torch.stack(logits) / self.temperatures[:, None, None]
        calibrated = scaled.softmax(dim=2)
        votes = calibrated.argmax(dim=2)
        probabilities = (calibrated * self.weights[:, None, None]).sum(dim=0)
        decided = _majority(votes) if self.rule.name == MAJORITY else probabilities.argmax(dim=1)
        probability = probabilities.gather(1, decided[:, None])[:, 0]
        agreement = (votes == decided).float().mean(dim=0)
        label = _abstain(decided, agreement, probability, self.rule.abstain)
        return (label, probability, probabilities, agreement, votes.T)[: len(self.outputs)]


class Input(nn.Module):
    """A network's input of resized images: `Preprocess.images` in tensor operations."""

    def __init__(self, preprocess: Preprocess) -> None:
        """Make it of the preprocessing."""
        super().__init__()
        self.size = preprocess.input_size
        mean, std = (torch.tensor(values)[:, None, None] for values in NORMALIZATIONS[preprocess.normalize])
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.mean: torch.Tensor
        self.std: torch.Tensor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, height, width, 3] to float32 [n, 3, s, s]: the center, with zeros around smaller images."""
        rows, inside_rows = self._center(images.shape[1], images.device)
        columns, inside_columns = self._center(images.shape[2], images.device)
        window = images.index_select(1, rows).index_select(2, columns)
        inside = (inside_rows[:, None] & inside_columns[None, :])[..., None]
        scaled = (window.float() * inside / 255).permute(0, 3, 1, 2)
        return (scaled - self.mean) / self.std

    def _center(self, length: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The pixels of a side that the input takes, int64 [s], the nearest where there is none, and where there is
        one, bool [s]. `crop.center_starts` in tensor operations, which a graph for any length needs."""
        half = torch.scalar_tensor(length - self.size, device=device) / 2
        start = torch.where(half < 0, half.ceil(), half.round()).long()
        places = start + torch.arange(self.size, device=device)
        nearest = places.clamp(0, length - 1)
        return nearest, places == nearest


def _majority(votes: torch.Tensor) -> torch.Tensor:
    """`vote.majority_vote`: int64 [members, n] to int64 [n]."""
    support = (votes[:, None, :] == votes[None, :, :]).sum(dim=1)
    return votes.gather(0, support.argmax(dim=0, keepdim=True))[0]  # the first member among those with the most votes


def _abstain(
    decided: torch.Tensor, agreement: torch.Tensor, probability: torch.Tensor, abstain: Abstention | None
) -> torch.Tensor:
    """The decided classes, int64 [n], with UNDECIDED where the rule leaves it open."""
    if abstain is None:
        return decided
    measure = agreement if abstain.measure == "agreement" else probability
    # Two of three members are 0.667 of them, whatever the last bit says.
    return torch.where(measure < abstain.bound - 1e-6, UNDECIDED, decided)
