"""A Redis Cluster of the tests' own.

Three primaries with a replica each, on loopback, whose slots can be moved.
"""

from collections.abc import Callable

import redis
from redis.crc import key_slot
from redis_server import find_binary, require

from greentic_session._servers import cluster
from greentic_session._servers.cluster import SLOTS, Node

__all__ = ["SLOTS", "Cluster", "Node", "make_node", "slot_of"]

NODE_TIMEOUT = 1500
"""Milliseconds of silence after which a node counts as failed."""


def options_of(node_timeout: int = NODE_TIMEOUT) -> tuple[str, ...]:
    """Return what stands in each node's command line."""
    return ("--cluster-node-timeout", str(node_timeout), "--repl-diskless-sync-delay", "0")


def make_node() -> Node:
    """Return one that is to join a cluster."""
    return Node(require(find_binary()), *options_of())


class Cluster(cluster.Cluster):
    """Some primaries with all slots between them, and a replica of each.

    Args:
        primaries: How many.
        replicas: Whether each has one.
        node_timeout: With a minute nobody takes a node for dead because the machine is busy.
    """

    def __init__(self, primaries: int = 3, *, replicas: bool = True, node_timeout: int = NODE_TIMEOUT) -> None:
        super().__init__(require(find_binary()), *options_of(node_timeout), primaries=primaries, replicas=replicas)

    @property
    def primaries(self) -> list[Node]:
        """Who has slots now, of those that run."""
        return [node for node in self.nodes if node.is_running and node.role() == "master"]

    def owner(self, slot: int) -> Node:
        """Who has a slot."""
        found = self.primaries[0].cluster("SLOTS")
        port = next(node[1] for first, last, node, *_ in found if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def move(self, slot: int, target: Node, pause: Callable[[], None] = lambda: None) -> None:
        """Move a slot like `redis-cli --cluster reshard`, key by key, with `pause` between keys."""
        source = self.owner(slot)
        target.cluster("SETSLOT", slot, "IMPORTING", source.id)
        source.cluster("SETSLOT", slot, "MIGRATING", target.id)
        with source.client() as client:
            while keys := client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
                pause()
                client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        pause()
        for node in [target, source, *(node for node in self.primaries if node not in (target, source))]:
            node.cluster("SETSLOT", slot, "NODE", target.id)

    def clients(self) -> list[redis.Redis]:
        """Return a plain client of each primary."""
        return [node.client() for node in self.primaries]

    def flush(self) -> None:
        for client in self.clients():
            with client:
                client.flushall()


def slot_of(tag: str) -> int:
    """Return the slot of a hash tag."""
    return int(key_slot(tag.encode()))
