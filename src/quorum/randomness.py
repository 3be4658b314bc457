"""Random streams addressed by seed, epoch and purpose.

No stream runs on from one epoch to the next, so the state after epoch *e* is the model, the optimizer and *e*:
resuming, forking and repeating draw exactly what an uninterrupted run would have drawn.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, epoch: int, purpose: str) -> int:
    """A 63-bit seed for one purpose ("order", "balance", "augment", "mix", "dropout", "init") in an epoch of a run."""
    text = f"{seed}/{epoch}/{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """A CPU generator at the start of the stream (seed, epoch, purpose)."""
    return torch.Generator().manual_seed(stream_seed(seed, epoch, purpose))


def numpy_generator(seed: int, epoch: int, purpose: str) -> np.random.Generator:
    """The same of NumPy, for distributions that torch draws from its global generator alone."""
    return np.random.default_rng(stream_seed(seed, epoch, purpose))


def seed_everything(seed: int, epoch: int, purpose: str) -> None:
    """Put torch's global generators (CPU and CUDA) at the start of a stream, for layers that draw from them."""
    torch.manual_seed(stream_seed(seed, epoch, purpose))
