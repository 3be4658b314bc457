"""A step of training of the small networks: where its time goes, and whether torch.compile makes it shorter.

The ratio is the time of a step as quorum makes it by that of the same step through torch.compile, in turn. Details say
what share of the machine's rate of matrix products the step reaches, what share it would reach if there were nothing
in it but its convolutions and matrix products, each at the speed that it has here, and how long compiling takes.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from common import Case, Measured, Target, UnavailableError, alternate, main, share, timed
from ours import SETTINGS, arithmetic, matrix_rate
from quorum.engine.device import autocast, resolve_precision, set_up
from quorum.engine.optimizers import make_optimizer
from quorum.models import build

CLASSES = 10
STEPS = {"mobilenet_v2-64": 2, "scratch-simple-32": 100}  # in one measurement
PRODUCTS = ("convolution", "mm", "bmm", "matmul")  # parts of the names of operations that multiply matrices
CPU = torch.device("cpu")


class OperationTimes(TorchDispatchMode):
    """While it is on, the seconds of each operation of torch's are summed by name."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        started = time.perf_counter()
        found = func(*args, **(kwargs or {}))
        self.seconds[func.overloadpacket.__name__] += time.perf_counter() - started
        return found

    def of_products(self) -> float:
        """Seconds of convolutions and matrix products, and of their gradients."""
        return sum(taken for name, taken in self.seconds.items() if any(part in name for part in PRODUCTS))


class Steps:
    """Steps of one network on one batch of noise."""

    def __init__(self, name: str) -> None:
        self.config = SETTINGS[name][2]
        self.precision = resolve_precision("auto", CPU)
        size = int(self.config.input_size)
        self.model = build(self.config.model, CLASSES, seed=0).train()
        self.optimizer = make_optimizer(self.config, self.model.parameters())
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(int(self.config.batch_size), 3, size, size, generator=generator)
        self.inputs = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(CLASSES, (int(self.config.batch_size),), generator=generator)

    def make(self, network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """One step, of this network or of a compiled form of it."""
        with autocast(self.precision, CPU):
            logits = network(self.inputs)
        self.optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()


def measure(name: str, options: argparse.Namespace) -> Measured:
    """One case."""
    set_up(0)
    steps, count = Steps(name), max(1, int(STEPS[name] * options.share))
    compiled = torch.compile(steps.model)
    started = time.perf_counter()
    try:
        steps.make(compiled)
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise UnavailableError(f"torch.compile fails: {error}") from error
    compiling = time.perf_counter() - started

    def several(network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        for _ in range(count):
            steps.make(network)

    found = alternate(timed(lambda: several(steps.model)), timed(lambda: several(compiled)), options.rounds)
    with OperationTimes() as times:
        several(steps.model)
    done, rate = count * arithmetic(steps.model, steps.inputs), matrix_rate(steps.precision, CPU)
    whole = sum(times.seconds.values())
    largest = sorted(times.seconds.items(), key=lambda item: -item[1])
    return Measured.of(
        found,
        threads=torch.get_num_threads(),
        precision=steps.precision,
        steps=count,
        compile_seconds=compiling,
        share_of_matrix_rate=done / statistics.median(found.first) / rate,
        share_of_matrix_rate_of_products=done / times.of_products() / rate,
        shares={operation: round(taken / whole, 4) for operation, taken in largest[:8]},
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--share", type=share, default=1.0, help="of the usual number of steps (default: 1)")
    parser.set_defaults(rounds=5)


CASES = [
    Case(
        name,
        f"plain / compiled, a step of {SETTINGS[name][2].model} at {SETTINGS[name][2].input_size} pixels",
        functools.partial(measure, name),
        Target(at_least=1.0),
    )
    for name in STEPS
]

if __name__ == "__main__":
    sys.exit(main("steps", __doc__, CASES, _options))
