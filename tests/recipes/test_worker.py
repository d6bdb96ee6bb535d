"""A worker that gets SIGTERM in the middle of a turn."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from turns import PATIENCE_S

from greentic_session import ReplyScope, SessionData, SessionStore, Start, TenantCtx, create_session_store

pytestmark = pytest.mark.asyncio

PROCESS = Path(__file__).with_name("worker_process.py")
CTX = TenantCtx.new("prod", "acme", user="ada")


@pytest_asyncio.fixture
async def store(durable_url: str) -> AsyncIterator[SessionStore]:
    async with create_session_store(durable_url) as store:
        yield store


@contextmanager
def worker(url: str, hold: Path, shutdown_timeout: float) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"STORE_URL": url, "HOLD": str(hold), "PYTHONPATH": str(PROCESS.parents[2])}
    command = [sys.executable, str(PROCESS), str(shutdown_timeout)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def begin(store: SessionStore, process: "subprocess.Popen[str]") -> None:
    """Let the worker begin a turn, and interrupt it."""
    start = Start(SessionData.new(CTX, "f", "n"), key="k")
    await store.deliver(CTX, "ada", ReplyScope("c"), "go", start=start, claim=False)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGTERM)


async def test_what_has_begun_is_finished(durable_url: str, store: SessionStore, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with worker(durable_url, hold, 3600) as process:
        await begin(store, process)
        hold.unlink()
        assert process.wait(PATIENCE_S) == 0
    assert await store.get_session("k") is None


async def test_what_takes_too_long_is_for_the_next_worker(durable_url: str, store: SessionStore, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with worker(durable_url, hold, 0.01) as process:
        await begin(store, process)
        assert process.wait(PATIENCE_S) == 0
    [claim] = await store.claim_ready()  # at once
    assert claim.attempt == 1
    assert [reply.body for reply in claim.replies] == ["go"]
