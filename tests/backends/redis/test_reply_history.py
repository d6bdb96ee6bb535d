"""Four processes of Runners while servers restart, fail and hand over, and processes die.

Each accepted reply has one verdict or lies there still, in order at each place: the history of all
calls is explained by a sequential model.

What a server has acknowledged and not yet sent to a replica is lost with it, as ever in Redis. That
is not what is tried here, so one that is to fail takes no more writes first.
"""

import random
import time
from pathlib import Path

import pytest
from cluster_servers import Cluster, Node, slot_of
from histories.fleet import Fleet, outlive
from redis_server import Server, writes_stopped
from sentinel_servers import Fleet as Service

APPEND_ONLY = ("--appendonly", "yes", "--appendfsync", "always")


def restart(server: Server) -> None:
    """End a server as a power cut would, and start it again with what it has acknowledged."""
    server.kill()
    time.sleep(0.3)
    server.start()


@pytest.mark.parametrize(("each", "incidents"), [pytest.param(50, 3, marks=pytest.mark.slow)])
def test_no_reply_is_lost_and_none_has_two_verdicts(tmp_path: Path, each: int, incidents: int) -> None:
    """10,000 replies to 200 places."""
    chance = random.Random(2)
    with Server(*APPEND_ONLY) as server, Fleet(server.url, tmp_path, places=200, each=each) as fleet:
        outlive(fleet, [lambda: fleet.kill_one(chance), lambda: restart(server), lambda: fleet.stop_one(chance)] * incidents)


# -- on a cluster


def pair_of_the_index(cluster: Cluster) -> tuple[Node, Node]:
    """Return who has what tells across slots where something is ready, and its replica."""
    primary = cluster.owner(slot_of(":ready"))
    [replica] = [node for node in cluster.nodes if (node.id, primary.id) in primary.roles()]
    return primary, replica


def hand_over(cluster: Cluster) -> None:
    """Ask a replica to take its primary's place."""
    _, replica = pair_of_the_index(cluster)
    replica.cluster("FAILOVER")
    cluster.wait_until(lambda: replica.role() == "master")
    cluster.wait_until_well()


def lose_primary(cluster: Cluster) -> None:
    """Kill a primary; start it again when its replica has taken its place."""
    primary, replica = pair_of_the_index(cluster)
    with primary.client() as raw, writes_stopped(raw):
        primary.kill()
    cluster.wait_until(lambda: replica.role() == "master")
    primary.start()
    cluster.wait_until_well()


@pytest.mark.slow
def test_on_a_cluster_that_fails_over(tmp_path: Path) -> None:
    """2,400 replies to 200 places on three primaries and their replicas."""
    chance = random.Random(3)
    with Cluster() as cluster, Fleet(cluster.url, tmp_path, places=200, each=12) as fleet:
        outlive(
            fleet,
            [
                lambda: hand_over(cluster),
                lambda: fleet.kill_one(chance),
                lambda: lose_primary(cluster),
                lambda: fleet.stop_one(chance),
                lambda: hand_over(cluster),
            ],
        )


# -- behind sentinels


def has_switched(service: Service, old: Server) -> bool:
    """Say whether all sentinels name another primary."""
    try:
        return service.primary is not old
    except AssertionError:
        return False


def promoted(service: Service, old: Server) -> Server | None:
    """Return who has become a primary beside an old one."""
    return next((server for server in service.servers if server is not old and service.role(server)[0] == b"master"), None)


def switch(service: Service) -> None:
    """Ask the sentinels for another primary."""
    old = service.primary
    with service.raw(old) as raw, writes_stopped(raw, replicas=2):
        service.fail_over()
        service.until(lambda: promoted(service, old) is not None)
        new = promoted(service, old)
        assert new is not None
        # Sentinels would do so: but they publish there, too, which is a write that waits.
        raw.slaveof("127.0.0.1", new.port)
    service.until(service.is_settled)


def lose_the_primary(service: Service) -> None:
    """Kill the primary; start it again, empty, when all sentinels name another one."""
    old = service.primary
    with service.raw(old) as raw, writes_stopped(raw, replicas=2):
        old.kill()
    service.fail_over()
    service.until(lambda: has_switched(service, old))
    old.start()


@pytest.mark.slow
def test_behind_sentinels_that_switch(tmp_path: Path) -> None:
    """2,000 replies to 100 places on a primary and two replicas.

    The sentinels switch when they are asked to, and not where a busy machine keeps them waiting:
    nobody stops the writes before that, so it would lose what was acknowledged.
    """
    chance = random.Random(4)
    with Service(down_after_ms=60_000) as service, Fleet(service.url, tmp_path, places=100, each=20) as fleet:
        outlive(
            fleet,
            [
                lambda: switch(service),
                lambda: fleet.kill_one(chance),
                lambda: lose_the_primary(service),
            ],
        )
