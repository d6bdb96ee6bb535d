"""The peers of the benchmarks: their environments and processes; and what is compared with them."""

import socket
import sys
from pathlib import Path

import pytest
from redis_server import find_binary, require

from benchmarks.harness.population import make_ctx, make_data
from benchmarks.harness.server import Server
from benchmarks.harness.store import open_store
from benchmarks.peers.catalogue import AIOGRAM, Peer
from benchmarks.peers.environment import CannotInstallError, python_of
from benchmarks.peers.process import PeerFailedError, PeerProcess
from benchmarks.redis.operations import Stage, measure_operations
from benchmarks.redis.ours import Ours
from benchmarks.redis.pool import SAME_COMMANDS
from benchmarks.redis.replay import pooled_client
from benchmarks.redis.sides import Side
from benchmarks.redis.wire import Wire
from greentic_session import RedisSessionStore


@pytest.mark.asyncio
async def test_the_wire_notes_what_a_store_sends() -> None:
    with Server(require(find_binary())) as server:
        async with (
            Wire(server.port) as wire,
            RedisSessionStore.from_url(f"redis://127.0.0.1:{wire.port}", namespace="w") as store,
        ):
            ctx = make_ctx(0)
            key = await store.create_session(ctx, make_data(ctx))
            assert await wire.commands_of(store.get_session(key)) == [[b"GET", f"w:session:{key}".encode()]]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0  # it was stopped


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path) -> None:
    nobody = Peer(name="nobody", module="with_nobody", requirements=("./nowhere",), calls={})
    with pytest.raises(CannotInstallError, match="nowhere"):
        python_of(nobody, tmp_path)
    assert not list(tmp_path.glob("*/ready"))


@pytest.mark.asyncio
async def test_a_peer_that_is_not_there_says_so() -> None:
    nobody = Peer(name="nobody", module="with_nobody", requirements=(), calls={})
    with pytest.raises(
        PeerFailedError, match=r"ModuleNotFoundError: No module named 'benchmarks\.peers\.with_nobody'"
    ) as caught:
        await PeerProcess.start(nobody, Path(sys.executable), port=1, connections=1, loop="asyncio")
    assert caught.value.peer is nobody


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_peer_measures_its_own_calls_in_its_own_process() -> None:
    pytest.importorskip("aiogram")
    with Server(require(find_binary())) as server:
        peer = await PeerProcess.start(AIOGRAM, Path(sys.executable), port=server.port, connections=10, loop="asyncio")
        try:
            assert "aiogram" in peer.versions
            await peer.fill(4, "a snapshot")
            assert peer.contestants("get_session", 2) == []
            for operation, name in AIOGRAM.calls.items():
                (contestant,) = peer.contestants(operation, 2)
                assert contestant.name == name
                took = await contestant.run([0, 1, 2, 3])
                assert took is not None
                assert (took.calls, len(took.latencies_ns)) == (4, 4)
                assert took.wall_ns >= max(took.latencies_ns) > 0
        finally:
            await peer.stop()


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_run_goes_on_without_a_peer_that_fails() -> None:
    pytest.importorskip("aiogram")
    dropped: list[PeerFailedError] = []
    with Server(require(find_binary())) as server:
        client = pooled_client(server.port, 10)
        peer = await PeerProcess.start(AIOGRAM, Path(sys.executable), port=server.port, connections=1, loop="asyncio")
        peer._process.kill()
        try:
            async with open_store(server.url) as store:
                stage = Stage(operation="find_wait", tasks=100, size=4096, users=10, block=100, blocks=1, rounds=1)
                sides: list[Side] = [peer, Ours(store)]
                rows, results = await measure_operations(
                    [stage], sides, client, seed=1, tick=lambda: None, drop=dropped.append
                )
        finally:
            await client.aclose(close_connection_pool=True)
            await peer.stop()
    assert [error.peer for error in dropped] == [AIOGRAM]
    assert [found.contestant for found in results] == ["find_wait"]
    assert {row.contestant: row.holds for row in rows} == {
        "find_wait": None,
        "aiogram get_state + get_data": None,
        SAME_COMMANDS: None,
    }
