"""The programs that need real images run, at tiny sizes, and say what they measured. Nothing is said of how fast."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.benchmarks.programs import measured, run

# They share the trees of images below .quorum/benchmarks, which each of them makes anew.
pytestmark = pytest.mark.slow

TINY = ("--share", 0.001, "--rounds", 1)
ON_CPU = ("--device", "cpu")


@pytest.mark.parametrize("program", ["throughput", "gpu"])
def test_a_network_against_the_usual_loop(program: str, cifar_folder: Path) -> None:
    device = ON_CPU if program == "gpu" else ()
    data = measured(program, "--case", "scratch-simple-32", *TINY, *device, "--data", cifar_folder.parent)
    details = data["details"]["scratch-simple-32"]
    assert sum(details["shares"].values()) == pytest.approx(1, abs=0.01)
    assert details["share_of_matrix_rate"] > 0
    assert details["train_images"] % 32 == 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_steps_plain_and_compiled() -> None:
    details = measured("steps", "--case", "scratch-simple-32", "--share", 0.01, "--rounds", 1)["details"]
    found = details["scratch-simple-32"]
    assert found["share_of_matrix_rate_of_products"] > 0
    assert sum(found["shares"].values()) <= 1
    assert any("convolution" in operation for operation in found["shares"])


def test_a_classifier_from_kept_activations(caltech_folder: Path) -> None:
    data = measured("frozen", "--case", "alexnet", "--images", 101, "--rounds", 1, "--data", caltech_folder.parent)
    assert data["details"]["alexnet"]["images"] == 202


def test_a_whole_study_as_a_gpu_would_train_it(caltech_folder: Path) -> None:
    data = measured("gpu", "--case", "study", *TINY, *ON_CPU, "--input-size", 64, "--data", caltech_folder.parent)
    details = data["details"]["study"]
    assert len(details["table"]) == 15
    assert all(row["n"] + len(row["failed"]) == 3 for row in details["table"])
    assert data["ratios"]["study"] == details["epochs_trained"] / details["epochs_written"] < 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    done = run("gpu", "--case", "study", "--json")
    assert done.returncode == 0
    assert '"skipped": {"study": "no CUDA device here"}' in done.stdout


def test_precisions(cifar_folder: Path) -> None:
    arguments = ("--case", "scratch-simple", "--share", 0.05, "--seeds", 2, "--data", cifar_folder.parent)
    data = measured("precision", *arguments)
    assert {len(values) for values in data["details"]["scratch-simple"]["val_accuracy"].values()} == {2}


def test_jobs(cifar_folder: Path) -> None:
    arguments = ("--case", "one-thread", "--images", 64, "--seeds", 1, "--rounds", 1, "--data", cifar_folder.parent)
    assert measured("jobs", *arguments)["details"]["one-thread"]["same_results"] is True
