"""Files that stand for torchvision's ImageNet weights, which need a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from quorum.models import architecture, imagenet_file
from quorum.models.weights_files import UrlFile


def put_imagenet_file(model: nn.Module, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a network's state where torch keeps the ImageNet weights of an architecture, as if they were torchvision's:
    the name that torchvision has for the file ends in the beginning of its hash."""
    files, file = architecture(name).imagenet, imagenet_file(architecture(name))
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), file)
    prefix = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    named = file.with_name(f"{file.stem.rpartition('-')[0]}-{prefix}.pth")
    file.rename(named)
    assert isinstance(files, dict)
    monkeypatch.setitem(files, "imagenet", [UrlFile(f"https://download.pytorch.org/models/{named.name}")])
    return named
