"""Waits of many tenants, each of a user of its own: what the store leaves of one, cloned."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis

from benchmarks.harness.population import make_data, make_snapshot_for
from benchmarks.harness.server import TIMEOUT_S
from greentic_session import ReplyScope, TenantCtx, create_session_store
from greentic_session.reply import OnTimeout

from .cloning import TENANT_MARK, USER_MARK, Template, clone

__all__ = ["ENV", "fill", "used_bytes"]

ENV = "production"
_FAR_S = 7 * 86_400.0
_NEAR_S = 1.0
_NEAR_EACH = 10
"""The deadline of one in so many is near, so that it has passed when all are there."""


async def fill(
    url: str,
    servers: Sequence[str],
    count: int,
    *,
    tenants: int,
    bytes: int,
    deadlines: bool,
    tick: Callable[[], object],
) -> None:
    """Empty a store, and let it have so many waits; number n is of tenant n modulo `tenants`.

    Args:
        url: The store.
        servers: Its servers, in the order of their slots.
        count: How many.
        tenants: Number of tenants.
        bytes: Length of the text of a session.
        deadlines: Whether they have deadlines that make them ready; if so, one in ten has passed.
        tick: Called after each batch.
    """
    nodes = [redis.Redis.from_url(server, socket_timeout=TIMEOUT_S) for server in servers]
    near = range(0, -(-count // tenants), _NEAR_EACH) if deadlines else range(0)
    # Those that are near come last: their tenants are ranked by them then.
    ttls_s = (_FAR_S, _NEAR_S)[: 2 if deadlines else 1]
    templates = [
        await _register(url, nodes, ttl_s, bytes, on_timeout="resume" if deadlines else "forget") for ttl_s in ttls_s
    ]
    for template, are_near in zip(templates, (False, True), strict=False):
        numbers = [number for number in range(count) if (number // tenants in near) is are_near]
        await clone(template, nodes, numbers, tenants, tick)
    for node in nodes:
        node.close()
    if deadlines:
        await asyncio.sleep(_NEAR_S)


async def _register(url: str, nodes: Sequence[redis.Redis], ttl_s: float, bytes: int, *, on_timeout: OnTimeout) -> Template:
    """Return what the store leaves of one wait; it is gone then."""
    user = f"user-{USER_MARK}"
    ctx = TenantCtx.new(ENV, f"tenant-{TENANT_MARK}", user=user)
    data, scope = make_data(ctx, make_snapshot_for(bytes)), ReplyScope("telegram:chat-1")
    for node in nodes:
        node.flushall()
    async with create_session_store(url, timeout=TIMEOUT_S) as store:
        await store.register_wait(ctx, user, scope, f"wait-{USER_MARK}", data, ttl_s, on_timeout=on_timeout)
    template = Template(nodes)
    for node in nodes:
        node.flushall()
    return template


def used_bytes(servers: Sequence[str]) -> int:
    """Return the memory that servers use, in bytes."""
    used = 0
    for url in servers:
        with redis.Redis.from_url(url) as node:
            told: Any = node.info("memory")
            used += told["used_memory"]
    return used
