"""`make faults`: a small sweep is killed before and after every one of its writes, and given again each time."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from mlflow.tracking import MlflowClient

from tests.conftest import write_digits
from tests.faults.killing import every, in_child


def run(draw: int, part: int, parts: int) -> int:
    """Kill a small sweep at its writes.

    Args:
        draw: how many of the points to do, drawn by a fixed seed; 0 for all.
        part, parts: do each point whose number leaves `part` when it is divided by `parts`.

    Returns:
        How many went wrong.
    """
    torch.set_num_threads(1)  # this process is forked
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        folder = Path(temporary)
        write_digits(folder / "pictures")
        store = folder / "empty.db"
        in_child(lambda: MlflowClient(f"sqlite:///{store}").search_experiments())
        names, _ = every([], folder / "counted", folder / "pictures", store, only_count=True)
        points = [(at, after) for at in range(1, len(names) + 1) for after in (False, True)]
        chosen = random.Random(0).sample(points, draw) if draw else points[part::parts]
        _, wrong = every(chosen, folder / "killed", folder / "pictures", store)
    print(f"{len(names)} writes: {dict(Counter(names))}")
    print(f"{len(chosen)} kills, {len(wrong)} with another result than an undisturbed sweep's")
    print("\n".join(wrong))
    return len(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", type=int, default=0, help="how many of the points, drawn by a fixed seed; 0: all")
    parser.add_argument("--part", type=int, default=0, help="which part of the points")
    parser.add_argument("--parts", type=int, default=1, help="of how many")
    options = parser.parse_args()
    sys.exit(run(options.draw, options.part, options.parts) > 0)
