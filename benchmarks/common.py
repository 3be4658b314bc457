"""What the benchmark programs share: their command line, the alternation of two sides, and how results are printed.

A program lists its cases and hands them to `main`:

    def epoch(options: argparse.Namespace) -> Measured:
        first, second = timed(lambda: ours(options.runs)), timed(reference)
        return Measured.of(alternate(first, second, options.rounds), runs=options.runs)

    if __name__ == "__main__":
        sys.exit(main("tracking", __doc__, [Case("epoch", "logging an epoch / a second", epoch, Target(at_most=0.01))]))

It is run from the root of the repository, as `python benchmarks/NAME.py [--case CASE]... [--json]`. A target that is
missed is shown and changes no exit status: it is for a person, or a comparison with an earlier run, to judge.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tabulate import tabulate

from quorum.versions import code_version, git_commit, machine, package_versions

ROUNDS = 5
_SCRIPT = Path(sys.executable).with_name("quorum")
QUORUM = (str(_SCRIPT),) if _SCRIPT.is_file() else (sys.executable, "-m", "quorum")  # the command line, as a process


class UnavailableError(Exception):
    """A case that cannot be measured here, such as one that needs a GPU. Its text is the reason."""


@dataclass(frozen=True)
class Target:
    """What a ratio is to be: `at_most`, `at_least`, or both."""

    at_most: float | None = None
    at_least: float | None = None

    def met(self, ratio: float) -> bool:
        """Whether a ratio is what it is to be."""
        return (self.at_most is None or ratio <= self.at_most) and (self.at_least is None or ratio >= self.at_least)

    def data(self) -> dict[str, float]:
        """The bounds that are set, by name."""
        bounds = {"at_most": self.at_most, "at_least": self.at_least}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def __str__(self) -> str:
        return " ".join(f"{name.replace('_', ' ')} {bound:.4g}" for name, bound in self.data().items())


@dataclass(frozen=True)
class Comparison:
    """Two sides that were measured in turn, in the same unit.

    Attributes:
        first, second: measurements, of each round; the ratio is first / second.
    """

    first: Sequence[float]
    second: Sequence[float]

    @property
    def ratio(self) -> float:
        """Ratio of the medians."""
        return statistics.median(self.first) / statistics.median(self.second)

    @property
    def pairs(self) -> list[float]:
        """Ratio within each round."""
        return [a / b for a, b in zip(self.first, self.second, strict=True)]


@dataclass(frozen=True)
class Measured:
    """The outcome of a case.

    Attributes:
        ratio: what is compared with the target.
        low, high: the lowest and highest ratio of a single round.
        details: JSON values: measurements in their units, sizes, counts.
    """

    ratio: float
    low: float
    high: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, comparison: Comparison, *, scale: float = 1.0, unit: str = "seconds", **details: Any) -> Measured:
        """The outcome of a comparison.

        Args:
            comparison: the two sides.
            scale: multiplies the ratios, such as 0.1 where the first side does ten times the work.
            unit: of the measurements, for the names of the details.
            details: further ones.
        """
        sides = {f"first_{unit}": list(comparison.first), f"second_{unit}": list(comparison.second)}
        pairs = [scale * pair for pair in comparison.pairs]
        return cls(scale * comparison.ratio, min(pairs), max(pairs), {**sides, **details})


@dataclass(frozen=True)
class Case:
    """One figure.

    Attributes:
        name: what `--case` calls it.
        summary: what is divided by what.
        measure: measures it, given the program's options.
        target: what it is to be, if anything is promised.
    """

    name: str
    summary: str
    measure: Callable[[argparse.Namespace], Measured]
    target: Target | None = None


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """A function that calls another and returns its wall time in seconds."""

    def measure() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return measure


def alternate(
    first: Callable[[], float], second: Callable[[], float], rounds: int = ROUNDS, *, warm_up: bool = True
) -> Comparison:
    """Measure two sides in turn: first, second, first, second, and so on.

    Args:
        first, second: each does its work and returns the measurement; see `timed` for seconds.
        rounds: how often each is measured.
        warm_up: measure both once before, and forget it.
    """
    if warm_up:
        first(), second()
    pairs = [(first(), second()) for _ in range(rounds)]
    return Comparison([a for a, _ in pairs], [b for _, b in pairs])


def run_process(
    command: Sequence[str], folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command to its end, in a folder and with further variables.

    Returns:
        Its standard output.

    Raises:
        RuntimeError: with the end of its output, where it fails.
    """
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def at_least(least: int) -> Callable[[str], int]:
    """What argparse calls to read a whole number that has a lower bound."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"a whole number of at least {least}, not {text!r}")
        return int(text)

    return number


def share(text: str) -> float:
    """What argparse calls to read a part of the usual amount."""
    try:
        part = float(text)
    except ValueError:
        part = 0.0
    if not 0 < part <= 1:
        raise argparse.ArgumentTypeError(f"a number above 0 and at most 1, not {text!r}")
    return part


def main(
    benchmark: str,
    description: str | None,
    cases: Sequence[Case],
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Measure the cases that are asked for and print them.

    Args:
        benchmark: name of the program.
        description: for `--help`.
        cases: all that there are.
        add_options: adds the program's own options, such as sizes.
        arguments: of the command line; by default this process's.

    Returns:
        Exit status. It leaves with status 2 by itself where the command line is wrong.
    """
    parser = _parser(benchmark, description, cases)
    if add_options is not None:
        add_options(parser)
    options = parser.parse_args(arguments)
    known = [case.name for case in cases]
    for name in options.case:
        if name not in known:
            parser.error(f"no case {name!r}; choose from {', '.join(known)}")
    chosen = [case for case in cases if case.name in (options.case or known)]
    results: dict[str, Measured] = {}
    skipped: dict[str, str] = {}
    with _standard_output_to_error():
        for case in chosen:
            print(f"{benchmark}: {case.name} ...", file=sys.stderr)
            try:
                results[case.name] = case.measure(options)
            except UnavailableError as error:
                skipped[case.name] = str(error)
    print(json.dumps(_data(benchmark, chosen, results, skipped)) if options.json else _table(chosen, results, skipped))
    return 0


