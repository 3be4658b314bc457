"""Two trainings side by side against one after the other: `quorum sweep` of a small network, as whole processes.

`default` is what a user types: with jobs=1 a training has all cores, with jobs=2 each has half of them. In `one-thread`
each training has one thread either way, and what comes out has to be the same bit for bit.

`ray` and `ray-start` compare the two ways to train side by side on one machine: a Ray that is started for the command,
and our worker processes. The details have the most memory that each command and its processes held.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from common import QUORUM, Case, Comparison, Measured, Target, alternate, at_least, main, run_process
from images import WORK, image_tree

STUDY: dict[str, Any] = {
    "dataset": "folder",
    "base": {
        "model": "scratch-simple",
        "input_size": 32,
        "resize": 0,
        "normalize": "half",
        "augment": "flip-rotate10-jitter20-shift10",
        "optimizer": "adam",
        "lr": 0.0005,
        "batch_size": 32,
        "epochs": 6,
    },
    "stages": [{"name": "lr", "vary": {"lr": [0.0002, 0.0005, 0.001, 0.002]}}],
}


def jobs(threads: int, options: argparse.Namespace) -> Measured:
    """The time of two jobs by that of one."""
    tree = image_tree("cifar10", options.data, {"train": options.images, "val": 512}, "jobs")
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
        answers: dict[int, list[Any]] = {1: [], 2: []}

        def sweep(count: int) -> float:
            place = Path(tempfile.mkdtemp(dir=folder))
            settings = {
                "study": folder / "study.yaml",
                "path": tree,
                "jobs": count,
                "threads": threads,
                "seeds": ",".join(map(str, range(options.seeds))),
            }
            given = [word for key, value in settings.items() for word in ("-P", f"{key}={value}")]
            started = time.perf_counter()
            answer = json.loads(run_process([*QUORUM, "sweep", "--json", *given], place))
            taken = time.perf_counter() - started
            answers[count].append([[t["mean"], t["test_mean"]] for stage in answer["stages"] for t in stage["trials"]])
            return taken

        found = alternate(lambda: sweep(2), lambda: sweep(1), options.rounds, warm_up=False)
    return Measured.of(found, same_results=answers[1] == answers[2])


def engines(images: int, epochs: int, options: argparse.Namespace) -> Measured:
    """The time of a sweep with two jobs by Ray by that by worker processes."""
    tree = image_tree("cifar10", options.data, {"train": images, "val": 512}, "jobs")
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        folder, means = Path(name), dict[str, list[Any]]()
        study = {**STUDY, "base": {**STUDY["base"], "epochs": epochs}}
        (folder / "study.yaml").write_text(yaml.safe_dump(study))
        memory: dict[str, list[int]] = {"ray": [], "local": []}

        def sweep(engine: str) -> float:
            place = Path(tempfile.mkdtemp(dir=folder))
            settings = {
                "study": folder / "study.yaml",
                "path": tree,
                "jobs": 2,
                "threads": 1,
                "engine": engine,
                "seeds": 0,
            }
            given = [word for key, value in settings.items() for word in ("-P", f"{key}={value}")]
            started = time.perf_counter()
            output, peak = run_watched([*QUORUM, "sweep", "--json", *given], place)
            taken = time.perf_counter() - started
            memory[engine].append(peak // 2**20)
            stages = json.loads(output)["stages"]
            means.setdefault(engine, []).append([t["mean"] for stage in stages for t in stage["trials"]])
            return taken

        found: Comparison = alternate(lambda: sweep("ray"), lambda: sweep("local"), options.rounds, warm_up=False)
    return Measured.of(found, peak_mb=memory, same_results=means["ray"] == means["local"])


def run_watched(command: list[str], folder: Path) -> tuple[str, int]:
    """Run a command in a folder.

    Returns:
        Its standard output, and the most bytes that it and its descendants held at once (shared pages divided among
        those that share them).

    Raises:
        RuntimeError: where it fails.
    """
    with tempfile.TemporaryFile("w+") as output:
        process, peak = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.DEVNULL), 0
        while process.poll() is None:
            peak = max(peak, sum(map(_held, _family(process.pid))))
            time.sleep(0.5)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
        output.seek(0)
        return output.read(), peak


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds cifar10/")
    parser.add_argument("--images", type=at_least(10), default=4096, help="to train on (default: 4096)")
    parser.add_argument("--seeds", type=at_least(1), default=3, help="of each learning rate (default: 3)")
    parser.set_defaults(rounds=1)


CASES = [
    Case("default", "two jobs / one, cores divided", functools.partial(jobs, 0), Target(at_most=0.65)),
    Case("one-thread", "two jobs / one, a thread each", functools.partial(jobs, 1), Target(at_most=0.65)),
    Case("ray", "two jobs by Ray / by worker processes", lambda options: engines(options.images, 6, options)),
    Case("ray-start", "the same, of a sweep that is nearly all start", functools.partial(engines, 64, 1)),
]

if __name__ == "__main__":
    sys.exit(main("jobs", __doc__, CASES, _options))
