"""What a sweep cost: each epoch counted once."""

from __future__ import annotations

from quorum.config import TrialConfig
from quorum.study.model import Stage
from quorum.study.results import SeedResult, StageResult, TrialRequest, TrialResult
from quorum.sweeps.cost import Cost

DONE = {"best/val_accuracy": 0.5}


def stage(*trials: tuple[int, list[SeedResult]]) -> StageResult:
    results = [
        TrialResult(TrialRequest("s", i, {}, TrialConfig(epochs=epochs)), f"t{i}", tuple(seeds))
        for i, (epochs, seeds) in enumerate(trials)
    ]
    return StageResult(Stage(name="s"), tuple(results))


def test_epochs_are_trained_shared_or_reused() -> None:
    own = SeedResult(0, "a", DONE)
    sharing = SeedResult(0, "b", DONE, shared_epochs=4)
    linked = SeedResult(0, "c", DONE, reused=True, shared_epochs=3)
    stopped = SeedResult(1, "e", {**DONE, "last/epoch": 3.0}, shared_epochs=2)
    failed = SeedResult(1, "d", {"last/epoch": 4.0}, reason="the loss is nan")
    at_once = SeedResult(2, "f", reason="the process died")
    cost = Cost.of(
        [stage((10, [own, failed, at_once]), (6, [sharing, stopped])), stage((10, [linked]))], peak_bytes=2_500_000_000
    )
    assert (cost.written, cost.trained, cost.shared, cost.reused, cost.spared) == (52, 17, 6, 10, 19)
    assert cost.metrics()["epochs_trained"] == 17
    assert cost.data() == {
        "epochs": {"written": 52, "trained": 17, "shared": 6, "reused": 10, "spared": 19},
        "kept_states_peak_bytes": 2_500_000_000,
    }
    assert "52 epochs written: 17 trained, 6 shared" in str(cost)
    assert "19 spared by trainings that stopped early or failed" in str(cost)
    assert "2.5 GB of disk" in str(cost)
    assert "disk" not in str(Cost.of([], 0))
