"""The benchmark of what one core of Redis carries. Speed is not asserted."""

from pathlib import Path

import pytest
from redis_server import Server
from runs.benchmarks import measure

from benchmarks.capacity.instructions import has_valgrind
from benchmarks.harness import server_time
from benchmarks.harness.measuring import closed_loop

LAYOUTS = ("ours", "layout of the Rust crate", "layout of aiogram's RedisStorage")


@pytest.mark.slow
def test_a_quick_run_has_the_bytes_of_every_layout(tmp_path: Path) -> None:
    rows = measure(tmp_path, "benchmarks.capacity", "--without-instructions").report["rows"]
    assert [(row["measurement"], row["contestant"]) for row in rows] == [
        (f"a wait, snapshot of {size}", layout) for size in ("256 B", "1 KiB", "4 KiB") for layout in LAYOUTS
    ]
    assert all(row["value"] > 256 for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(not has_valgrind(), reason="valgrind is not installed")
def test_a_quick_run_counts_the_instructions_of_server_and_client(tmp_path: Path) -> None:
    rows = measure(tmp_path, "benchmarks.capacity").report["rows"][3 * len(LAYOUTS) :]
    assert [row["contestant"] for row in rows] == ["server", "client"]
    # Of so few calls the client's start-up is the larger part, and drifts; the server's does not.
    assert rows[0]["value"] > 1


@pytest.mark.asyncio
async def test_the_processor_time_of_the_server_is_measured_where_it_is_watched(server: Server) -> None:
    async def call(argument: int) -> None:
        with server.client() as raw:
            raw.set("key", "x" * argument)

    unwatched = await closed_loop(call, 1)([1])
    assert unwatched is not None
    assert unwatched.server_ns == 0
    server_time.watch(server.port)
    try:
        watched = await closed_loop(call, 1)([2_000_000] * 20)
    finally:
        server_time.watch(None)
    assert watched is not None
    assert watched.server_ns > 0
    assert server_time.used_ns() == 0
