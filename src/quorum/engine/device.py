"""Which device computes, in which arithmetic, and on what its bits depend."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from quorum import tuning
from quorum.config import AUTO
from quorum.errors import ConfigError


@dataclass(frozen=True)
class Machine:
    """The machine that computes, which need not be the one that asks for it.

    Attributes:
        device: that trainings compute on.
        numerics: its class, see `numerics_class`.
        auto_precision: what `precision=auto` is there; "" where it is several machines that differ in that.
    """

    device: torch.device
    numerics: str
    auto_precision: str

    @classmethod
    def here(cls, device: torch.device, threads: int = 0) -> Self:
        """This one, with a number of torch's threads; 0 for as many as this process has."""
        return cls(device, numerics_class(device, threads), resolve_precision(AUTO, device))

    def precision(self, setting: str) -> str:
        """The arithmetic of a training whose setting `precision` is given.

        Raises:
            ConfigError: for `auto` where that is not one thing.
        """
        if setting == AUTO and not self.auto_precision:
            message = "precision: auto is not the same on all nodes; give precision=float32"
            raise ConfigError(message, setting="precision")
        return self.auto_precision if setting == AUTO else setting


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
    """Make this process ready to compute, the same each time.

    Args:
        threads: of torch; 0 leaves it at one per core.
        tuned: whether the process that this one serves uses `quorum.tuning`.
    """
    if not tuned:
        tuning.use(False)
    if threads:
        torch.set_num_threads(threads)
    tuning.keep_freed_memory()
    compute_deterministically()


def compute_deterministically() -> None:
    """Have torch choose deterministic algorithms, and float32 mean float32.

    An operation without a deterministic algorithm warns and is computed anyway: AlexNet's pooling on a GPU is one.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A help for debugging that costs time; a property of the module, which its stubs do not know.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def determinism() -> dict[str, bool]:
    """The settings of torch that results depend on, for the record."""
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
        "matmul_allow_tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def numerics_class(device: torch.device, threads: int = 0) -> str:
    """What the bits of a training depend on beside its settings, its data, the code and the packages.

    Results of two classes agree closely, and not bit for bit.

    Args:
        device: that computes.
        threads: of torch, in the process that computes; 0 for as many as this process has.

    Returns:
        Such as `cpu AuthenticAMD AVX2, 2 threads` or `cuda NVIDIA H100 80GB HBM3`.
    """
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return device.type
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    further = "".join(f"+{name}" for name in ("avx512_bf16", "amx_bf16") if capabilities.get(name))
    kind = f"{torch.backends.cpu.get_cpu_capability()}{further}"
    return f"cpu {_vendor()} {kind}, {threads or torch.get_num_threads()} threads"


def _vendor() -> str:
    """Who made the processor: libraries of matrix products choose their code by it."""
    try:
        found = re.search(r"^vendor_id\s*:\s*(\S+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:  # no Linux
        found = None
    return found[1] if found else "unknown"


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` is bf16 where the device computes in it, else float32."""
    if precision != AUTO:
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    # torch before 2.13 cannot tell; bf16 without the instructions is slower than float32.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a forward pass runs; weights and optimizer stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
