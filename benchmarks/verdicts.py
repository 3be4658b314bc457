"""How often the rule of the report says what, where the truth is known.

Published and our values are drawn from normal distributions with one spread and a gap between their means; the rule of
quorum.comparison.verdicts judges them. Published are three runs with mean and std, or one run. Values are accuracies.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import sys

import numpy as np
import pandas as pd

from quorum.comparison.verdicts import COMPATIBLE, HIGHER, INCONCLUSIVE, LOWER, REPRODUCED, verdict
from quorum.summary import Summary, summarize

GAPS, SPREADS, SEEDS, PUBLISHED = (0.0, 0.02, 0.05, 0.10), (0.005, 0.016, 0.05), (3, 5, 10), (3, 1)
WORDS = (REPRODUCED, COMPATIBLE, HIGHER, LOWER, INCONCLUSIVE)


def simulate(gap: float, spread: float, n: int, published: int, repetitions: int) -> dict[str, float]:
    """Share of each verdict.

    Args:
        gap: of the true means, ours - theirs.
        spread: true standard deviation of both.
        n: our seeds.
        published: their runs.
        repetitions: of the simulation.
    """
    draws = np.random.default_rng([round(gap * 1000), round(spread * 1000), n, published])
    found = collections.Counter(
        verdict(_as_published(draws.normal(0.5, spread, published)), summarize(draws.normal(0.5 + gap, spread, n))).word
        for _ in range(repetitions)
    )
    return {word: found[word] / repetitions for word in WORDS}


def _as_published(values: np.ndarray) -> Summary:
    """Mean and std rounded to three decimals, as reports print them."""
    stated = summarize(values)
    assert stated.mean is not None
    return Summary(round(stated.mean, 3), None if stated.std is None else round(stated.std, 3), stated.n)


def table(repetitions: int) -> pd.DataFrame:
    """A row for each case."""
    cases = itertools.product(PUBLISHED, GAPS, SPREADS, SEEDS)
    return pd.DataFrame(
        [
            {"runs": runs, "gap": gap, "spread": spread, "n": n, **simulate(gap, spread, n, runs, repetitions)}
            for runs, gap, spread, n in cases
        ]
    )


def worst(found: pd.DataFrame) -> dict[str, float]:
    """The two shares that are bounded by 5%."""
    return {
        "reproduced at a gap of 0.05": float(found.loc[found["gap"] == 0.05, REPRODUCED].max()),
        "compatible at a gap of 0.10": float(found.loc[found["gap"] == 0.10, COMPATIBLE].max()),
    }


def main() -> int:
    """Print the table and the two bounded shares; exit status 1 where one is above 5%."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000, help="of each case (default: 2000)")
    found = table(parser.parse_args().repetitions)
    print(found.to_markdown(index=False, floatfmt=".3f"))
    print()
    for name, share in worst(found).items():
        print(f"{name}: at most {share:.3f}")
    return int(max(worst(found).values()) > 0.05)


if __name__ == "__main__":
    sys.exit(main())
