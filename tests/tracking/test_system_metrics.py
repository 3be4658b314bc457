"""What a machine does while a run is open, and what is said where that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorum.errors import ConfigError
from quorum.tracking import system_metrics
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
from quorum.tracking.system_metrics import EnergyMonitor, check_system_metrics
from tests.conftest import Quorum


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    """Two processors' counters of energy as Linux has them: with a part of one, one of both again, and of all."""
    zones = {
        "intel-rapl:0": ("package-0", 1_000_000),
        "intel-rapl:0:0": ("core", 5),
        "intel-rapl:1": ("package-1", 9_000_000),
        "intel-rapl:2": ("psys", 2_000_000),
        "intel-rapl-mmio:0": ("package-0", 1_000_000),
    }
    for zone, (name, energy) in zones.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "energy_uj").write_text(f"{energy}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def test_the_energy_of_all_processors_is_added_up(counters: Path) -> None:
    monitor = EnergyMonitor(counters)
    assert monitor.readable
    (counters / "intel-rapl:0" / "energy_uj").write_text("3500000")
    monitor.collect_metrics()
    assert monitor.aggregate_metrics() == {"cpu_energy_joules": pytest.approx(2.5)}
    (counters / "intel-rapl:1" / "energy_uj").write_text("500000")  # it has begun anew after ten joules
    monitor.collect_metrics()
    assert monitor.aggregate_metrics() == {"cpu_energy_joules": pytest.approx(4.0)}
    for again in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        (counters / again / "energy_uj").write_text("9999999")
    monitor.collect_metrics()
    assert monitor.aggregate_metrics() == {"cpu_energy_joules": pytest.approx(4.0)}


def test_energy_that_cannot_be_read_is_known(tmp_path: Path, counters: Path) -> None:
    assert not EnergyMonitor(tmp_path / "absent").readable
    (counters / "intel-rapl:1" / "energy_uj").write_text("?")
    assert not EnergyMonitor(counters).readable


def test_a_missing_package_is_told_before_anything_is_done(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "NEEDED", "no_such_package")
    with pytest.raises(ConfigError, match="needs the package no_such_package"):
        check_system_metrics()
    for command in ("train", "sweep", "promote"):
        answer = quorum(command, "-P", "system_metrics=true", *(["-P", "study=demo"] if command == "sweep" else []))
        assert answer.status == 2
        assert "pip install 'quorum[system-metrics]'" in answer.err


def test_they_are_in_the_run(quorum: Quorum, monkeypatch: pytest.MonkeyPatch, counters: Path) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.setattr(system_metrics, "POWERCAP", counters)
    store = connect()
    with begin_run(store, "a run", Record(kind="train")) as log, system_metrics.system_metrics(log, True):
        for _ in range(200):
            if found := store.client.get_run(log.run_id).data.metrics:
                break
    assert {"system/cpu_utilization_percentage", "system/cpu_energy_joules"} <= set(found)


def test_they_are_not_read_unless_that_is_wanted(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "EnergyMonitor", None)
    with begin_run(connect(), "a run", Record(kind="train")) as log, system_metrics.system_metrics(log, False):
        pass
