"""A data set that is larger than memory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT

SIDE = 1024  # pixels


def write_images(folder: Path, count: int) -> None:
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            color = (i, 2 * i, 200 * (label == "a"))
            Image.new("RGB", (SIDE, SIDE), color).save(folder / label / f"{i}.png", compress_level=1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's data is Linux's")
def test_images_that_memory_could_not_hold_are_decoded_and_trained_on(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "few", 20)
    write_images(tmp_path / "images" / "many", 40)
    words = [sys.executable, "-m", "tests.data.memory_limit", str(tmp_path / "images"), str(tmp_path / "work")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["store"] == 2 * 40 * SIDE * SIDE * 3
    assert found["store"] > 1.5 * found["allowed"]
    assert math.isfinite(found["loss"])
