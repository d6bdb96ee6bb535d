"""The benchmark of a large fleet runs, and reports all its rows. Speed is not asserted."""

from pathlib import Path

import pytest
from cluster_servers import Cluster
from redis_server import Server
from runs.benchmarks import contestants_of, measure

from benchmarks.fleet.filling import ENV, fill
from greentic_session import ReplyScope, SessionStore, TenantCtx, create_session_store

SCOPE = ReplyScope("telegram:chat-1")


@pytest.mark.slow
def test_a_quick_run_has_every_row_and_target_that_is_promised(tmp_path: Path) -> None:
    report = measure(tmp_path, "benchmarks.fleet").report
    observed = {
        "processor time of the servers",
        "of it for a step",
        "longest step",
        "99 % of the steps",
        "longest PING",
        "99.9 % of the PINGs",
        "longest PING of an idle server",
        "takes",
    }
    expected = {}
    for kind in ("cluster", "server"):
        expected[f"{kind}: memory of a wait"] = {"without a deadline", "with one", "what it adds"}
        for call in ("the next 100 that are ready", "nothing", "stats", "top", "waits --ready", "waits --overdue"):
            expected[f"{kind}: {call}"] = observed
    assert contestants_of(report) == expected
    limits = {row["contestant"]: row["target"]["limit"] for row in report["rows"] if row["target"]}
    assert limits == {"longest step": 5.0, "longest PING": 20.0}
    assert all(row["value"] > 0 for row in report["rows"] if row["contestant"] in {"takes", "what it adds"})


async def look_at_clones(store: SessionStore, waits: int) -> None:
    """Check that the indices agree, and that clones can be found, claimed and completed."""
    inspector = store.backend.inspector()
    assert inspector is not None
    assert (await inspector.examine(lambda _: None)).findings == []
    tallies = (await inspector.survey(lambda _: None)).values()
    assert (sum(tally.waits for tally in tallies), sum(tally.ready for tally in tallies)) == (waits, waits / 10)
    owner = TenantCtx.new(ENV, "tenant-0001", user="user-0000006")
    found = await store.find_wait(owner, "user-0000006", SCOPE)
    assert found is not None
    assert found.key == "wait-0000006"
    claims = await store.claim_ready(limit=waits)
    assert len(claims) == waits / 10
    assert all(claim.timed_out for claim in claims)
    assert [claim.key for claim in claims[:5]] == [f"wait-000000{number}" for number in range(5)]  # a tenant's turn each
    await claims[0].park(SCOPE, claims[0].data, 60)
    for claim in claims[1:]:
        await claim.complete()
    assert (await inspector.examine(lambda _: None)).findings == []


@pytest.mark.slow
@pytest.mark.asyncio
async def test_clones_on_a_server_are_as_the_store_leaves_waits(server: Server) -> None:
    await fill(server.url, [server.url], 100, tenants=5, bytes=512, deadlines=True, tick=lambda: None)
    async with create_session_store(server.url) as store:
        await look_at_clones(store, 100)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_clones_on_a_cluster_are_as_the_store_leaves_waits() -> None:
    with Cluster(replicas=False) as cluster:
        nodes = [node.url for node in cluster.nodes]
        await fill(cluster.url, nodes, 100, tenants=5, bytes=512, deadlines=True, tick=lambda: None)
        async with create_session_store(cluster.url) as store:
            await look_at_clones(store, 100)
