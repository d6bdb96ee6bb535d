"""A Redis Cluster to be thrown away, on loopback: for the tests and the benchmarks."""

import time
from collections.abc import Callable
from typing import Any, Self

import redis

from .server import Server, Throwaway, free_port

__all__ = ["SLOTS", "Cluster", "Node"]

SLOTS = 16384
BUS = 10_000
"""How far a node's second port is from its first."""


class Node(Server):
    """A node that has met no other yet."""

    def __init__(self, binary: str, *options: str) -> None:
        super().__init__(binary, "--cluster-enabled", "yes", *options)
        self.port = free_port(apart=(0, BUS))

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cluster(self, *command: Any) -> Any:
        """Send a CLUSTER command."""
        with self.client(decode_responses=True) as client:
            client.response_callbacks.clear()
            return client.execute_command("CLUSTER", *command)

    @property
    def id(self) -> str:
        return str(self.cluster("MYID"))

    def role(self) -> str:
        with self.client(decode_responses=True) as client:
            return str(client.info("replication")["role"])

    def roles(self) -> set[tuple[str, str]]:
        """Return of every node that this one knows its id, and whom it follows: "-" for nobody."""
        return {(line.split()[0], line.split()[3]) for line in str(self.cluster("NODES")).splitlines()}

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Cluster(Throwaway):
    """Some primaries with all slots between them, and a replica of each if that is asked for.

    Args:
        binary: What each node runs.
        options: For each node's command line.
        primaries: How many.
        replicas: Whether each has one.
    """

    def __init__(self, binary: str, *options: str, primaries: int = 3, replicas: bool = False) -> None:
        self.size = primaries
        self.nodes = [Node(binary, *options) for _ in range(primaries * (2 if replicas else 1))]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.name for node in self.nodes)}"

    def start(self) -> Self:
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_until_up()
        bounds = [SLOTS * number // self.size for number in range(self.size + 1)]
        for number, node in enumerate(self.nodes):
            node.cluster("SET-CONFIG-EPOCH", number + 1)
            if number < self.size:
                node.cluster("ADDSLOTS", *range(bounds[number], bounds[number + 1]))
        for node in self.nodes[1:]:
            node.cluster("MEET", "127.0.0.1", self.nodes[0].port)
        self.wait_until(lambda: all(self._knows_all(node) for node in self.nodes))
        for primary, replica in zip(self.nodes[: self.size], self.nodes[self.size :], strict=False):
            replica.cluster("REPLICATE", primary.id)
        self.wait_until_well()
        return self

    def _knows_all(self, node: Node) -> bool:
        return f"cluster_known_nodes:{len(self.nodes)}" in str(node.cluster("INFO"))

    def wait_until_well(self) -> None:
        """Return when every running node is well, replicas follow, and all know the roles.

        A primary takes no notice of a FAILOVER by a node that it does not yet know to be its
        replica.
        """

        def is_well() -> bool:
            running = [node for node in self.nodes if node.is_running]
            for node in running:
                if "cluster_state:ok" not in str(node.cluster("INFO")):
                    return False
                with node.client(decode_responses=True) as client:
                    found = client.info("replication")
                if found["role"] == "slave" and found["master_link_status"] != "up":
                    return False
            roles = running[0].roles()
            return all(node.roles() == roles for node in running)

        self.wait_until(is_well)

    @staticmethod
    def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
        """Return when it is so; raise `TimeoutError` if it is not in time.

        A node that does not answer is no error.
        """
        give_up = time.monotonic() + seconds
        while True:
            try:
                if is_so():
                    return
            except redis.RedisError:
                pass
            if time.monotonic() > give_up:
                raise TimeoutError("the cluster does not get there")
            time.sleep(0.02)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
