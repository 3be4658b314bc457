"""Which device computes, and in which arithmetic."""

from __future__ import annotations

from typing import Any

import torch

from quorum import tuning
from quorum.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        ConfigError: for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device: {name!r} is not available here; auto, cpu or cuda") from error
    return device


def use_device(name: str, threads: int) -> torch.device:
    """The device to compute on, with torch's threads set. Raises ConfigError for one that is not there."""
    set_up(threads)
    return resolve_device(name)


def set_up(threads: int, tuned: bool = True) -> None:
    """Make this process ready to compute.

    Args:
        threads: of torch; 0 leaves it at one per core.
        tuned: whether the process that this one serves uses `quorum.tuning`.
    """
    if not tuned:
        tuning.use(False)
    if threads:
        torch.set_num_threads(threads)
    tuning.keep_freed_memory()


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` is bf16 where the device computes in it, else float32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    # torch before 2.13 cannot tell; bf16 without the instructions is slower than float32.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a forward pass runs; weights and optimizer stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
