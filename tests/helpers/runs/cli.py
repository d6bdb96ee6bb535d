"""The operator's command line, run in this process, and what it is run on."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import redis

from greentic_session import (
    InMemorySessionStore,
    RedisSessionStore,
    ReplyScope,
    SessionCursor,
    SessionData,
    SessionStore,
    TenantCtx,
    create_session_store,
)
from greentic_session.cli import main

__all__ = ["SECRET", "Cli", "Kept", "data_of", "dumps", "fill", "in_file", "in_redis", "park"]

SECRET = "the snapshot's secret"


class Cli:
    """Runs commands on one store, and tells what they wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *options: str) -> None:
        self._capsys = capsys
        self._options = options

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        self._capsys.readouterr()
        try:
            code = main([*argv, *self._options])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def json(self, *argv: str, code: int = 0) -> Any:
        """Return what a command writes for programs."""
        found, out, _ = self(*argv, "--json")
        assert found == code
        return json.loads(out)


class Kept(InMemorySessionStore):
    """A store in memory that a command closes, and that is still there afterwards."""

    async def aclose(self) -> None:
        pass


def data_of(ctx: TenantCtx, node: str = "ask", snapshot: str = SECRET) -> SessionData:
    context = msgspec.json.encode(snapshot).decode()
    return SessionData(tenant_ctx=ctx, flow_id="order.flow", cursor=SessionCursor(node, "a reason"), context_json=context)


async def park(store: SessionStore, ctx: TenantCtx, key: str, chat: str = "c1", ttl: float | None = 7200) -> None:
    user = ctx.effective_user
    assert user is not None
    await store.register_wait(ctx, user, ReplyScope(chat, reply_to="7"), key, data_of(ctx, node=f"node-{key}"), ttl)


async def fill(store: SessionStore) -> None:
    """acme.

    Ops/alice waits twice, ops/bob once, sales/alice once; a plain session of nobody. other: alice
    waits once.
    """
    alice, bob = TenantCtx.new("dev", "acme", team="ops", user="alice"), TenantCtx.new("dev", "acme", team="ops", user="bob")
    await park(store, alice, "k1", "c1", ttl=1800)
    await park(store, alice, "k2", "c2")
    await park(store, bob, "k3", ttl=None)
    await park(store, TenantCtx.new("dev", "acme", team="sales", user="alice"), "k4")
    nobody = TenantCtx.new("dev", "acme")
    await store.create_session(nobody, data_of(nobody), key="k5")
    await park(store, TenantCtx.new("dev", "other", user="alice"), "k6")


def in_redis(url: str, namespace: str, do: Callable[[RedisSessionStore], Awaitable[object]]) -> None:
    """Do something with a store of ours."""

    async def run() -> None:
        async with RedisSessionStore.from_url(url, namespace=namespace, timeout=60, connect_timeout=60) as store:
            await do(store)

    asyncio.run(run())


def in_file(url: str, do: Callable[[SessionStore], Awaitable[object]]) -> None:
    """Do something with a store in a file."""

    async def run() -> None:
        async with create_session_store(url) as store:
            await do(store)

    asyncio.run(run())


def dumps(raw: redis.Redis, namespace: str) -> dict[bytes, bytes]:
    """Return every key of a namespace with all that it holds, byte for byte."""
    found: dict[bytes, bytes] = {}
    for key in raw.scan_iter(f"{namespace}:*", count=1000):
        dumped = raw.dump(key)
        assert isinstance(dumped, bytes)
        found[key] = dumped
    return found
