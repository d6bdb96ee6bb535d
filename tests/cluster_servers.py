"""A Redis Cluster of the tests' own: three primaries with a replica each, on loopback."""

import time
from collections.abc import Callable
from typing import Any, Self

import redis
from redis.crc import key_slot
from redis_server import Server, free_port

SLOTS = 16384
BUS = 10_000
"""How far a node's second port is from its first."""
NODE_TIMEOUT = 1500
"""Milliseconds of silence after which a node counts as failed."""


class Node(Server):
    """A node that has met no other yet."""

    def __init__(self) -> None:
        super().__init__(
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT), "--repl-diskless-sync-delay", "0"
        )
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


class Cluster:
    """Some primaries with all slots between them, and a replica of each."""

    def __init__(self, primaries: int = 3, *, replicas: bool = True) -> None:
        self.size = primaries
        self.nodes = [Node() for _ in range(primaries * (2 if replicas else 1))]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.name for node in self.nodes)}"

    @property
    def primaries(self) -> list[Node]:
        """Who has slots now, of those that run."""
        return [
            node
            for node in self.nodes
            if node.process is not None and node.process.poll() is None and node.role() == "master"
        ]

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
        info = str(node.cluster("INFO"))
        return f"cluster_known_nodes:{len(self.nodes)}" in info

    def wait_until_well(self) -> None:
        """Return when every running node says that all is well, and every replica follows."""

        def is_well() -> bool:
            for node in self.nodes:
                if node.process is None or node.process.poll() is not None:
                    continue
                if "cluster_state:ok" not in str(node.cluster("INFO")):
                    return False
                with node.client(decode_responses=True) as client:
                    found = client.info("replication")
                if found["role"] == "slave" and found["master_link_status"] != "up":
                    return False
            return True

        self.wait_until(is_well)

    @staticmethod
    def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
        give_up = time.monotonic() + seconds
        while True:
            try:
                if is_so():
                    return
            except redis.RedisError:
                pass
            assert time.monotonic() < give_up, "the cluster does not get there"
            time.sleep(0.02)

    def owner(self, slot: int) -> Node:
        """Who has a slot."""
        found = self.primaries[0].cluster("SLOTS")
        port = next(node[1] for first, last, node, *_ in found if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def move(self, slot: int, target: Node, pause: Callable[[], None] = lambda: None) -> None:
        """Move a slot as `redis-cli --cluster reshard` does, a key at a time; `pause` comes between the keys."""
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

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def slot_of(tag: str) -> int:
    """Return the slot of a hash tag."""
    return int(key_slot(tag.encode()))
