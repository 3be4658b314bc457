"""Running the benchmark programs as a user does."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

from tests.conftest import ROOT


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `benchmarks/NAME.py` from the root of the repository."""
    command = [sys.executable, f"benchmarks/{name}.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def measured(name: str, *arguments: object) -> dict[str, Any]:
    """The JSON object that a program prints, with what all of them have in common checked."""
    done = run(name, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    data = dict(json.loads(done.stdout))
    assert set(data) == {"benchmark", "ratios", "targets", "details", "skipped", "machine"}
    assert data["benchmark"] == name
    assert set(data["ratios"]) == set(data["details"])
    assert all(0 <= ratio < math.inf for ratio in data["ratios"].values())
    assert {"system", "processor", "cores", "packages", "code_version"} <= set(data["machine"])
    return data
