"""The files of a logged model, by the names that they have among its artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quorum.voting.rules import VotingRule

BUNDLE = "bundle"  # of a single network
RULE = "rule"  # of a vote
_MEMBER = "member-"  # with its place, a network of a vote


def member_files(bundles: Sequence[Path]) -> dict[str, Path]:
    """Bundles of the networks of a vote, best first, by their names."""
    return {f"{_MEMBER}{place}": bundle for place, bundle in enumerate(bundles, 1)}


def read_files(files: Mapping[str, Path]) -> tuple[tuple[Path, ...], VotingRule]:
    """The bundles of a model's networks, best first, and how they vote.

    Args:
        files: by name.
    """
    rule = VotingRule.of(files[RULE].read_text()) if RULE in files else VotingRule()
    return tuple(files[name] for name in sorted(files.keys() - {RULE}, key=_place)), rule


def _place(name: str) -> int:
    """Place of a network among the files of a model: member-2 stands before member-10."""
    return int(name.removeprefix(_MEMBER)) if name.startswith(_MEMBER) else 0
