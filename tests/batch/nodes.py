"""A Ray cluster of two nodes for tests: prints its address, lives until its stdin closes."""

from __future__ import annotations

import sys


def main() -> None:
    """Run it."""
    from ray.cluster_utils import Cluster

    memory = 80_000_000
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": memory}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    # Ray takes its word for the GPU.
    cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=memory)
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
