"""How soon the command line answers: a whole process of `quorum ... --help` beside one that imports torch alone."""

from __future__ import annotations

import argparse
import sys

from common import QUORUM, Case, Measured, Target, alternate, main, run_process, timed

TORCH = (sys.executable, "-c", "import torch")
HELP = {"help": ["--help"], "sweep-help": ["sweep", "--help"], "studies-help": ["studies", "--help"]}


def measure(arguments: list[str], options: argparse.Namespace) -> Measured:
    """Wall time of `quorum` with some arguments / that of `python -c "import torch"`."""
    ours = timed(lambda: run_process([*QUORUM, *arguments]))
    reference = timed(lambda: run_process(TORCH))
    return Measured.of(alternate(ours, reference, options.rounds))


def case(name: str, arguments: list[str]) -> Case:
    """The case of one help text."""
    summary = f'quorum {" ".join(arguments)} / python -c "import torch", wall time of whole processes'
    return Case(name, summary, lambda options: measure(arguments, options), Target(at_most=1 / 3))


if __name__ == "__main__":
    sys.exit(main("startup", __doc__, [case(name, arguments) for name, arguments in HELP.items()]))
