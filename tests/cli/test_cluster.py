"""The operator's commands on a cluster: the same words, and claims and ages of every slot."""

import os

import pytest
from cluster_servers import Cluster
from runs.cli import Cli, fill, in_redis

from greentic_session import ReplyScope, SessionStore, TenantCtx

ACME = ("--env", "dev", "--tenant", "acme")


async def at_work(store: SessionStore) -> None:
    """What `fill` parks, one of it claimed."""
    await fill(store)
    ctx = TenantCtx.new("dev", "acme", team="ops", user="alice")
    assert await store.claim_wait(ctx, "alice", ReplyScope("c1", reply_to="7"), lease=600)


@pytest.fixture
def cli(bare_cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    in_redis(bare_cluster.url, namespace, at_work)
    return Cli(capsys, "--store", bare_cluster.url)


def test_what_stands_in_all_slots(cli: Cli, namespace: str) -> None:
    there = ("--namespace", namespace)
    told = {wait["key"]: wait for wait in cli.json("waits", *ACME, *there)["waits"]}
    assert sorted(told) == ["k1", "k2", "k3", "k4"]
    assert 0 < told["k1"]["claim_seconds"] <= 600
    assert told["k1"]["holder"]["pid"] == os.getpid()
    assert all(0 <= wait["age_seconds"] < 3600 for wait in told.values())
    (flow,) = cli.json("stats", *there)["flows"]
    assert (flow["flow_id"], flow["waits"], flow["claimed"], flow["due_within_an_hour"]) == ("order.flow", 5, 1, 1)
    code, out, _ = cli("top", "--once", *there)
    assert code == 0
    assert "waits 5" in out
    assert "claimed 1" in out
    assert cli("doctor", *there)[0] == 0


def test_a_namespace_that_holds_nothing(cli: Cli, namespace: str) -> None:
    code, _, err = cli("stats", "--namespace", f"{namespace}-misspelt")
    assert code == 0
    assert f"namespace {namespace}-misspelt holds nothing; namespaces that do: " in err
    assert namespace in err.rpartition(": ")[2] or " more" in err