def _parser(benchmark: str, description: str | None, cases: Sequence[Case]) -> argparse.ArgumentParser:
    listed = "\n".join(f"  {case.name:<12} {case.summary}" for case in cases)
    parser = _Parser(
        prog=f"benchmarks/{benchmark}.py",
        description=description,
        epilog=f"cases:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument(
        "--case", action="append", default=[], metavar="NAME", help="measure this case alone; can be repeated"
    )
    parser.add_argument(
        "--rounds", type=at_least(1), default=ROUNDS, help=f"measurements of each side (default: {ROUNDS})"
    )
    return parser


@contextlib.contextmanager
def _standard_output_to_error() -> Iterator[None]:
    """Send what is measured, and the processes that it starts, to standard error: standard output is the result's."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _data(
    benchmark: str, chosen: Sequence[Case], results: Mapping[str, Measured], skipped: Mapping[str, str]
) -> dict[str, Any]:
    measured = [(case, results[case.name]) for case in chosen if case.name in results]
    return {
        "benchmark": benchmark,
        "ratios": {case.name: result.ratio for case, result in measured},
        "targets": {
            case.name: {**case.target.data(), "met": case.target.met(result.ratio)}
            for case, result in measured
            if case.target is not None
        },
        "details": {
            case.name: {"what": case.summary, "low": result.low, "high": result.high, **result.details}
            for case, result in measured
        },
        "skipped": dict(skipped),
        "machine": {
            **machine(),
            "packages": package_versions(),
            "code_version": code_version(),
            "git_commit": git_commit(),
        },
    }


def _table(chosen: Sequence[Case], results: Mapping[str, Measured], skipped: Mapping[str, str]) -> str:
    rows = []
    for case in chosen:
        target = str(case.target or "")
        if case.name in skipped:
            rows.append([case.name, "–", "–", target, "", f"not measured: {skipped[case.name]}"])
            continue
        result = results[case.name]
        verdict = "" if case.target is None else "met" if case.target.met(result.ratio) else "missed"
        spread = f"{result.low:.4g} to {result.high:.4g}"
        rows.append([case.name, f"{result.ratio:.4g}", spread, target, verdict, case.summary])
    return tabulate(rows, ["case", "ratio", "single rounds", "target", "", "what"], disable_numparse=True)
