"""A Ray cluster of two nodes with one CPU each, in this machine's processes, that this process is connected to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from quorum.sweeps.executors.ray_nodes import connected


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        made.add_node(num_cpus=1)
        with connected(made.address):
            yield made
    finally:
        made.shutdown()


def head_and_other(cluster: Any) -> tuple[str, str]:
    """Ids of the node that cannot be removed, and of the other one."""
    [other] = cluster.worker_nodes
    return cluster.head_node.node_id, other.node_id
