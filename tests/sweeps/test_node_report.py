"""What nodes have to have in common."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from quorum.errors import ConfigError
from quorum.sweeps.node_report import MIXED, check_joined, check_node, machine_of, report_node

CPU = torch.device("cpu")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    file = tmp_path / "marker"
    file.touch()
    return file


def test_this_process_fits_itself(marker: Path) -> None:
    report = report_node("cpu", 1, True, (), marker)
    check_node("here", report, shared=True)
    machine = machine_of({"here": report}, CPU, mixed=False)
    assert (machine.numerics, machine.auto_precision) == (report.numerics, report.auto_precision)
    assert machine.numerics.endswith("1 threads")
    check_joined("here", report, machine)


def test_a_work_dir_that_a_node_does_not_see_is_refused_unless_nothing_is_shared_through_it(tmp_path: Path) -> None:
    report = report_node("cpu", 1, True, (), tmp_path / "absent")
    with pytest.raises(ConfigError, match="node there: does not see the driver's work_dir; put work_dir= on a folder"):
        check_node("there", report, shared=True)
    check_node("there", report, shared=False)


def test_other_packages_and_other_code_are_named(marker: Path) -> None:
    report = report_node("cpu", 1, True, (), marker)
    other = dataclasses.replace(report, packages={**report.packages, "numpy": "1.0"}, code_version="0")
    with pytest.raises(ConfigError, match=rf"node there: has numpy 1.0, the driver has {report.packages['numpy']}"):
        check_node("there", other, shared=True)
    with pytest.raises(ConfigError, match="node there: has another version of quorum or of a plugin"):
        check_node("there", dataclasses.replace(report, code_version="0"), shared=True)


def test_several_classes_are_refused_unless_they_may_be_mixed(marker: Path) -> None:
    report = dataclasses.replace(report_node("cpu", 1, True, (), marker), numerics="A", auto_precision="bf16")
    other = dataclasses.replace(report, numerics="B")
    reports = {"first": report, "second": other}
    with pytest.raises(ConfigError, match=r"in 2 ways.*: A on first, B on second; mixed=true allows it"):
        machine_of(reports, CPU, mixed=False)
    mixed = machine_of(reports, CPU, mixed=True)
    assert (mixed.numerics, mixed.precision("auto")) == (MIXED, "bf16")
    check_joined("third", dataclasses.replace(report, numerics="C"), mixed)
    with pytest.raises(ConfigError, match="node second: computes as B, the sweep is of A"):
        check_joined("second", other, machine_of({"first": report}, CPU, mixed=False))


def test_auto_precision_that_differs_is_refused_where_it_is_asked_for(marker: Path) -> None:
    report = dataclasses.replace(report_node("cpu", 1, True, (), marker), auto_precision="bf16")
    other = dataclasses.replace(report, numerics="B", auto_precision="float32")
    machine = machine_of({"first": report, "second": other}, CPU, mixed=True)
    assert machine.precision("float32") == "float32"
    with pytest.raises(ConfigError, match="precision: auto is not the same on all nodes; give precision=float32"):
        machine.precision("auto")
