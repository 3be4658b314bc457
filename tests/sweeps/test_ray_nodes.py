"""Room on nodes, and clusters that are not there."""

from __future__ import annotations

import pytest

from quorum.errors import QuorumError
from quorum.sweeps.executors import ray_nodes
from quorum.sweeps.executors.ray_nodes import Demand, connected


@pytest.mark.parametrize(
    ("demand", "resources", "jobs"),
    [
        (Demand(1), {"CPU": 4.0}, 4),
        (Demand(3), {"CPU": 4.0}, 1),
        (Demand(1), {}, 0),
        (Demand(1, 1.0), {"CPU": 4.0}, 0),
        (Demand(1, 1.0), {"CPU": 4.0, "GPU": 2.0}, 2),
        (Demand(1, 2.0), {"CPU": 4.0, "GPU": 3.0}, 1),
        (Demand(1, 0.25), {"CPU": 16.0, "GPU": 2.0}, 8),
        (Demand(1, 0.25), {"CPU": 3.0, "GPU": 2.0}, 3),
        (Demand(1, 0.333), {"CPU": 16.0, "GPU": 1.0}, 3),
    ],
)
def test_how_many_jobs_a_node_holds(demand: Demand, resources: dict[str, float], jobs: int) -> None:
    assert demand.fits(resources) == jobs


@pytest.mark.slow
def test_no_cluster_at_the_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_nodes, "CONNECT_SECONDS", 3.0)
    line = "^ray_address: no Ray cluster answers at 127.0.0.1:9; without ray_address= one of this machine is started$"
    with pytest.raises(QuorumError, match=line), connected("127.0.0.1:9"):
        pass
