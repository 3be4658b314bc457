"""A few of the kills of `make faults`, drawn by a fixed seed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

KILLS = 6


@pytest.mark.slow
def test_a_sweep_killed_at_a_write_and_given_again_is_as_if_undisturbed() -> None:
    """In a process of its own, which has one thread: it is forked."""
    command = [sys.executable, "-m", "tests.faults", "--draw", str(KILLS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{KILLS} kills, 0 with another result" in done.stdout
